//! What attackers send (ATTACKS.md, row JWT). Every case beside one that passes.

use proptest::prelude::*;

use super::*;

fn all() -> Check {
    compile(json!({"secret": "jwt", "pem_files": ["rsa.pem", "p256.pem", "p384.pem", "ed.pem"]})).unwrap()
}

fn claims() -> String {
    json!({"sub": "u", "exp": NOW + 60}).to_string()
}

#[test]
fn refuses_none_in_every_spelling() {
    let check = all();
    assert_eq!(answer(&check, &raw(r#"{"alg":"HS256"}"#, &claims(), "HS256")), Ok(()));
    for alg in ["none", "None", "NONE", "nOnE", "", " none", "HS256 ", "hs256", "null"] {
        let message = format!("{}.{}", encode(json!({"alg": alg}).to_string()), encode(claims()));
        for signature in ["", "AA", &encode(sign("HS256", message.as_bytes()))] {
            assert_eq!(answer(&check, &format!("{message}.{signature}")), Err(Reason::TokenInvalid), "{alg}");
        }
        assert_eq!(answer(&check, &message), Err(Reason::TokenInvalid));
    }
    for header in [r#"{}"#, r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"ALG":"HS256"}"#, r#"{"alg":0}"#] {
        assert_eq!(answer(&check, &raw(header, &claims(), "HS256")), Err(Reason::TokenInvalid), "{header}");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let check = compile(json!({"pem_files": ["rsa.pem", "p256.pem", "ed.pem"]})).unwrap();
    let public = pem(RSA.public_key());
    let der = AsDer::<PublicKeyX509Der<'static>>::as_der(RSA.public_key()).unwrap();
    for (alg, with) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        let message = format!("{}.{}", encode(json!({"alg": alg}).to_string()), encode(claims()));
        let keys: [&[u8]; 5] =
            [public.as_bytes(), public.trim_end().as_bytes(), der.as_ref(), ED.public_key().as_ref(), b""];
        for key in keys {
            let mac = hmac::sign(&hmac::Key::new(with, key), message.as_bytes());
            assert_eq!(answer(&check, &format!("{message}.{}", encode(mac))), Err(Reason::TokenInvalid));
        }
    }
}

#[test]
fn an_algorithm_belongs_to_its_key() {
    let check = all();
    let algorithms = ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA", "HS512", "RS512"];
    for said in algorithms {
        for used in algorithms.into_iter().filter(|used| *used != said) {
            let token = raw(&json!({"alg": said}).to_string(), &claims(), used);
            assert_eq!(answer(&check, &token), Err(Reason::TokenInvalid), "says {said}, is {used}");
        }
    }
    let only = compile(json!({"secret": "jwt", "algorithms": ["HS384"]})).unwrap();
    assert_eq!(answer(&only, &signed("HS384", &json!({"sub": "u", "exp": NOW + 60}))), Ok(()));
    assert_eq!(answer(&only, &signed("HS256", &json!({"sub": "u", "exp": NOW + 60}))), Err(Reason::TokenInvalid));
}

#[test]
fn refuses_signatures_of_nobody() {
    let check = all();
    for (alg, lengths) in [("ES256", [64, 70, 0]), ("ES384", [96, 64, 0]), ("RS256", [256, 128, 1]), ("EdDSA", [64, 32, 0])] {
        let message = format!("{}.{}", encode(json!({"alg": alg}).to_string()), encode(claims()));
        for length in lengths {
            for fill in [0, 1, 255] {
                let token = format!("{message}.{}", encode(vec![fill; length]));
                assert_eq!(answer(&check, &token), Err(Reason::TokenInvalid), "{alg}: {length} × {fill}");
            }
        }
    }
    let message = format!("{}.{}", encode(r#"{"alg":"RS256"}"#), encode(claims()));
    let others = encode(rsa_sign(&OTHER_RSA, &RSA_PKCS1_SHA256, message.as_bytes()));
    assert_eq!(answer(&check, &format!("{message}.{others}")), Err(Reason::TokenInvalid));
}

#[test]
fn keys_that_a_token_brings_or_names_are_not_read() {
    let check = all();
    let other = OTHER_RSA.public_key();
    let jwk = json!({"kty": "RSA", "n": encode(other.modulus().big_endian_without_leading_zero()), "e": "AQAB"});
    for header in [
        json!({"alg": "RS256", "jwk": jwk}),
        json!({"alg": "RS256", "jku": "https://attacker.example/jwks.json"}),
        json!({"alg": "RS256", "x5u": "https://attacker.example/cert.pem"}),
        json!({"alg": "RS256", "x5c": ["MIIB"]}),
    ] {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims()));
        let own = encode(rsa_sign(&OTHER_RSA, &RSA_PKCS1_SHA256, message.as_bytes()));
        assert_eq!(answer(&check, &format!("{message}.{own}")), Err(Reason::TokenInvalid));
        assert_eq!(answer(&check, &raw(&header.to_string(), &claims(), "RS256")), Ok(()), "ignored, not obeyed");
    }
    for kid in [json!("../../dev/null"), json!("' OR 1=1 --"), json!("x\u{0}"), json!(""), json!("k".repeat(257))] {
        let token = raw(&json!({"alg": "HS256", "kid": kid}).to_string(), &claims(), "HS256");
        let expected = if kid.as_str().unwrap().len() > 256 { Err(Reason::TokenInvalid) } else { Ok(()) };
        assert_eq!(answer(&check, &token), expected, "our secret has no name to choose by");
    }
    for kid in ["1", "null", "[]", "{}", "true"] {
        let token = raw(&format!(r#"{{"alg":"HS256","kid":{kid}}}"#), &claims(), "HS256");
        assert_eq!(answer(&check, &token), Err(Reason::TokenInvalid), "{kid}");
    }
}

#[test]
fn refuses_what_it_does_not_understand() {
    let check = all();
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["http://example.com/UNDEFINED"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","enc":"A128GCM"}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256"}{}"#,
        r#"["alg"]"#,
        "",
        "x",
    ] {
        assert_eq!(answer(&check, &raw(header, &claims(), "HS256")), Err(Reason::TokenInvalid), "{header}");
    }
    for payload in [
        format!(r#"{{"sub":"u","exp":{0},"role":"user","role":"admin"}}"#, NOW + 60),
        format!(r#"{{"sub":"u","exp":{0},"x":{{"a":1,"a":2}}}}"#, NOW + 60),
        format!(r#"{{"sub":"u","exp":{0}}} "#, NOW + 60) + "x",
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(answer(&check, &raw(r#"{"alg":"HS256"}"#, &payload, "HS256")), Err(Reason::TokenInvalid), "{payload}");
    }
}

#[test]
fn one_spelling_per_token() {
    let check = all();
    let token = good();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    for other in [
        format!("{token}="),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.x"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{}", STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())),
        format!("{header}..{payload}.{signature}"),
        format!("{message}."),
        format!("{header}.{signature}"),
        "..".to_owned(),
        ".".to_owned(),
        "a.b.c.d.e".to_owned(),
    ] {
        assert_eq!(answer(&check, &other), Err(Reason::TokenInvalid), "{other}");
    }
    // The last character of 32 bytes carries two bits that mean nothing: only zero will do.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spellings = alphabet.chars().filter(|c| answer(&check, &format!("{message}.{rest}{c}")).is_ok());
    assert_eq!(spellings.collect::<String>(), last);
}

#[test]
fn size_comes_first() {
    let check = all();
    let just = with(json!({"x": "y".repeat(5_900)}));
    assert!(just.len() <= token::LONGEST && answer(&check, &just).is_ok());
    let over = with(json!({"x": "y".repeat(6_100)}));
    assert!(over.len() > token::LONGEST);
    assert_eq!(answer(&check, &over), Err(Reason::TokenInvalid));
    assert_eq!(answer(&check, &"A".repeat(1 << 20)), Err(Reason::TokenInvalid));
    assert_eq!(answer(&check, &".".repeat(8000)), Err(Reason::TokenInvalid));
}

#[test]
fn deep_json_costs_nothing() {
    let check = all();
    let deep = format!(r#"{{"sub":"u","exp":{},"x":{}{}}}"#, NOW + 60, "[".repeat(2000), "]".repeat(2000));
    assert_eq!(answer(&check, &raw(r#"{"alg":"HS256"}"#, &deep, "HS256")), Err(Reason::TokenInvalid));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_pass_and_none_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let check = all();
        prop_assert!(!taken(&check, &String::from_utf8_lossy(&bytes)));
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut asked = Asked::default();
            asked.headers.insert(AUTHORIZATION, value);
            prop_assert!(ask(&check, &mut asked, &mut Invented::default()).is_err());
            prop_assert!(asked.facts.identity.is_none());
        }
    }

    #[test]
    fn no_parts_of_arbitrary_bytes_pass(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
        let token = format!("{}.{}.{}", encode(header), encode(payload), encode(signature));
        prop_assert!(!taken(&all(), &token));
    }

    #[test]
    fn no_changed_byte_passes(position in 0..300usize, byte in 0x21..0x7fu8) {
        let check = all();
        let token = good();
        let mut bytes = token.clone().into_bytes();
        let position = position % bytes.len();
        prop_assume!(bytes.get(position) != Some(&byte));
        *bytes.get_mut(position).unwrap() = byte;
        prop_assert!(answer(&check, std::str::from_utf8(&bytes).unwrap()).is_err());
        prop_assert_eq!(answer(&check, &token), Ok(()));
    }

    #[test]
    fn signed_claims_of_any_shape_never_panic(payload in "\\PC{0,60}", exp in any::<f64>()) {
        let check = hs(json!({"forward": {"sub": "X-User", "a": "X-A"}, "audience": "x", "revocation": true}));
        for claims in [payload.clone(), format!(r#"{{"exp":{exp:?},"sub":"{payload}"}}"#)] {
            let refused = answer(&check, &raw(r#"{"alg":"HS256"}"#, &claims, "HS256")).is_err();
            prop_assert!(refused);
        }
    }
}
