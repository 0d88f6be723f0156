//! Tokens and public keys for the benches of `jwt`: made before callgrind runs, which would take minutes for an RSA key.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::stage::{NOW, SECRET};

/// Of each algorithm: what is measured, what warms up, each but once.
pub(crate) const COUNT: usize = 64;
pub(crate) const ALGORITHMS: [&str; 3] = ["HS256", "RS256", "ES256"];

type Sign = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Unspecified>>;

pub(crate) fn write(folder: &Path) -> Result<(), String> {
    for algorithm in ALGORITHMS {
        let (pem, sign) = signer(algorithm).map_err(|fault| fault.to_string())?;
        let tokens: Result<Vec<String>, Unspecified> = (0..COUNT)
            .map(|number| token(algorithm, &sign, number))
            .collect();
        let lines = tokens.map_err(|fault| fault.to_string())?.join("\n");
        let file = |end: &str| folder.join(format!("{algorithm}.{end}"));
        std::fs::write(file("pem"), pem).map_err(|fault| fault.to_string())?;
        std::fs::write(file("tokens"), lines).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

pub(crate) fn read(folder: &str, algorithm: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(format!("{folder}/{algorithm}.tokens"));
    let text = text.map_err(|fault| fault.to_string())?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Public key in PEM, and what signs with the private one.
fn signer(algorithm: &str) -> Result<(String, Sign), Unspecified> {
    let random = SystemRandom::new();
    let pem = |der: PublicKeyX509Der<'_>| {
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    };
    match algorithm {
        "RS256" => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
            let public = pem(key.public_key().as_der()?);
            let sign = move |message: &[u8]| {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            };
            Ok((public, Box::new(sign)))
        }
        "ES256" => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            let public = pem(key.public_key().as_der()?);
            let sign = move |message: &[u8]| Ok(key.sign(&random, message)?.as_ref().to_vec());
            Ok((public, Box::new(sign)))
        }
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            let sign = move |message: &[u8]| Ok(hmac::sign(&key, message).as_ref().to_vec());
            Ok((String::new(), Box::new(sign)))
        }
    }
}

fn token(algorithm: &str, sign: &Sign, number: usize) -> Result<String, Unspecified> {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
    let claims = format!(
        r#"{{"sub":"user-{number:02}","role":"user","scopes":["chat","rag:query"],"token_type":"access","jti":"{number:032x}","iat":{NOW},"nbf":{NOW},"exp":{}}}"#,
        NOW + 86_400
    );
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}
