//! A signed cookie for a browser in which a user logged in: whatever strangers fail in that user's name, there the user may
//! still try (OWASP, slow down online guessing attacks with device cookies). What fails there is counted for the cookie
//! alone, and one with too many failures is worth nothing until they are over.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use crate::ban;
use crate::context::Context;
use crate::cookie::{self, SameSite};
use crate::io::{Io, Key, StoreFault};
use crate::key::{Keys, stable};
use crate::limit::{Lease, Limit};
use crate::pages::form::Secret;
use crate::request::Request;
use crate::scalar::{self, Rate};

/// Number, end, signature.
const LENGTH: usize = 16 + 8 + 32;
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A cookie for browsers in which users logged in.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FailureDevice")]
pub(super) struct Spec {
    /// Name of the cookie. Default __Host-device.
    #[serde(default = "name")]
    cookie: String,
    /// How long it is good. Default 90d, at most 366d.
    #[serde(rename = "for", default = "quarter")]
    time: scalar::Duration,
    /// Failures until it is worth nothing, and for how long they count. Default 5/15m.
    #[serde(default = "five")]
    failures: Rate,
    /// Whether it goes over TLS only. Default true.
    #[serde(default = "yes")]
    secure: bool,
}

fn name() -> String {
    "__Host-device".to_owned()
}

fn quarter() -> scalar::Duration {
    scalar::Duration(Duration::from_secs(90 * 86_400))
}

fn five() -> Rate {
    Rate {
        max: 5,
        window: Duration::from_secs(900),
    }
}

fn yes() -> bool {
    true
}

/// Ready to be asked.
#[derive(Debug)]
pub(super) struct Devices {
    cookie: String,
    time: Duration,
    secure: bool,
    keys: Keys,
    signer: hmac::Key,
    limit: Limit,
}

/// Whether who tries to log in does so where the user did before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// No cookie, or one that is worth nothing.
    None,
    /// A good one, with a place for this attempt.
    Device(Key),
    /// As many attempts are under way with it as may still fail.
    Full,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Devices> {
        let errors = context.errors();
        let at = context.at.key("device");
        if self.time.0.is_zero() || self.time.0 > LONGEST {
            context.error(at.key("for"), "more than nothing, at most 366d");
        }
        if !self.secure && self.cookie.starts_with("__") {
            context.error(at.key("secure"), "browsers refuse such a cookie unless it is secure");
        }
        let secret = Secret::derived(context.keys, "device");
        let devices = Devices {
            cookie: self.cookie,
            time: self.time.0,
            secure: self.secure,
            keys: context.keys,
            signer: hmac::Key::new(hmac::HMAC_SHA256, &secret.0),
            limit: Limit {
                id: context.stable_id ^ stable("failures device"),
                algorithm: crate::limit::Algorithm::Window,
                max: self.failures.max,
                window: self.failures.window,
                count_refused: false,
            },
        };
        if devices.set("x").is_none() {
            context.error(at.key("cookie"), format!("`{}` is not a name of a cookie", devices.cookie));
        }
        (context.errors() == errors).then_some(devices)
    }
}

impl Devices {
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    fn set(&self, value: &str) -> Option<HeaderValue> {
        let set = cookie::Set {
            name: &self.cookie,
            value,
            age: Some(self.time),
            same_site: SameSite::Lax,
            script: false,
            secure: self.secure,
        };
        set.header()
    }

    fn mac(&self, user: &str, number: &[u8], ends: u64) -> hmac::Tag {
        let user = ban::to_the_letter(self.keys.start(stable("failures/device/user")), user).finish();
        let mut context = hmac::Context::with_key(&self.signer);
        context.update(b"palisade/device/1\0");
        context.update(&user.0.to_be_bytes());
        context.update(number);
        context.update(&ends.to_be_bytes());
        context.sign()
    }

    /// A new cookie for who logged in now; `now` in Unix seconds.
    pub(super) fn make(&self, user: &str, random: [u8; 32], now: u64) -> Option<HeaderValue> {
        let (number, _) = random.split_first_chunk::<16>()?;
        let ends = now.saturating_add(self.time.as_secs());
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(number);
        bytes.extend_from_slice(&ends.to_be_bytes());
        bytes.extend_from_slice(self.mac(user, number, ends).as_ref());
        self.set(&URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Where the failures of a cookie that is good for this user are counted.
    fn key(&self, request: &Request<'_>, user: &str, now: u64) -> Option<Key> {
        let sent = cookie::value(request.headers, &self.cookie).ok().flatten()?;
        let bytes = URL_SAFE_NO_PAD.decode(sent).ok().filter(|bytes| bytes.len() == LENGTH)?;
        let (number, rest) = bytes.split_first_chunk::<16>()?;
        let (ends, tag) = rest.split_first_chunk::<8>()?;
        let ends = u64::from_be_bytes(*ends);
        let signed: bool = self.mac(user, number, ends).as_ref().ct_eq(tag).into();
        let start = self.keys.start(stable("failures/device"));
        (signed && now < ends && !user.is_empty()).then(|| start.part(0, number).finish())
    }

    /// How the request stands; a good cookie takes a place for its attempt.
    pub(super) async fn trust<I: Io>(&self, io: &mut I, request: &Request<'_>, user: &str) -> Result<Trust, StoreFault> {
        let now = io.now().unix / 1000;
        let Some(key) = self.key(request, user, now) else { return Ok(Trust::None) };
        let standing = io.count(&self.limit, key, 0).await?;
        if standing.remaining == 0 {
            return Ok(Trust::None);
        }
        let lease = Lease { id: self.limit.id, max: standing.remaining };
        if !io.lease(&lease, key).await? {
            return Ok(Trust::Full);
        }
        // A failure that was counted in between gave its place to this one.
        let again = io.count(&self.limit, key, 0).await?;
        Ok(if again.remaining < standing.remaining { Trust::Full } else { Trust::Device(key) })
    }

    /// The same once the application has answered.
    pub(super) async fn trusted<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
        user: &str,
    ) -> Result<Option<Key>, StoreFault> {
        let now = io.now().unix / 1000;
        let Some(key) = self.key(request, user, now) else { return Ok(None) };
        let standing = io.count(&self.limit, key, 0).await?;
        Ok((standing.remaining > 0).then_some(key))
    }

    /// Counts a failure; whether it was one too many.
    pub(super) async fn failed<I: Io>(&self, io: &mut I, key: Key) -> Result<bool, StoreFault> {
        Ok(io.count(&self.limit, key, 1).await?.remaining == 0)
    }
}
