//! Signatures as Project Wycheproof tries them: at the edges of what is one, in other encodings, by keys that are none.

use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
use sha2::Digest as _;

use super::*;
use crate::checks::testing::{P256_ORDER, twin};

fn all() -> Check {
    compile(json!({"secret": "jwt", "pem_files": ["rsa.pem", "p256.pem", "p384.pem", "ed.pem"]})).unwrap()
}

/// What is signed, and the way to put a signature to it.
fn message(algorithm: &str) -> String {
    let claims = json!({"sub": "u", "exp": NOW + 60}).to_string();
    format!("{}.{}", encode(json!({"alg": algorithm}).to_string()), encode(claims))
}

#[track_caller]
fn refused(check: &Check, message: &str, signature: &[u8], why: &str) {
    assert_eq!(answer(check, &format!("{message}.{}", encode(signature))), Err(Reason::TokenInvalid), "{why}");
}

/// One more, or one less.
fn near(number: &[u8; 32], by: i16) -> [u8; 32] {
    let mut out = *number;
    out[31] = u8::try_from(i16::from(out[31]) + by).unwrap();
    out
}

#[test]
fn ecdsa_numbers_out_of_range_sign_nothing() {
    let (check, message) = (all(), message("ES256"));
    let good = sign("ES256", message.as_bytes());
    assert_eq!(answer(&check, &format!("{message}.{}", encode(&good))), Ok(()));
    let (r, s) = good.split_at(32);
    let (zero, one) = ([0; 32], near(&[0; 32], 1));
    let edges = [zero, one, P256_ORDER, near(&P256_ORDER, 1), near(&P256_ORDER, -1), [0xff; 32]];
    for first in edges {
        for second in edges {
            refused(&check, &message, &[first, second].concat(), "psychic");
        }
        refused(&check, &message, &[r, &first].concat(), "s at an edge");
        refused(&check, &message, &[&first, s].concat(), "r at an edge");
    }
    refused(&check, &message, &[s, r].concat(), "the other way round");
    refused(&check, &message, &[&[0], r, &[0], s].concat(), "with a sign each");
    refused(&check, &message, &[r, s, &[0]].concat(), "with one more byte");
    refused(&check, &message, &good[1..], "with one less");
    refused(&check, &message, r, "half of it");
}

#[test]
fn ecdsa_signatures_have_one_encoding() {
    let der = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let point = der.public_key().as_ref().to_vec();
    let (x, y) = point[1..].split_at(32);
    let mut given = given();
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)}]});
    given.files.insert("jwks.json".to_owned(), set.to_string().into_bytes());
    let check = given.compile(json!({"jwks": "jwks.json"}), Spec::compile).unwrap();
    let message = message("ES256");
    let signature = der.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    refused(&check, &message, signature.as_ref(), "DER, as certificates have it");
    // The same two numbers as RFC 7518 has them.
    let number = |at: usize| {
        let length = usize::from(signature.as_ref()[at + 1]);
        let bytes = &signature.as_ref()[at + 2..at + 2 + length];
        let bytes = &bytes[bytes.len().saturating_sub(32)..];
        ([vec![0; 32 - bytes.len()], bytes.to_vec()].concat(), at + 2 + length)
    };
    let (r, next) = number(2);
    let (s, _) = number(next);
    assert_eq!(answer(&check, &format!("{message}.{}", encode([r, s].concat()))), Ok(()));
}

#[test]
fn a_twin_of_a_signature_tells_of_the_same_token() {
    let (check, message) = (hs(json!({"pem_files": "p256.pem", "revocation": true})), {
        let claims = json!({"sub": "u", "exp": NOW + 60, "jti": "j"}).to_string();
        format!("{}.{}", encode(r#"{"alg":"ES256"}"#), encode(claims))
    });
    let twin = format!("{message}.{}", encode(twin(&sign("ES256", message.as_bytes()))));
    let mut io = Invented::default();
    assert_eq!(ask(&check, &mut bearer(&twin), &mut io), Ok(()), "RFC 7518 allows both");
    let key = revocation::token_key(Keys::derived(b"tests"), "j");
    ready(io.put(Space::Revocation, key, "x".into(), time::Duration::from_secs(60))).unwrap().unwrap();
    assert_eq!(ask(&check, &mut bearer(&twin), &mut io), Err(Reason::TokenRevoked));
}

#[test]
fn curves_and_lengths_are_not_mixed() {
    let check = all();
    for (said, used) in [("ES256", "ES384"), ("ES384", "ES256"), ("ES512", "ES384"), ("ES256K", "ES256"), ("EdDSA", "ES256")] {
        refused(&check, &message(said), &sign(used, message(said).as_bytes()), said);
    }
    // What is left of a longer one, and what is filled up.
    let long = sign("ES384", message("ES256").as_bytes());
    refused(&check, &message("ES256"), &long[..64], "the beginning of one by P-384");
    let short = sign("ES256", message("ES384").as_bytes());
    refused(&check, &message("ES384"), &[&[0; 16], &short[..32], &[0; 16], &short[32..]].concat(), "filled up");
}

#[test]
fn ed25519_signatures_have_one_spelling() {
    let (check, message) = (all(), message("EdDSA"));
    let good = sign("EdDSA", message.as_bytes());
    assert_eq!(answer(&check, &format!("{message}.{}", encode(&good))), Ok(()));
    // S + L is another spelling of S (RFC 8032, 5.1.7).
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    let mut other = good.clone();
    for (byte, add) in other[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    refused(&check, &message, &other, "S + L");
    let identity = [vec![1], vec![0; 63]].concat();
    refused(&check, &message, &identity, "the neutral element");
}

#[test]
fn rsa_keys_that_protect_nothing_sign_nothing() {
    let message = message("RS256");
    // With the exponent 1 the padded digest is its own signature.
    let digest = sha2::Sha256::digest(message.as_bytes());
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0, 0x04, 0x20,
    ];
    let padded = [&[0, 1][..], &vec![0xff; 256 - 3 - 19 - 32], &[0], &prefix, &digest].concat();
    let modulus = RSA.public_key().modulus();
    for exponent in [&[1][..], &[0], &[2], &[0, 1]] {
        let mut given = given();
        let n = encode(modulus.big_endian_without_leading_zero());
        let own = json!({"kty": "RSA", "alg": "RS256", "n": n, "e": encode(exponent)});
        given.files.insert("jwks.json".to_owned(), json!({"keys": [own]}).to_string().into_bytes());
        // Either the key is not taken, or it verifies nothing.
        if let Ok(check) = given.compile(json!({"jwks": "jwks.json"}), Spec::compile) {
            refused(&check, &message, &padded, "e = 1");
        }
    }
    let small = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let check = all();
    for encoding in [&RSA_PKCS1_SHA256 as &dyn RsaEncoding, &RSA_PSS_SHA256] {
        refused(&check, &message, &rsa_sign(&small, encoding, message.as_bytes()), "another key's");
    }
    let good = sign("RS256", message.as_bytes());
    refused(&check, &message, &good[1..], "without its first byte");
    refused(&check, &message, &[&[0], &good[..]].concat(), "with a zero before it");
    refused(&check, &message, &sign("RS512", message.as_bytes()), "of another digest");
}

#[test]
fn a_mac_is_whole_or_none() {
    let (check, message) = (all(), message("HS256"));
    let good = sign("HS256", message.as_bytes());
    for length in [0, 1, 16, 20, 31] {
        if length > 0 {
            refused(&check, &message, &good[..length], "cut short");
        }
    }
    refused(&check, &message, &[&good[..], &[0]].concat(), "with one more byte");
    refused(&check, &message, &sign("HS512", message.as_bytes())[..32], "half of a longer one");
    let unkeyed = sha2::Sha256::digest(message.as_bytes());
    refused(&check, &message, &unkeyed, "a digest");
}

#[test]
fn tokens_in_other_clothes_are_none() {
    let check = all();
    let token = good();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    for other in [
        format!("{header}.{payload} .{signature}"),
        format!("{header}.{payload}.{signature}\t"),
        format!("{header}\u{a0}.{payload}.{signature}"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "/") + "+"),
        format!("{header}%2E{payload}%2E{signature}"),
        json!({"protected": header, "payload": payload, "signature": signature}).to_string(),
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string(),
        format!("{}.{payload}.{signature}", encode([&[0xef, 0xbb, 0xbf][..], br#"{"alg":"HS256"}"#].concat())),
    ] {
        assert!(!taken(&check, &other), "{other}");
    }
    // A token within a token: what counts is what the outer one says itself, which is no claims.
    let claims = json!({"sub": "u", "exp": NOW + 60}).to_string();
    for (header, payload) in [
        (r#"{"alg":"HS256","cty":"JWT"}"#, token.as_str()),
        (r#"{"alg":"HS256","cty":"JWT"}"#, "\"inner\""),
        (r#"{"alg":"HS256","typ":"JOSE+JSON"}"#, ""),
    ] {
        assert_eq!(answer(&check, &raw(header, payload, "HS256")), Err(Reason::TokenInvalid), "{payload}");
    }
    for iat in ["-1", "-0.5", "1e999", "\"1\""] {
        let claims = format!(r#"{{"sub":"u","exp":{},"iat":{iat}}}"#, NOW + 60);
        assert_eq!(answer(&check, &raw(r#"{"alg":"HS256"}"#, &claims, "HS256")), Err(Reason::TokenInvalid), "{iat}");
    }
    let mut bytes = claims.into_bytes();
    bytes.push(0xff);
    let message = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(&bytes));
    refused(&check, &message, &sign("HS256", message.as_bytes()), "no UTF-8");
}
