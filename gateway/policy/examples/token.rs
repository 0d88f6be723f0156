//! What a token costs: `cargo run --profile fast -p policy --example token`. Nanoseconds per decision of a policy with
//! one jwt check, for tokens that were never seen and for one that was: time on a processor.

use std::hint::black_box;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use aws_lc_rs::{error::Unspecified, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version};
use policy::Policy;
use policy::invented::{Invented, ready};
use policy::request::{Framing, Request};
use policy::run::Unwatched;
use policy::sources::Sources;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_767_225_600;

struct Files {
    policy: String,
    pem: String,
}

impl Sources for Files {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let text = if path.ends_with("pem") {
            &self.pem
        } else {
            &self.policy
        };
        Ok(Bytes::from(text.clone()))
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }

    fn env(&mut self, _: &str) -> Option<String> {
        Some(SECRET.to_owned())
    }
}

type Sign = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Unspecified>>;

/// Public key in PEM, and what signs with the private one.
fn signer(algorithm: &str) -> Result<(String, Sign), Unspecified> {
    let random = SystemRandom::new();
    let pem = |der: PublicKeyX509Der<'_>| {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der.as_ref())
        )
    };
    Ok(match algorithm {
        "RS256" | "PS256" => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
            let public = pem(key.public_key().as_der()?);
            let encoding = if algorithm == "RS256" {
                &RSA_PKCS1_SHA256
            } else {
                &RSA_PSS_SHA256
            };
            let sign = move |message: &[u8]| {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature)?;
                Ok(signature)
            };
            (public, Box::new(sign))
        }
        "ES256" => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            let public = pem(key.public_key().as_der()?);
            (
                public,
                Box::new(move |message: &[u8]| Ok(key.sign(&random, message)?.as_ref().to_vec())),
            )
        }
        "EdDSA" => {
            let key = Ed25519KeyPair::generate()?;
            let public = pem(key.public_key().as_der()?);
            (
                public,
                Box::new(move |message: &[u8]| Ok(key.sign(message).as_ref().to_vec())),
            )
        }
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            (
                String::new(),
                Box::new(move |message: &[u8]| Ok(hmac::sign(&key, message).as_ref().to_vec())),
            )
        }
    })
}

fn token(algorithm: &str, sign: &Sign, number: usize) -> Result<HeaderValue, Unspecified> {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
    let claims = format!(
        r#"{{"sub":"user-{number}","role":"user","scopes":["chat","rag:query"],"token_type":"access","jti":"{number:032x}","iat":{NOW},"nbf":{NOW},"exp":{}}}"#,
        NOW + 1800
    );
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes())?);
    HeaderValue::try_from(format!("Bearer {message}.{signature}")).map_err(|_| Unspecified)
}

fn load(algorithm: &str, pem: String) -> Option<Policy> {
    let keys = if algorithm == "HS256" {
        "secret: jwt"
    } else {
        "pem_files: [key.pem]"
    };
    let policy = format!(
        r"
version: 1
listen: [{{address: '127.0.0.1:8080'}}]
upstreams: {{app: {{servers: ['127.0.0.1:3000']}}}}
secrets: {{jwt: {{env: SECRET}}}}
checks:
  token: {{check: jwt, {keys}, algorithms: [{algorithm}], require: {{token_type: access}}, revocation: true, forward: {{sub: X-User-Id}}}}
routes: [{{name: all, match: {{path: '/*'}}, to: app, use: [token]}}]
"
    );
    let loaded = Policy::load("palisade.yaml", &mut Files { policy, pem }, NOW * 1000);
    loaded
        .map_err(|faults| eprintln!("{faults:?}"))
        .ok()
        .map(|loaded| loaded.policy)
}

fn decide(policy: &Policy, io: &mut Invented, headers: &HeaderMap) -> bool {
    let client = std::net::IpAddr::from([192, 0, 2, 1]);
    let request = Request {
        id: "r",
        client,
        client_port: 0,
        peer: client,
        server: None,
        method: &Method::GET,
        scheme: "https",
        host: "app.example",
        path: "/a",
        compared: "/a",
        query: None,
        target: "/a",
        version: Version::HTTP_11,
        headers,
        tls: None,
        framing: Framing::None,
        websocket: false,
    };
    let Some(route) = policy.route(&request) else {
        return false;
    };
    let decision = ready(policy.decide(route, &request, io, &mut Unwatched));
    decision.is_some_and(|decision| black_box(decision).reason() == policy::decision::Reason::Ok)
}

/// Nanoseconds that this thread ran.
fn ran() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    first.unwrap_or(0)
}

fn main() -> Result<(), Unspecified> {
    for algorithm in ["HS256", "RS256", "PS256", "ES256", "EdDSA"] {
        let (pem, sign) = signer(algorithm)?;
        let Some(policy) = load(algorithm, pem) else {
            continue;
        };
        let mut io = Invented::default();
        let mut requests = Vec::new();
        for number in 0..2000 {
            let mut headers = HeaderMap::new();
            headers.insert(
                http::header::AUTHORIZATION,
                token(algorithm, &sign, number)?,
            );
            requests.push(headers);
        }
        let start = ran();
        let passed = requests
            .iter()
            .filter(|headers| decide(&policy, &mut io, headers))
            .count();
        let new = u128::from(ran() - start) / requests.len() as u128;
        let start = ran();
        for _ in 0..200 {
            for headers in &requests {
                black_box(decide(&policy, &mut io, headers));
            }
        }
        let spread = u128::from(ran() - start) / (200 * requests.len() as u128);
        let one = requests.first().cloned().unwrap_or_default();
        let start = ran();
        for _ in 0..400_000 {
            black_box(decide(&policy, &mut io, &one));
        }
        let same = u128::from(ran() - start) / 400_000;
        println!(
            "{algorithm}: {passed} passed; new {new} ns; seen {spread} ns over 2000 tokens, {same} ns for one"
        );
    }
    Ok(())
}
