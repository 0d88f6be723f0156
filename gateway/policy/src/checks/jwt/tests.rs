#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::sync::LazyLock;
use std::time;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use http::header::AUTHORIZATION;
use crate::checks::OnError;
use crate::checks::testing::{Asked, Given};
use crate::invented::{Invented, ready};
use crate::io::StoreFault;
use crate::key::Keys;

mod asked;
mod claims;
mod forged;
mod signatures;
mod state;

const SECRET: &[u8] = b"an invented secret of more than 64 bytes, so that HS512 has its full strength";
/// The invented clock's start, in seconds.
const NOW: u64 = 1_767_225_600;

static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static OTHER_RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static P256: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
static P384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap());
static ED: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

fn pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    let der = key.as_der().unwrap();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

fn rsa_sign(key: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// Signs as the algorithm's name says, with the key of its family.
fn sign(algorithm: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let mac = |algorithm| hmac::sign(&hmac::Key::new(algorithm, SECRET), message).as_ref().to_vec();
    match algorithm {
        "HS256" => mac(hmac::HMAC_SHA256),
        "HS384" => mac(hmac::HMAC_SHA384),
        "HS512" => mac(hmac::HMAC_SHA512),
        "RS256" => rsa_sign(&RSA, &RSA_PKCS1_SHA256, message),
        "RS384" => rsa_sign(&RSA, &RSA_PKCS1_SHA384, message),
        "RS512" => rsa_sign(&RSA, &RSA_PKCS1_SHA512, message),
        "PS256" => rsa_sign(&RSA, &RSA_PSS_SHA256, message),
        "PS384" => rsa_sign(&RSA, &RSA_PSS_SHA384, message),
        "PS512" => rsa_sign(&RSA, &RSA_PSS_SHA512, message),
        "ES256" => P256.sign(&random, message).unwrap().as_ref().to_vec(),
        "ES384" => P384.sign(&random, message).unwrap().as_ref().to_vec(),
        "EdDSA" => ED.sign(message).as_ref().to_vec(),
        other => panic!("{other}"),
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A token of these exact texts.
fn raw(header: &str, claims: &str, algorithm: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(sign(algorithm, message.as_bytes()));
    format!("{message}.{signature}")
}

fn signed(algorithm: &str, claims: &Value) -> String {
    raw(&json!({"alg": algorithm, "typ": "JWT"}).to_string(), &claims.to_string(), algorithm)
}

/// An HS256 token with these claims on top of those that every good one has.
fn with(claims: Value) -> String {
    let mut all = json!({"sub": "u1", "exp": NOW + 600, "iat": NOW - 60, "jti": "j1"});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    signed("HS256", &all)
}

fn good() -> String {
    with(json!({}))
}

fn given() -> Given {
    let mut given = Given::default();
    given.secrets.insert("jwt".to_owned(), vec![SECRET.to_vec()]);
    given.files.insert("rsa.pem".to_owned(), pem(RSA.public_key()).into_bytes());
    given.files.insert("p256.pem".to_owned(), pem(P256.public_key()).into_bytes());
    given.files.insert("p384.pem".to_owned(), pem(P384.public_key()).into_bytes());
    given.files.insert("ed.pem".to_owned(), pem(ED.public_key()).into_bytes());
    given.files.insert("jwks.json".to_owned(), jwks().to_string().into_bytes());
    given
}

fn jwks() -> Value {
    let rsa = RSA.public_key();
    let (n, e) = (rsa.modulus(), rsa.exponent());
    let point = P256.public_key().as_ref().to_vec();
    let (x, y) = point.split_at(1).1.split_at(32);
    json!({"keys": [
        {"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256",
         "n": encode(n.big_endian_without_leading_zero()), "e": encode(e.big_endian_without_leading_zero())},
        {"kty": "EC", "kid": "e1", "crv": "P-256", "x": encode(x), "y": encode(y)},
        {"kty": "OKP", "kid": "d1", "crv": "Ed25519", "x": encode(ED.public_key().as_ref())},
    ]})
}

fn compile(spec: Value) -> Result<Check, Vec<String>> {
    given().compile(spec, Spec::compile)
}

/// A check over the secret, with these keys besides.
fn hs(spec: Value) -> Check {
    let mut all = json!({"secret": "jwt"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    compile(all).unwrap()
}

fn bearer(token: &str) -> Asked {
    Asked::default().header("authorization", &format!("Bearer {token}"))
}

fn ask(check: &Check, asked: &mut Asked, io: &mut Invented) -> Result<(), Reason> {
    match asked.turn(io, |turn| ready(check.ask(turn)).unwrap()) {
        Answer::Pass => Ok(()),
        Answer::Deny(denial) => Err(denial.reason),
        Answer::Reply(_) => panic!("a jwt check answers nothing itself"),
    }
}

/// Whether its keys signed this.
fn taken(check: &Check, token: &str) -> bool {
    let parts = Parts::of(token);
    parts.is_some_and(|parts| parts.signed_by(&check.parties.all[0].keys) && parts.claims().is_some())
}

/// The answer to this token in the Authorization header; passing must establish somebody, refusing nobody.
fn answer(check: &Check, token: &str) -> Result<(), Reason> {
    let mut asked = bearer(token);
    let answer = ask(check, &mut asked, &mut Invented::default());
    assert_eq!(asked.facts.identity.is_some(), answer.is_ok());
    answer
}

#[test]
fn accepts_every_algorithm_with_its_own_key() {
    let keys = json!({"secret": "jwt", "pem_files": ["rsa.pem", "p256.pem", "p384.pem", "ed.pem"]});
    for algorithm in [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ] {
        let token = signed(algorithm, &json!({"sub": "u", "exp": NOW + 60}));
        let file = match &algorithm[..2] {
            "HS" => json!({"secret": "jwt", "algorithms": [algorithm]}),
            "RS" | "PS" => json!({"pem_files": "rsa.pem", "algorithms": [algorithm]}),
            "ES" => json!({"pem_files": ["p256.pem", "p384.pem"]}),
            _ => json!({"pem_files": "ed.pem"}),
        };
        assert_eq!(answer(&compile(file).unwrap(), &token), Ok(()), "{algorithm}");
        let all = compile(keys.clone()).unwrap();
        let default = ["HS256", "RS256", "ES256", "ES384", "EdDSA"].contains(&algorithm);
        assert_eq!(answer(&all, &token).is_ok(), default, "{algorithm}");
    }
}

#[test]
fn key_sets_are_read_and_what_is_left_out_is_told() {
    let check = compile(json!({"jwks": "jwks.json"})).unwrap();
    for (algorithm, kid) in [("RS256", "r1"), ("ES256", "e1"), ("EdDSA", "d1")] {
        let token = |kid: &str| {
            let header = json!({"alg": algorithm, "kid": kid}).to_string();
            raw(&header, &json!({"sub": "u", "exp": NOW + 60}).to_string(), algorithm)
        };
        assert_eq!(answer(&check, &token(kid)), Ok(()), "{kid}");
        assert_eq!(answer(&check, &token("../../etc/passwd")), Err(Reason::TokenInvalid));
        assert_eq!(answer(&check, &signed(algorithm, &json!({"sub": "u", "exp": NOW + 60}))), Ok(()), "no kid");
    }
    assert!(answer(&check, &signed("PS256", &json!({"sub": "u", "exp": NOW + 60}))).is_err(), "the JWK says RS256");
    let left_out = |key: Value| {
        let mut given = given();
        let set = json!({"keys": [key, jwks()["keys"][1]]}).to_string();
        given.files.insert("jwks.json".to_owned(), set.into_bytes());
        given.compile(json!({"jwks": "jwks.json"}), Spec::compile).unwrap_err().join("\n")
    };
    assert!(left_out(json!({"kty": "oct", "k": encode(SECRET)})).contains("belongs in `secret:`"));
    assert!(left_out(json!({"kty": "EC", "crv": "P-521", "x": "", "y": ""})).contains("P-521 is not supported"));
    assert!(left_out(json!({"kty": "RSA", "n": encode([255; 128]), "e": "AQAB"})).contains("this one 1024"));
    assert!(left_out(json!({"kty": "RSA", "use": "enc"})).contains("not for signatures"));
    assert!(left_out(json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})).contains("wrong length"));
    assert!(left_out(json!({"kty": "EC", "crv": "P-256", "alg": "HS256", "x": encode([1; 32]), "y": encode([1; 32])}))
        .contains("another type of key"));
}

#[test]
fn a_replaced_secret_is_accepted_as_long_as_it_is_given() {
    let mut given = given();
    given.secrets.insert("jwt".to_owned(), vec![b"a newer secret of more than thirty-two bytes".to_vec(), SECRET.to_vec()]);
    let check = given.compile(json!({"secret": "jwt"}), Spec::compile).unwrap();
    assert_eq!(answer(&check, &good()), Ok(()));
}

#[test]
fn faults_name_the_key_and_what_would_be_right() {
    // Put together here: a scanner for secrets need not ask whose key this is.
    let kind = ["PRIVATE", "KEY"].join(" ");
    let private = format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    for (spec, told) in [
        (json!({}), "checks.it: no usable key"),
        (json!({"secret": "nobody"}), "checks.it.secret: no secret `nobody`"),
        (json!({"pem": private}), "checks.it.pem[0]: holds a private key"),
        (json!({"pem": "nonsense"}), "checks.it.pem[0]: holds no PEM block"),
        (json!({"pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}), "holds no RSA, EC or Ed25519"),
        (json!({"pem_files": "none.pem"}), "checks.it.pem_files[0]: cannot read none.pem"),
        (json!({"pem_files": "rsa.pem", "algorithms": ["HS256"]}), "has none for it"),
        (json!({"secret": "jwt", "algorithms": ["HS256", "RS256"]}), "checks.it.algorithms: no key is for RS256"),
        (json!({"secret": "jwt", "algorithms": ["none"]}), "unknown variant `none`"),
        (json!({"secret": "jwt", "leeway": "6m"}), "checks.it.leeway: at most 5m"),
        (json!({"secret": "jwt", "cache": 1_000_001}), "checks.it.cache"),
        (json!({"secret": "jwt", "forward": {"sub": "X User"}}), "checks.it.forward.sub: `X User` is not a header name"),
        (json!({"secret": "jwt", "forward": {"sub": "Host"}}), "checks.it.forward.sub: `host` has a meaning"),
        (json!({"secret": "jwt", "bind": {"d": ""}}), "checks.it.bind.d"),
        (json!({"secret": "jwt", "require": {"a": []}}), "an empty list"),
        (json!({"secret": "jwt", "isuer": "x"}), "unknown field `isuer`"),
    ] {
        let faults = compile(spec.clone()).unwrap_err().join("\n");
        assert!(faults.contains(told), "{spec}: {faults}");
    }
    let mut weak = given();
    weak.secrets.insert("jwt".to_owned(), vec![b"secret".to_vec()]);
    let faults = weak.compile(json!({"secret": "jwt"}), Spec::compile).unwrap_err();
    assert!(faults.join("\n").contains("shorter than 32 bytes"));
    assert!(!format!("{:?}", hs(json!({}))).contains("invented secret"));
}
