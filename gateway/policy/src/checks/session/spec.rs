//! What operators write for `session`, and how it becomes a check of one of its two kinds.

use std::collections::{BTreeMap, HashMap};

use http::HeaderName;
use serde::Deserialize;

use super::keeper::{Bind, Cookie, Keeper, Limits, WhenFull};
use super::login::{EndSpec, Requests, StartSpec};
use super::oidc::OidcSpec;
use super::own::{How, Own, Users, forwarded};
use super::record::Names;
use super::refusal::Login;
use super::token::{Renewal, Token};
use super::{Check, Kind};
use crate::asker;
use crate::checks::jwt::{self, Signature, Wanted};
use crate::checks::OnError;
use crate::context::Context;
use crate::cookie::SameSite;
use crate::document::Document;
use crate::fault::Path;
use crate::scalar::{Duration, Texts};
use crate::yaml::suggest;

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
const YEAR: std::time::Duration = std::time::Duration::from_secs(366 * 86_400);
const MOST: usize = 1000;

/// Establishes who asks, and the session that this is a part of. With `start` or `oidc` the sessions are the gateway's own:
/// one begins when the application's log-in goes well, or an OpenID provider says who it is, under an identifier that nobody
/// knew before, and is kept in the store.
/// With `cookie` and a key (`secret`, `pem`, …) the session is the application's own token in that cookie. Who has none is
/// sent to `login` (pages: 303, htmx: HX-Redirect), or gets 401.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionCheck")]
pub struct Spec {
    /// The application's log-in: begins a session of the gateway's own.
    start: Option<StartSpec>,
    /// A log-in at an OpenID provider: begins a session of the gateway's own, for applications that have no log-in.
    oidc: Option<OidcSpec>,
    /// The application's log-out: ends the session, or calls the token back.
    end: Option<EndSpec>,
    /// The application's log-in page. Everybody may see it; who has no session is sent there. Default with `oidc`: the
    /// gateway's own, /.palisade/login.
    login: Option<String>,
    /// Parameter that tells the log-in page where to go on; "" for none. Default: return.
    #[serde(rename = "return")]
    back: Option<String>,
    /// Name of the cookie. Default, for the gateway's own: __Host-session.
    cookie: Option<String>,
    /// Whether the cookies that the gateway sets go over TLS only. Default true.
    secure: Option<bool>,
    /// From which sites browsers send them: lax (the default), strict or none.
    same_site: Option<SameSite>,
    /// From the log-in to the end, whatever happens. Default 12h, at most 366d.
    absolute: Option<Duration>,
    /// A route may ask for a log-in that is not older than this.
    reauthenticate: Option<Reauthenticate>,
    /// Headers for the application: {user: X-User-Id, roles: X-User-Roles}; other names are claims. Clients cannot send them.
    #[serde(default)]
    forward: BTreeMap<String, String>,
    /// Let requests without a session pass as nobody.
    #[serde(default)]
    optional: bool,
    /// Own sessions: how long one lives without a request. Default 30m, at most `absolute`.
    idle: Option<Duration>,
    /// Own sessions: how often it is written down that one is in use; it may end so much too early. Default: a tenth of
    /// `idle`, at most 1m.
    renew_every: Option<Duration>,
    /// How many one user may have at a time, 1 to 1000. Default for own sessions 100. Those of tokens are counted, listed and
    /// ended one by one where this is said: a session is what has the same sid, else jti, else the same token.
    most: Option<usize>,
    /// What happens beyond that: end_oldest (the default) or refuse_newest.
    when_full: Option<WhenFull>,
    /// Own sessions: good from where they began only: client (an IPv4 address, an IPv6 /64), user_agent. Default: anywhere.
    #[serde(default)]
    bind: Vec<BindWord>,
    /// Own sessions: whether the browser keeps the cookie when it is closed. Default false.
    persistent: Option<bool>,
    /// Own sessions: the roles of users, for `authorize` and `forward`.
    users: Option<UsersSpec>,
    /// Token: name of the secret that signs it; as `jwt` has it, like the keys down to `revocation`.
    secret: Option<String>,
    /// Token: public keys in PEM.
    #[serde(default)]
    pem: Texts,
    /// Token: files of public keys.
    #[serde(default)]
    pem_files: Texts,
    /// Token: files with JSON Web Key Sets.
    #[serde(default)]
    jwks: Texts,
    /// Token: algorithms that may be used.
    #[serde(default)]
    algorithms: Vec<Signature>,
    /// Token: accepted values of iss.
    #[serde(default)]
    issuer: Texts,
    /// Token: accepted values of aud.
    #[serde(default)]
    audience: Texts,
    /// Token: how far clocks may be apart.
    leeway: Option<Duration>,
    /// Token: claims that must have this value, such as {token_type: access}.
    #[serde(default)]
    require: BTreeMap<String, Wanted>,
    /// Token: what the header's typ must say.
    typ: Option<String>,
    /// Token: claim that names the user. Default sub.
    user: Option<String>,
    /// Token: look up whether it was called back. Always so with `end`.
    #[serde(default)]
    revocation: bool,
    /// Token: how long a prolonged one holds. Default 30m.
    ttl: Option<Duration>,
    /// Token: one that holds for less is replaced with the answer by one that says the same and holds for `ttl`, signed
    /// with the current `secret`. Never beyond `absolute` after auth_time or iat, never one that has expired. Default with
    /// `renew`: a third of `ttl`.
    renew_below: Option<Duration>,
    /// Token: whether it is prolonged. Default: where `renew_below` is set.
    renew: Option<bool>,
    /// Token: Domain of the application's cookie, if it sets one: a prolonged token must replace it.
    domain: Option<String>,
}

/// How old a log-in may be.
#[derive(Debug, Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reauthenticate {
    /// Whoever logged in longer ago does so again.
    after: Duration,
}

/// What binds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SessionBind")]
enum BindWord {
    /// The client's network.
    Client,
    /// What the client says that it is.
    UserAgent,
}

/// Where users' roles are.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionUsers")]
struct UsersSpec {
    /// YAML file with a role, or a list of them, for each user: `ann@shop.example: [user, editor]`. Names are compared to
    /// the letter, reloaded when the file changes.
    roles_file: String,
    /// Roles of users who are not in it. Default: none.
    #[serde(default)]
    others: Texts,
}

impl Spec {
    pub(in crate::checks) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let errors = context.errors();
        let keyed = self.secret.is_some() || !self.pem.0.is_empty() || !self.pem_files.0.is_empty() || !self.jwks.0.is_empty();
        if [self.start.is_some(), self.oidc.is_some(), keyed].iter().filter(|one| **one).count() != 1 {
            let at = context.at.clone();
            context.error(
                at,
                "either `start` or `oidc`, for sessions of the gateway's own, or `cookie` with `secret`, `pem`, `pem_files` or \
                 `jwks`, for the application's own token",
            );
            return None;
        }
        if matches!(context.on_store_error, Some(OnError::Allow | OnError::Local)) {
            let at = context.at.key("on_store_error");
            context.error(at, "a session that cannot be looked up is none: only `deny`");
        }
        self.judge_kind(context);
        let absolute = limit(context, "absolute", self.absolute, 12 * HOUR, YEAR);
        let login = self.login(context);
        let end = self.end.as_ref().map_or_else(Requests::default, |end| end.compile(context));
        let fresh = self.reauthenticate.map(|fresh| fresh.after.0);
        if fresh.is_some_and(|fresh| fresh.as_secs() == 0) {
            let at = context.at.key("reauthenticate").key("after");
            context.error(at, "at least 1s: nobody could ever be recent enough");
        }
        let (optional, pages) = (self.optional, context.pages.to_owned());
        let name = context.name.to_owned();
        let (kind, owned) = match keyed {
            false => self.own(context, absolute)?,
            true => self.token(context, absolute)?,
        };
        (context.errors() == errors).then_some(Check {
            name,
            kind,
            login,
            end,
            fresh,
            optional,
            owned,
            pages,
        })
    }

    /// Keys of the other kind would be heeded by nobody.
    fn judge_kind(&self, context: &mut Context<'_>) {
        let own = [
            ("idle", self.idle.is_some()),
            ("renew_every", self.renew_every.is_some()),
            ("bind", !self.bind.is_empty()),
            ("persistent", self.persistent.is_some()),
            ("users", self.users.is_some()),
        ];
        let token = [
            ("algorithms", !self.algorithms.is_empty()),
            ("issuer", !self.issuer.0.is_empty()),
            ("audience", !self.audience.0.is_empty()),
            ("leeway", self.leeway.is_some()),
            ("require", !self.require.is_empty()),
            ("typ", self.typ.is_some()),
            ("user", self.user.is_some()),
            ("revocation", self.revocation),
            ("ttl", self.ttl.is_some()),
            ("renew_below", self.renew_below.is_some()),
            ("renew", self.renew.is_some()),
            ("domain", self.domain.is_some()),
        ];
        let (strange, of) = match self.start.is_some() || self.oidc.is_some() {
            true => (&token[..], "the application's own token (`secret`)"),
            false => (&own[..], "sessions of the gateway's own (`start`, `oidc`)"),
        };
        for (key, _) in strange.iter().filter(|(_, written)| *written) {
            let at = context.at.key(key);
            context.error(at, format!("belongs to {of}"));
        }
    }

    fn login(&self, context: &mut Context<'_>) -> Option<Login> {
        let own = self.oidc.is_some().then(|| format!("{}/login", context.pages));
        let address = self.login.clone().or_else(|| own.clone())?;
        if !asker::is_local(&address) || address.contains('#') {
            let at = context.at.key("login");
            context.error(at, format!("`{address}` is no page of this host: write its path, such as /login"));
            return None;
        }
        let back = self.back.clone().unwrap_or_else(|| "return".to_owned());
        if self.login.is_none() && back != "return" {
            let at = context.at.key("return");
            context.error(at, "the gateway's own log-in knows `return` alone");
        }
        let login = Login::new(address, Some(back).filter(|back| !back.is_empty()));
        Some(if own.is_some() { login.renewed_at(context.pages) } else { login })
    }

    fn own(self, context: &mut Context<'_>, absolute: std::time::Duration) -> Option<(Kind, Vec<HeaderName>)> {
        let idle = limit(context, "idle", self.idle, (30 * MINUTE).min(absolute), absolute);
        let renew = limit(context, "renew_every", self.renew_every, (idle / 10).min(MINUTE), idle / 2);
        let most = self.most(context);
        let cookie = self.cookie(context);
        let users = self.users.as_ref().map(|users| read(users, context));
        let mut forward = Vec::new();
        for (what, name) in &self.forward {
            let header = jwt::upstream_header(context, "forward", what, name);
            forward.extend(header.map(|name| (forwarded(what), name)));
        }
        let owned = forward.iter().map(|(_, name)| name.clone()).collect();
        let limits = Limits {
            idle,
            absolute,
            renew,
            most,
            when_full: self.when_full.unwrap_or_default(),
        };
        let bind = Bind {
            client: self.bind.contains(&BindWord::Client),
            agent: self.bind.contains(&BindWord::UserAgent),
        };
        let how = match (self.start, self.oidc) {
            (Some(start), _) => start.compile(context).map(|start| How::Watched(Box::new(start))),
            (None, Some(oidc)) => oidc.compile(context, &cookie).map(|oidc| How::Provider(Box::new(oidc))),
            (None, None) => None,
        };
        let own = Own {
            keeper: Keeper::new(Names::new(context.keys, context.name), cookie, limits, bind),
            how: how?,
            users,
            forward,
        };
        Some((Kind::Own(own), owned))
    }

    fn most(&self, context: &mut Context<'_>) -> usize {
        let most = self.most.unwrap_or(100);
        if !(1..=MOST).contains(&most) {
            let at = context.at.key("most");
            context.error(at, format!("{most} is out of bounds: from 1 to {MOST}"));
        }
        most
    }

    fn cookie(&self, context: &mut Context<'_>) -> Cookie {
        let name = self.cookie.clone();
        let secure = self.secure.unwrap_or(true);
        let default = if secure { "__Host-session" } else { "session" };
        let name = name.unwrap_or_else(|| default.to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let at = context.at.key("cookie");
        if name.is_empty() || !name.bytes().all(plain) {
            context.error(at, format!("`{name}` is no name of a cookie: letters, digits, `-`, `_` and `.`"));
        } else if !secure && name.starts_with("__") {
            context.error(at, format!("browsers refuse `{name}` without `secure`"));
        } else if !secure {
            let at = context.at.key("secure");
            context.warning(at, "whoever listens to a plain connection takes sessions over");
        } else if !name.starts_with("__Host-") {
            context.warning(at, format!("any host of the same site can set `{name}`: __Host-{name} it could not"));
        }
        Cookie {
            name,
            secure,
            same_site: self.same_site.unwrap_or_default(),
            persistent: self.persistent.unwrap_or_default(),
        }
    }

    fn token(self, context: &mut Context<'_>, absolute: std::time::Duration) -> Option<(Kind, Vec<HeaderName>)> {
        let Some(cookie) = self.cookie.clone() else {
            let at = context.at.clone();
            context.error(at, "`cookie` is missing: which one holds the application's token");
            return None;
        };
        let renewal = self.renewal(context);
        let keeper = self.counted(context, absolute, &cookie, renewal.as_ref());
        let revocable = self.revocation || self.end.is_some();
        let user = self.user.clone().unwrap_or_else(|| "sub".to_owned());
        let forward = self.forward.into_iter();
        let forward: BTreeMap<_, _> = forward
            .map(|(what, name)| match what.as_str() {
                "user" => (user.clone(), name),
                "roles" => ("role".to_owned(), name),
                _ => (what, name),
            })
            .collect();
        let inner = jwt::Spec::made(|spec| {
            spec.secret = self.secret;
            spec.pem = self.pem;
            spec.pem_files = self.pem_files;
            spec.jwks = self.jwks;
            spec.algorithms = self.algorithms;
            spec.issuer = self.issuer;
            spec.audience = self.audience;
            spec.leeway = self.leeway;
            spec.require = self.require;
            spec.typ = self.typ;
            spec.cookie = Some(cookie.clone());
            spec.user = self.user;
            spec.forward = forward;
            spec.revocation = revocable;
        });
        let inner = inner.compile(context)?;
        let owned = inner.owned_headers().to_vec();
        let token = Token {
            inner,
            keys: context.keys,
            names: Names::new(context.keys, context.name),
            cookie,
            domain: self.domain,
            secure: self.secure.unwrap_or(true),
            same_site: self.same_site.unwrap_or_default(),
            absolute,
            keeper,
            renewal,
            revocable,
        };
        Some((Kind::Token(token), owned))
    }

    /// Who counts the sessions of tokens, where somebody shall.
    fn counted(
        &self,
        context: &mut Context<'_>,
        absolute: std::time::Duration,
        cookie: &str,
        renewal: Option<&Renewal>,
    ) -> Option<Keeper> {
        if self.most.is_none() {
            if self.when_full.is_some() {
                let at = context.at.key("when_full");
                context.error(at, "beyond what? `most` is missing");
            }
            return None;
        }
        let limits = Limits {
            idle: absolute,
            absolute,
            renew: (renewal.map_or(absolute, |renewal| renewal.ttl) / 10).min(MINUTE),
            most: self.most(context),
            when_full: self.when_full.unwrap_or_default(),
        };
        let cookie = Cookie {
            name: cookie.to_owned(),
            secure: self.secure.unwrap_or(true),
            same_site: self.same_site.unwrap_or_default(),
            persistent: true,
        };
        let bind = Bind { client: false, agent: false };
        let names = Names::new(context.keys, context.name);
        let quiet = Some(renewal.map_or(absolute, |renewal| renewal.ttl));
        Some(Keeper { quiet, ..Keeper::new(names, cookie, limits, bind) })
    }

    fn renewal(&self, context: &mut Context<'_>) -> Option<Renewal> {
        let below = self.renew_below.is_some();
        let wanted = self.renew.unwrap_or(below);
        let at = context.at.key(if self.renew.is_some() { "renew" } else { "renew_below" });
        if !wanted {
            return None;
        }
        let Some(name) = &self.secret else {
            context.error(at, "only who holds a `secret` can prolong a token: the application's private key stays with it");
            return None;
        };
        let ttl = limit(context, "ttl", self.ttl, 30 * MINUTE, 24 * HOUR);
        let below = limit(context, "renew_below", self.renew_below, ttl / 3, ttl);
        let values = context.secret(context.at.key("secret"), name)?;
        Some(Renewal {
            secret: values.into_iter().next()?,
            ttl,
            below,
        })
    }
}

/// A length of time within its bounds.
fn limit(
    context: &mut Context<'_>,
    key: &str,
    written: Option<Duration>,
    default: std::time::Duration,
    most: std::time::Duration,
) -> std::time::Duration {
    let time = written.map_or(default, |time| time.0);
    if time.is_zero() || time > most {
        let at = context.at.key(key);
        context.error(at, format!("more than nothing, at most {} s", most.as_secs()));
    }
    time
}

/// The file of users' roles.
fn read(users: &UsersSpec, context: &mut Context<'_>) -> Users {
    let at = context.at.key("users").key("roles_file");
    let mut found = Users {
        roles: HashMap::new(),
        others: users.others.0.clone(),
    };
    for role in &found.others {
        unknown(role, &context.at.key("users").key("others"), context);
    }
    let Some(text) = context.read(at.clone(), &users.roles_file) else {
        return found;
    };
    let documents = match Document::read(&text) {
        Ok(documents) => documents,
        Err(why) => {
            context.error(at, format!("{}:{why}", users.roles_file));
            return found;
        }
    };
    for (user, item) in documents.iter().flat_map(|document| document.root().entries()) {
        let roles: Option<Vec<String>> = match item.text() {
            Some(role) => Some(vec![role.to_owned()]),
            None => item.items().map(|role| role.text().map(str::to_owned)).collect(),
        };
        let Some(roles) = roles.filter(|roles| !roles.is_empty()) else {
            let line = item.line();
            context.error(at.clone(), format!("{}:{line}: a role, or a list of them, for `{user}`", users.roles_file));
            continue;
        };
        for role in &roles {
            unknown(role, &at, context);
        }
        found.roles.insert(user.to_owned(), roles);
    }
    found
}

/// A role that brings nothing is a slip.
fn unknown(role: &str, at: &Path, context: &mut Context<'_>) {
    let roles = context.roles;
    if !roles.is_empty() && !roles.names().any(|known| known == role) {
        let hint = suggest::hint(role, roles.names());
        context.warning(at.clone(), format!("the policy has no role `{role}`{hint}"));
    }
}
