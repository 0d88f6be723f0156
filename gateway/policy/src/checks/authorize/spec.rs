//! What operators write for `authorize`, and how it becomes a check: what each role brings is settled here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::needed::{Needed, Want};
use super::{Check, ClaimPath, Grant, Shown};
use crate::checks::jwt::Wanted;
use crate::context::Context;
use crate::scalar::Texts;
use crate::yaml::suggest;

/// Refuses who may not do this, by roles of the policy, permissions, scopes, claims, groups or a client certificate.
/// Everything that is asked for must be there; asked for nothing else, it wants some role that the policy knows. Stands
/// after the check that establishes who asks.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Claims that hold the role: a text or a list, at the top or inside, such as realm_access.roles. A role that the
    /// policy does not know brings nothing. Default: role.
    role_from: Option<Texts>,
    /// Claims that hold permissions by name, such as an API key's. `*` in them has no meaning. Default: permissions.
    permission_from: Option<Texts>,
    /// Claims that hold scopes: a text with spaces between, or a list. Default: [scope, scp, scopes].
    scope_from: Option<Texts>,
    /// Claims that hold groups. Default: groups.
    group_from: Option<Texts>,
    /// The role of whoever does not say who they are, where an earlier check lets them pass. Default: none, and they are
    /// refused.
    anonymous: Option<String>,
    /// Permissions that are needed: from a role, or from `permission_from`.
    need: Option<Needed>,
    /// Roles that are needed, or roles that include them.
    role: Option<Needed>,
    /// Scopes that are needed.
    scope: Option<Needed>,
    /// Groups that are needed.
    group: Option<Needed>,
    /// Claims that must have this value, or one of these, such as {department: [sales, support]}.
    #[serde(default)]
    claim: BTreeMap<String, Wanted>,
    /// The client must have shown a certificate that the listener verified.
    certificate: Option<Certificate>,
}

/// Which client certificates. With both, one of them is enough; with neither, any verified one.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Subjects, such as "CN=batch, O=Shop", with `*` for anything.
    #[serde(default)]
    subject: Texts,
    /// SHA-256 of the certificate in hex, with or without colons.
    #[serde(default)]
    fingerprint: Texts,
}

impl Spec {
    pub(in crate::checks) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let errors = context.errors();
        self.judge(context);
        let certificate = self
            .certificate
            .as_ref()
            .and_then(|certificate| shown(certificate, context));
        let paths = |texts: Option<Texts>, default: &[&str]| match texts {
            Some(texts) => texts.0.iter().map(|text| ClaimPath::new(text)).collect(),
            None => default.iter().map(|text| ClaimPath::new(text)).collect(),
        };
        (context.errors() == errors).then_some(())?;
        let (need, role) = (self.need.and_then(Want::new), self.role.and_then(Want::new));
        let grant = |name: &str| Grant {
            permissions: need
                .as_ref()
                .map_or(0, |need| need.bits(|word| context.roles.may(name, word))),
            roles: role
                .as_ref()
                .map_or(0, |role| role.bits(|word| context.roles.is(name, word))),
        };
        let grants = context.roles.names();
        let grants = grants.map(|name| (name.to_owned(), grant(name))).collect();
        let claims = self.claim.into_iter();
        Some(Check {
            role_from: paths(self.role_from, &["role"]),
            permission_from: paths(self.permission_from, &["permissions"]),
            scope_from: paths(self.scope_from, &["scope", "scp", "scopes"]),
            group_from: paths(self.group_from, &["groups"]),
            anonymous: self.anonymous,
            grants,
            need,
            role,
            scope: self.scope.and_then(Want::new),
            group: self.group.and_then(Want::new),
            claims: claims
                .map(|(name, wanted)| (ClaimPath::new(&name), wanted))
                .collect(),
            certificate,
        })
    }

    fn judge(&self, context: &mut Context<'_>) {
        let roles = context.roles;
        let known = |name: &str| roles.names().any(|role| role == name);
        let nothing = [&self.need, &self.role, &self.scope, &self.group]
            .into_iter()
            .all(Option::is_none)
            && self.claim.is_empty()
            && self.certificate.is_none();
        if nothing && roles.is_empty() {
            let at = context.at.clone();
            context.error(
                at,
                "asks for nothing: say `need`, `role`, `scope`, `group`, `claim` or `certificate`, or give the \
                 policy `roles`",
            );
        }
        let wanted = self
            .role
            .iter()
            .flat_map(|role| &role.words)
            .map(|word| ("role", word));
        for (key, name) in wanted.chain(self.anonymous.iter().map(|name| ("anonymous", name))) {
            if !known(name) {
                let hint = suggest::hint(name, roles.names());
                let at = context.at.key(key);
                context.error(at, format!("there is no role `{name}`{hint}"));
            }
        }
        for word in self.need.iter().flat_map(|need| &need.words) {
            self.judge_permission(word, context);
        }
    }

    /// A permission that nobody has is a slip more often than a plan.
    fn judge_permission(&self, word: &str, context: &mut Context<'_>) {
        let roles = context.roles;
        let at = context.at.key("need");
        if word.is_empty() || word.contains('*') || word.contains(char::is_whitespace) {
            context.error(
                at,
                format!("`{word}` is not one permission: write one word, such as rag:query"),
            );
            return;
        }
        if roles.permissions().any(|known| known == word) {
            return;
        }
        let hint = suggest::hint(word, roles.permissions());
        let someone = roles.names().any(|role| roles.may(role, word));
        match (someone, hint.is_empty()) {
            (false, _) => context.warning(at, format!("no role may `{word}`{hint}")),
            (true, false) => context.warning(at, format!("no role names `{word}`{hint}")),
            // Only who may everything may this: a plan.
            (true, true) => {}
        }
    }
}

fn shown(certificate: &Certificate, context: &mut Context<'_>) -> Option<Shown> {
    let mut fingerprints = Vec::new();
    for (index, text) in certificate.fingerprint.0.iter().enumerate() {
        let plain: String = text.chars().filter(|c| *c != ':').collect();
        let plain = plain.to_ascii_lowercase();
        if plain.len() != 64 || !plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let at = context
                .at
                .key("certificate")
                .key("fingerprint")
                .index(index);
            context.error(
                at,
                format!("`{text}` is not a SHA-256 fingerprint: 64 hex digits"),
            );
            return None;
        }
        fingerprints.push(plain);
    }
    Some(Shown {
        subjects: certificate.subject.0.clone(),
        fingerprints,
    })
}
