//! What another service is asked about a token: introspection, and whether its user is still active.

use zeroize::Zeroizing;

use super::super::active::{self, Active};
use super::super::claims::Rules;
use super::super::introspection::Introspection;
use super::{Spec, basic, bearer, url};
use crate::checks::OnError;
use crate::context::Context;

impl Spec {
    pub(super) fn introspection(&self, context: &mut Context<'_>, rules: &Rules, no_keys: bool) -> Option<Introspection> {
        let spec = self.introspection.as_ref()?;
        let here = context.at.key("introspection");
        let url = url(context, &here.key("url"), &spec.url);
        let outer = std::mem::replace(&mut context.at, here);
        let secret = secret(context, spec.secret.as_ref());
        let authorization = match (&spec.client, secret) {
            (Some(client), secret) => Some(basic(client, secret.as_deref().map_or(&[], Vec::as_slice))),
            (None, Some(token)) => Some(bearer(&token)),
            (None, None) => None,
        };
        let authorization = authorization.flatten();
        let cache = context.bounded("cache", spec.cache, (30, [1, 3600]));
        let timeout = context.bounded("timeout", spec.timeout, (2, [1, 30]));
        context.at = outer;
        Some(Introspection {
            url: url?,
            authorization,
            cache,
            timeout,
            always: spec.always.unwrap_or(no_keys),
            rules: rules.clone(),
        })
    }

    pub(super) fn active(&self, context: &mut Context<'_>) -> Option<Active> {
        let spec = self.active.as_ref()?;
        let here = context.at.key("active");
        let at = here.key("url");
        let outer = std::mem::replace(&mut context.at, here);
        let sample = spec.url.replace(active::USER, "user");
        let url = url(context, &at, &sample).map(|_| spec.url.clone());
        let after_host = spec.url.splitn(4, '/').nth(3).unwrap_or_default();
        if !after_host.contains(active::USER) {
            context.error(at, "has no `{user}` in its path or query: everybody would be the same user");
        }
        if spec.on_error == Some(OnError::Local) {
            let at = context.at.key("on_error");
            context.error(at, "there is no local share of it: write deny or allow");
        }
        let token = secret(context, spec.secret.as_ref());
        let cache = context.bounded("cache", spec.cache, (60, [1, 3600]));
        let timeout = context.bounded("timeout", spec.timeout, (2, [1, 30]));
        context.at = outer;
        Some(Active {
            url: url?,
            authorization: token.and_then(|token| bearer(&token)),
            cache,
            timeout,
            open: spec.on_error == Some(OnError::Allow),
        })
    }
}

/// The current value of a secret that is shown to somebody else.
fn secret(context: &mut Context<'_>, name: Option<&String>) -> Option<Zeroizing<Vec<u8>>> {
    let at = context.at.key("secret");
    let values = context.secret(at, name?)?;
    values.into_iter().next()
}
