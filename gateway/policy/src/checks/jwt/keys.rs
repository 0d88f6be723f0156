//! The keys that tokens may be signed with. Each key has the algorithms that its policy gives it: a token chooses among
//! configured pairs of key and algorithm and brings neither. Knows no claims.

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::strict;

/// More keys only make a wrong token cost more.
const MOST_KEYS: usize = 32;
/// Of an issuer that publishes its own, whose tokens name theirs.
const MOST_PUBLISHED: usize = 128;
/// How many keys are tried on a token that names none.
const MOST_TRIED: usize = 16;
const WEAKEST_RSA_BITS: usize = 2048;
const STRONGEST_RSA_BITS: usize = 8192;

/// What kind of key it is, and so what it can verify; the first algorithm is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Shape {
    fn algorithms(self) -> &'static [Algorithm] {
        use Algorithm as A;
        match self {
            Self::Secret => &[A::HS256, A::HS384, A::HS512],
            Self::Rsa => &[A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512],
            Self::P256 => &[A::ES256],
            Self::P384 => &[A::ES384],
            Self::Ed25519 => &[A::EdDSA],
        }
    }
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Keys of a policy, or of an issuer.
pub(in crate::checks) struct KeySet {
    keys: Vec<Key>,
    allowed: Vec<Algorithm>,
    most: usize,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

impl KeySet {
    /// No keys yet. `allowed` empty: each key's default algorithm.
    pub(super) fn new(allowed: Vec<Algorithm>) -> Self {
        Self { keys: Vec::new(), allowed, most: MOST_KEYS }
    }

    /// The same, for keys that an issuer publishes.
    pub(super) fn published(allowed: Vec<Algorithm>) -> Self {
        Self { keys: Vec::new(), allowed, most: MOST_PUBLISHED }
    }

    /// Whether some key has this name.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(kid))
    }

    /// Whether some configured key signed `message`. A `kid` narrows the choice among keys that have one.
    pub(super) fn verifies(&self, algorithm: Algorithm, kid: Option<&str>, message: &[u8], signature: &str) -> bool {
        let fits = |key: &&Key| key.algorithm == algorithm;
        let named = |key: &Key| kid.is_some() && key.id.as_deref() == kid;
        let some_named = self.keys.iter().filter(fits).any(named);
        let asked = |key: &&Key| match (kid, &key.id) {
            (Some(_), _) if some_named => named(key),
            (Some(_), Some(_)) => false,
            (Some(_), None) | (None, _) => true,
        };
        let right = |key: &Key| crypto::verify(signature, message, &key.key, algorithm).is_ok_and(|right| right);
        self.keys.iter().filter(fits).filter(asked).take(MOST_TRIED).any(right)
    }

    /// The algorithms that no key can verify although the policy allows them.
    pub(super) fn unserved(&self) -> impl Iterator<Item = Algorithm> {
        let served = |allowed: &Algorithm| self.keys.iter().any(|key| key.algorithm == *allowed);
        self.allowed.iter().copied().filter(move |allowed| !served(allowed))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A shared secret. Its current value or one that is still accepted.
    pub(super) fn add_secret(&mut self, secret: &[u8]) -> Result<(), String> {
        if secret.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        self.add(Shape::Secret, None, None, &DecodingKey::from_secret(secret))
    }

    /// Public keys and certificates in PEM, any number of them.
    pub(super) fn add_pem(&mut self, text: &str) -> Result<(), String> {
        let mut some = false;
        for block in blocks(text) {
            if block.contains("PRIVATE KEY-----") {
                return Err("holds a private key: a verifier needs the public one".to_owned());
            }
            let (shape, key) = read_pem(block)?;
            self.add(shape, None, None, &key)?;
            some = true;
        }
        some.then_some(()).ok_or_else(|| "holds no PEM block".to_owned())
    }

    /// A JSON Web Key Set (RFC 7517). Gives a note for each key that is left out.
    pub(in crate::checks) fn add_jwks(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let set = strict::object(bytes).ok_or("is not a JSON object, or has a key twice")?;
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Err("has no `keys` list".to_owned());
        };
        let mut left_out = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let done = match key {
                Value::Object(key) => self.add_jwk(key),
                _ => Err("is no object".to_owned()),
            };
            if let Err(why) = done {
                left_out.push(format!("keys[{index}] is left out: {why}"));
            }
        }
        Ok(left_out)
    }

    /// One key of such a set.
    pub(super) fn add_jwk(&mut self, jwk: &Map<String, Value>) -> Result<(), String> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let need = |name: &str| text(name).ok_or_else(|| format!("no `{name}`"));
        if text("use").is_some_and(|usage| usage != "sig") {
            return Err("it is not for signatures".to_owned());
        }
        let (shape, key) = match need("kty")? {
            "RSA" => (Shape::Rsa, DecodingKey::from_rsa_components(need("n")?, need("e")?)),
            "EC" => match need("crv")? {
                "P-256" => (Shape::P256, DecodingKey::from_ec_components(need("x")?, need("y")?)),
                "P-384" => (Shape::P384, DecodingKey::from_ec_components(need("x")?, need("y")?)),
                other => return Err(format!("curve {other} is not supported")),
            },
            "OKP" if need("crv")? == "Ed25519" => (Shape::Ed25519, DecodingKey::from_ed_components(need("x")?)),
            "oct" => return Err("a shared secret belongs in `secret:`, not in a file of public keys".to_owned()),
            other => return Err(format!("key type {other} is not supported")),
        };
        let key = key.map_err(|why| why.to_string())?;
        let named = match text("alg") {
            Some(name) => Some(name.parse().map_err(|_| format!("algorithm {name} is not supported"))?),
            None => None,
        };
        self.add(shape, text("kid").map(str::to_owned), named, &key)
    }

    fn add(
        &mut self,
        shape: Shape,
        id: Option<String>,
        named: Option<Algorithm>,
        key: &DecodingKey,
    ) -> Result<(), String> {
        sound(shape, key)?;
        let can = shape.algorithms();
        let may: Vec<Algorithm> = match named {
            Some(named) if !can.contains(&named) => return Err(format!("{named:?} is for another type of key")),
            Some(named) if self.allowed.is_empty() || self.allowed.contains(&named) => vec![named],
            Some(named) => return Err(format!("`algorithms` does not have {named:?}")),
            None if self.allowed.is_empty() => can.iter().take(1).copied().collect(),
            None => can.iter().filter(|one| self.allowed.contains(one)).copied().collect(),
        };
        if may.is_empty() {
            return Err(format!("`algorithms` has none for it: one of {can:?}"));
        }
        if self.keys.len() + may.len() > self.most {
            return Err(format!("more than {} keys", self.most));
        }
        for algorithm in may {
            let (id, key) = (id.clone(), key.clone());
            self.keys.push(Key { id, algorithm, key });
        }
        Ok(())
    }
}

/// PEM blocks, from `-----BEGIN` to the end of its `-----END` line.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("-----BEGIN ").filter_map(|(start, _)| {
        let rest = text.get(start..)?;
        let end = rest.find("-----END ")?;
        let line = rest.get(end..)?.find('\n').map_or(rest.len(), |length| end + length);
        rest.get(..line)
    })
}

fn read_pem(block: &str) -> Result<(Shape, DecodingKey), String> {
    let bytes = block.as_bytes();
    if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
        return Ok((Shape::Rsa, key));
    }
    if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
        return Ok((Shape::Ed25519, key));
    }
    match DecodingKey::from_ec_pem(bytes) {
        Ok(key) => match key.try_get_as_bytes().map(<[u8]>::len) {
            Ok(65) => Ok((Shape::P256, key)),
            Ok(97) => Ok((Shape::P384, key)),
            Ok(_) | Err(_) => Err("holds an EC key that is neither P-256 nor P-384".to_owned()),
        },
        Err(_) => Err("holds no RSA, EC or Ed25519 public key".to_owned()),
    }
}

/// Finds broken and weak keys while the policy is loaded, not at the first token.
fn sound(shape: Shape, key: &DecodingKey) -> Result<(), String> {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    let (length, point) = match (shape, key.kind()) {
        (Shape::Rsa, RsaModulusExponent { n, .. }) => return rsa_strength(n),
        (Shape::Rsa, SecretOrDer(der)) => {
            let read = crypto::aws_lc::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
            let (n, _) = read(der).map_err(|_| "holds a broken RSA key")?;
            return rsa_strength(&n);
        }
        (Shape::Secret, _) => return Ok(()),
        (Shape::P256, _) => (65, Some(4)),
        (Shape::P384, _) => (97, Some(4)),
        (Shape::Ed25519, _) => (32, None),
    };
    let bytes = key.try_get_as_bytes().map_err(|why| why.to_string())?;
    if bytes.len() == length && (point.is_none() || bytes.first().copied() == point) {
        return Ok(());
    }
    Err("has the wrong length for its curve".to_owned())
}

fn rsa_strength(modulus: &[u8]) -> Result<(), String> {
    let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
    if (WEAKEST_RSA_BITS..=STRONGEST_RSA_BITS).contains(&bits) {
        return Ok(());
    }
    Err(format!("RSA keys have {WEAKEST_RSA_BITS} to {STRONGEST_RSA_BITS} bits, this one {bits}"))
}
