//! The keys that a `jwt` check or one of its issuers names: in the policy, in files, published by the issuer.

use std::time;

use jsonwebtoken::Algorithm;

use crate::checks::jwt::keys::KeySet;
use crate::checks::jwt::published::{Place, Published};
use crate::context::Context;
use crate::fault::Path;

/// Where keys come from.
pub(super) struct Keyring<'s> {
    pub(super) secret: Option<&'s String>,
    pub(super) pem: &'s [String],
    pub(super) pem_files: &'s [String],
    pub(super) jwks: &'s [String],
    pub(super) jwks_url: Option<&'s String>,
    pub(super) issuer_url: Option<&'s String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keep: (time::Duration, time::Duration),
}

impl Keyring<'_> {
    /// Whether it names any.
    pub(super) fn some(&self) -> bool {
        let fixed = [self.pem, self.pem_files, self.jwks].iter().any(|list| !list.is_empty());
        fixed || [self.secret, self.jwks_url, self.issuer_url].iter().any(Option::is_some)
    }

    /// Those that are here, and those that an issuer publishes.
    pub(super) fn keys(&self, context: &mut Context<'_>, base: &Path) -> (KeySet, Option<Published>) {
        let published = self.published(context, base);
        let mut keys = KeySet::new(self.algorithms.clone());
        if let Some(name) = self.secret {
            let at = base.key("secret");
            for value in context.secret(at.clone(), name).unwrap_or_default() {
                report(context, &at, keys.add_secret(&value));
                if value.len() < 32 {
                    let why = "shorter than 32 bytes: such a secret can be guessed from one token (RFC 8725, 3.5)";
                    context.warning(at.clone(), why);
                }
            }
        }
        for (index, text) in self.pem.iter().enumerate() {
            let at = base.key("pem").index(index);
            report(context, &at, keys.add_pem(text));
        }
        for (index, file) in self.pem_files.iter().enumerate() {
            let at = base.key("pem_files").index(index);
            let Some(bytes) = context.read(at.clone(), file) else { continue };
            let text = std::str::from_utf8(&bytes).map_err(|_| "is no text".to_owned());
            report(context, &at, text.and_then(|text| keys.add_pem(text)));
        }
        for (index, file) in self.jwks.iter().enumerate() {
            let at = base.key("jwks").index(index);
            let Some(bytes) = context.read(at.clone(), file) else { continue };
            match keys.add_jwks(&bytes) {
                Ok(left_out) => left_out.into_iter().for_each(|why| context.warning(at.clone(), why)),
                Err(why) => context.error(at, format!("{file} {why}")),
            }
        }
        if published.is_none() && !keys.is_empty() {
            for algorithm in keys.unserved() {
                context.warning(base.key("algorithms"), format!("no key is for {algorithm:?}"));
            }
        }
        (keys, published)
    }

    fn published(&self, context: &mut Context<'_>, base: &Path) -> Option<Published> {
        let place = match (self.jwks_url, self.issuer_url) {
            (Some(keys), _) => Place::Keys(url(context, &base.key("jwks_url"), keys)?),
            (None, Some(issuer)) => {
                url(context, &base.key("issuer_url"), issuer)?;
                Place::Issuer(issuer.clone())
            }
            (None, None) => return None,
        };
        let (refresh, keep) = self.keep;
        Some(Published::new(place, self.algorithms.clone(), refresh, keep))
    }
}

/// An absolute URL that may be asked; one that anybody on the way can change gets a warning.
pub(in crate::checks) fn url(context: &mut Context<'_>, at: &Path, text: &str) -> Option<String> {
    let parsed = text.parse::<http::Uri>().ok();
    let host = parsed.as_ref().and_then(http::Uri::host).filter(|host| !host.is_empty());
    let scheme = parsed.as_ref().and_then(http::Uri::scheme_str);
    let sound = !text.contains(['#', '@']) && matches!(scheme, Some("http" | "https"));
    let Some(host) = host.filter(|_| sound) else {
        context.error(at.clone(), format!("`{text}` is no URL that can be asked: write one like https://id.example.com/keys"));
        return None;
    };
    let near = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    if scheme == Some("http") && !near {
        context.warning(at.clone(), "plain HTTP: whoever is on the way chooses the answer");
    }
    Some(text.to_owned())
}

fn report(context: &mut Context<'_>, at: &Path, done: Result<(), String>) {
    if let Err(why) = done {
        context.error(at.clone(), why);
    }
}
