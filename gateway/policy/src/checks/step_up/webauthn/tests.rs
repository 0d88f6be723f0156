#![expect(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::*;

pub(in crate::checks::step_up) const PRESENT: u8 = super::PRESENT;
pub(in crate::checks::step_up) const VERIFIED: u8 = super::VERIFIED;

const HOST: &str = "app.example";
const CHALLENGE: &str = "cXVlc3Rpb24";

fn expected() -> Expected<'static> {
    Expected { challenge: CHALLENGE, relying_party: HOST, host: HOST, origin: None, verify_user: false }
}

fn client(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
    let data = json!({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false});
    data.to_string().into_bytes()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn string(head: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[head | 25], &length[..], bytes].concat()
}

/// A security key in software.
pub(in crate::checks::step_up) enum Device {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Device {
    pub(in crate::checks::step_up) fn new() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// What a browser puts into the form for a key that is made, as JSON.
    pub(in crate::checks::step_up) fn register(&self, challenge: &str, flags: u8) -> String {
        let client = client("webauthn.create", challenge, "https://app.example");
        let attestation = self.attestation(&self.data(HOST, flags | ATTESTED, 3), None);
        json!({"id": text(&[7, 7]), "client": text(&client), "attestation": text(&attestation)}).to_string()
    }

    /// The same for a key that answers.
    pub(in crate::checks::step_up) fn answer(&self, challenge: &str, flags: u8, counter: u32) -> String {
        let client = client("webauthn.get", challenge, "https://app.example");
        let data = self.data(HOST, flags, counter);
        let signature = text(&self.sign(&data, &client));
        json!({"id": text(&[7, 7]), "client": text(&client), "authenticator": text(&data), "signature": signature})
            .to_string()
    }

    fn all() -> [Self; 3] {
        [
            Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            Self::Ed(Ed25519KeyPair::generate().unwrap()),
            Self::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
        ]
    }

    fn sign(&self, data: &[u8], client: &[u8]) -> Vec<u8> {
        let message = [data, &Sha256::digest(client)].concat();
        match self {
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(&message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref().get(1..).unwrap().split_at(32);
                [&b"\xa5\x01\x02\x03\x26\x20\x01\x21"[..], &string(0x40, x), b"\x22", &string(0x40, y)].concat()
            }
            Self::Ed(pair) => {
                [&b"\xa4\x01\x01\x03\x27\x20\x06\x21"[..], &string(0x40, pair.public_key().as_ref())].concat()
            }
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let modulus = key.modulus().big_endian_without_leading_zero().to_vec();
                let exponent = key.exponent().big_endian_without_leading_zero().to_vec();
                let n = string(0x40, &modulus);
                [&b"\xa4\x01\x03\x03\x39\x01\x00\x20"[..], &n, b"\x21", &string(0x40, &exponent)].concat()
            }
        }
    }

    fn data(&self, party: &str, flags: u8, counter: u32) -> Vec<u8> {
        let mut data = Sha256::digest(party).to_vec();
        data.push(flags);
        data.extend(counter.to_be_bytes());
        if flags & ATTESTED != 0 {
            data.extend([0; 16]);
            data.extend([0, 2, 7, 7]);
            data.extend(self.cose());
        }
        data
    }

    fn attestation(&self, data: &[u8], packed: Option<&[u8]>) -> Vec<u8> {
        let data = string(0x40, data);
        let (kind, statement) = match packed {
            None => (&b"\x64none"[..], b"\xa0".to_vec()),
            Some(client) => {
                let raw = data.get(3..).unwrap();
                let signature = string(0x40, &self.sign(raw, client));
                (&b"\x66packed"[..], [&b"\xa2\x63alg\x26\x63sig"[..], &signature].concat())
            }
        };
        [&b"\xa3\x63fmt"[..], kind, b"\x67attStmt", &statement, b"\x68authData", &data].concat()
    }

    fn registration(&self, client: &[u8], attestation: &[u8]) -> Brought {
        Brought {
            id: text(&[7, 7]),
            client: text(client),
            attestation: text(attestation),
            authenticator: String::new(),
            signature: String::new(),
        }
    }

    fn made(&self) -> Made {
        let client = client("webauthn.create", CHALLENGE, "https://app.example");
        let attestation = self.attestation(&self.data(HOST, PRESENT | ATTESTED, 3), None);
        registered(&self.registration(&client, &attestation), expected()).unwrap()
    }

    fn assertion(&self, client: &[u8], data: &[u8]) -> Brought {
        Brought {
            id: text(&[7, 7]),
            client: text(client),
            attestation: String::new(),
            authenticator: text(data),
            signature: text(&self.sign(data, client)),
        }
    }
}

#[test]
fn keys_of_every_offered_kind_are_registered_and_recognised() {
    let others = Device::all();
    for (device, other) in Device::all().into_iter().zip(&others) {
        let made = device.made();
        assert_eq!((made.counter, made.id.as_str()), (3, "Bwc"));
        let client = client("webauthn.get", CHALLENGE, "https://app.example:8443");
        let data = device.data(HOST, PRESENT, 4);
        let judge = |data: &[u8]| asserted(&device.assertion(&client, data), &made.public, expected());
        assert_eq!(judge(&data), Some(Answered { counter: 4, verified: false }));
        let checked = device.data(HOST, PRESENT | VERIFIED, 5);
        assert_eq!(judge(&checked), Some(Answered { counter: 5, verified: true }), "it checked its user");
        assert_eq!(asserted(&other.assertion(&client, &data), &made.public, expected()), None);
        let kept = serde_json::to_string(&made.public).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&kept).unwrap(), made.public);
    }
}

#[test]
fn an_answer_to_anything_but_our_question_is_refused() {
    let [device, ..] = Device::all();
    let made = device.made();
    let good = device.data(HOST, PRESENT | VERIFIED, 9);
    let ask = |client: Vec<u8>, data: &[u8], expected: Expected<'_>| {
        asserted(&device.assertion(&client, data), &made.public, expected).is_some()
    };
    let right = || client("webauthn.get", CHALLENGE, "https://app.example");
    assert!(ask(right(), &good, expected()));
    for wrong in [
        client("webauthn.create", CHALLENGE, "https://app.example"),
        client("webauthn.get", "b3RoZXI", "https://app.example"),
        client("webauthn.get", CHALLENGE, "https://evil.example"),
        client("webauthn.get", CHALLENGE, "http://app.example"),
        client("webauthn.get", CHALLENGE, "https://app.example.evil.example"),
        br#"{"type":"webauthn.get","challenge":"cXVlc3Rpb24","origin":"https://app.example","crossOrigin":true}"#.to_vec(),
        b"{}".to_vec(),
    ] {
        assert!(!ask(wrong.clone(), &good, expected()), "{}", String::from_utf8_lossy(&wrong));
    }
    assert!(!ask(right(), &device.data("evil.example", PRESENT, 9), expected()));
    assert!(!ask(right(), &device.data(HOST, 0, 9), expected()), "nobody touched it");
    let verified = Expected { verify_user: true, ..expected() };
    assert!(ask(right(), &good, verified));
    assert!(!ask(right(), &device.data(HOST, PRESENT, 9), verified));
    let elsewhere = Expected { origin: Some("https://app.example:1"), ..expected() };
    assert!(!ask(right(), &good, elsewhere));
    let local = Expected { host: "localhost", relying_party: "localhost", ..expected() };
    let at_home = client("webauthn.get", CHALLENGE, "http://localhost:8080");
    assert!(ask(at_home, &device.data("localhost", PRESENT, 9), local));
    let mut cut = good.clone();
    cut.truncate(30);
    assert!(!ask(right(), &cut, expected()));
    assert!(!ask(right(), &[&good[..], b"\x00"].concat(), expected()), "something follows");
}

#[test]
fn attestation_is_none_or_of_the_key_itself_and_true() {
    let [device, ..] = Device::all();
    let [other, ..] = Device::all();
    let asked = client("webauthn.create", CHALLENGE, "https://app.example");
    let data = device.data(HOST, PRESENT | ATTESTED, 0);
    let judge = |attestation: &[u8]| registered(&device.registration(&asked, attestation), expected()).is_some();
    assert!(judge(&device.attestation(&data, None)));
    assert!(judge(&device.attestation(&data, Some(&asked))));
    assert!(!judge(&other.attestation(&data, Some(&asked))), "signed by another key");
    assert!(!judge(&device.attestation(&device.data(HOST, PRESENT, 0), None)), "no key in it");
    let foreign = [&b"\xa3\x63fmt\x68fido-u2f\x67attStmt\xa0\x68authData"[..], &string(0x40, &data)].concat();
    assert!(!judge(&foreign));
    let mut renamed = device.registration(&asked, &device.attestation(&data, None));
    renamed.id = text(&[8, 8]);
    assert!(registered(&renamed, expected()).is_none());
}
