//! Codes of authenticator apps (RFC 6238 over RFC 4226). Knows no user and no store; time is an argument.
//!
//! Written here rather than taken from a crate: what matters is which step a code belongs to, so that it is accepted once
//! ever, and that is what `totp-rs` does not tell.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Seconds that a code is shown for: what every app assumes.
const PERIOD: u64 = 30;

/// Steps that an app's clock may be behind or ahead.
const SKEW: u64 = 1;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// How codes are made. Many apps know SHA1 only, whatever the QR code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names of RFC 6238")]
pub enum Algorithm {
    #[default]
    Sha1,
    Sha256,
    Sha512,
}

/// An app that shares a secret with us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totp {
    /// Base32, 160 bits.
    secret: String,
    algorithm: Algorithm,
    pub(super) digits: u8,
    /// The last step whose code was accepted: it and those before are used up.
    last: u64,
    /// Unix seconds of the set-up.
    pub(super) since: u64,
}

impl Totp {
    pub(super) fn new(random: &[u8; 32], algorithm: Algorithm, digits: u8, now: u64) -> Self {
        let secret = random.first_chunk::<20>().map_or_else(String::new, |secret| base32(secret));
        Self { secret, algorithm, digits, last: 0, since: now }
    }

    /// As people type it into an app.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether this is a code of now, or of the step before or after, that was never accepted; it is used up then. Takes as
    /// long for a wrong code as for a right one.
    pub(super) fn accept(&mut self, code: &str, now: u64) -> bool {
        let Some(secret) = decoded(&self.secret) else { return false };
        let name = match self.algorithm {
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
        };
        let key = hmac::Key::new(name, &secret);
        let step = now / PERIOD;
        let mut found = 0;
        for step in step.saturating_sub(SKEW)..=step.saturating_add(SKEW) {
            let same = self.code(&key, step).as_bytes().ct_eq(code.as_bytes());
            found.conditional_assign(&step, same & Choice::from(u8::from(step > self.last)));
        }
        if found > 0 {
            self.last = found;
        }
        found > 0
    }

    /// RFC 4226, 5.3.
    fn code(&self, key: &hmac::Key, step: u64) -> String {
        let tag = hmac::sign(key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or(0) & 15);
        let four = tag.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let number = u32::from_be_bytes(four) & 0x7fff_ffff;
        let width = usize::from(self.digits);
        format!("{:0width$}", number % 10_u32.pow(u32::from(self.digits.min(9))))
    }

    /// What an app reads from the QR code.
    pub(super) fn address(&self, issuer: &str, account: &str) -> String {
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Sha512 => "SHA512",
        };
        let (issuer, account) = (encoded(issuer), encoded(account));
        format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm={algorithm}&digits={}&period={PERIOD}",
            self.secret, self.digits
        )
    }
}

/// Percent-encoding with `%20` for a space, which apps read where they do not read `+`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// RFC 4648, 6, for whole groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / 5);
    for group in bytes.chunks_exact(5) {
        let number = group.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let index = (number >> (5 * place) & 31) as usize;
            out.extend(ALPHABET.get(index).map(|letter| char::from(*letter)));
        }
    }
    out
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    for group in text.as_bytes().chunks_exact(8) {
        let mut number = 0_u64;
        for letter in group {
            let place = ALPHABET.iter().position(|known| known == letter)?;
            number = number << 5 | place as u64;
        }
        out.extend(number.to_be_bytes().into_iter().skip(3));
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
impl Totp {
    /// The code of a moment, as the app shows it.
    pub(super) fn shown(secret: &str, now: u64) -> String {
        let totp = Self { secret: secret.to_owned(), algorithm: Algorithm::Sha1, digits: 6, last: 0, since: 0 };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &decoded(secret).unwrap_or_default());
        totp.code(&key, now / PERIOD)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(secret: &[u8], algorithm: Algorithm, digits: u8) -> Totp {
        Totp { secret: base32(secret), algorithm, digits, last: 0, since: 0 }
    }

    /// RFC 6238, appendix B, its SHA1 column.
    #[test]
    fn makes_the_codes_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (now, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert!(of(secret, Algorithm::Sha1, 8).accept(code, now), "{now}");
            assert!(of(secret, Algorithm::Sha1, 6).accept(&code[2..], now), "{now}");
            assert!(!of(secret, Algorithm::Sha256, 8).accept(code, now), "{now}");
        }
    }

    #[test]
    fn a_step_more_or_less_is_accepted_and_no_other() {
        let secret = base32(b"12345678901234567890");
        let now = 1_111_111_111;
        for (shown, good) in [(now - 60, false), (now - 30, true), (now, true), (now + 30, true), (now + 60, false)] {
            let code = Totp::shown(&secret, shown);
            let mut totp = of(b"12345678901234567890", Algorithm::Sha1, 6);
            assert_eq!(totp.accept(&code, now), good, "{shown}");
        }
    }

    #[test]
    fn a_code_is_used_up_with_all_before_it() {
        let mut totp = of(b"12345678901234567890", Algorithm::Sha1, 6);
        let now = 1_111_111_111;
        let [before, this, next] = [now - 30, now, now + 30].map(|at| Totp::shown(&totp.secret, at));
        assert!(totp.accept(&this, now));
        assert!(!totp.accept(&this, now));
        assert!(!totp.accept(&before, now));
        assert!(!totp.accept("", now) && !totp.accept("000000000", now));
        assert!(totp.accept(&next, now));
        assert!(!totp.accept(&next, now + 30));
    }

    #[test]
    fn the_address_names_issuer_and_account_so_that_nothing_runs_over() {
        let totp = of(&[0; 20], Algorithm::Sha1, 6);
        assert_eq!(
            totp.address("Shop & Co", "ann:x@y.example?secret=B"),
            "otpauth://totp/Shop%20%26%20Co:ann%3Ax@y.example%3Fsecret%3DB?secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
             &issuer=Shop%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn base32_is_what_others_read() {
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
        assert_eq!(decoded("MZXW6YTB").unwrap(), b"fooba");
        assert_eq!(decoded("MZXW6YT1"), None);
        assert_eq!(decoded(""), None);
    }
}
