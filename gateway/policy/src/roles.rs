//! What each role of the policy may do, includes resolved. Knows no user: who has a role, and what a route asks for, is
//! `authorize`'s business.

use std::collections::{BTreeMap, BTreeSet};

/// Every role, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(BTreeMap<String, Role>);

/// One role with everything that it includes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Role {
    /// Itself and the roles that it includes, however far away.
    roles: BTreeSet<String>,
    /// Permissions, as written: a `*` at the end stands for whatever comes.
    allow: BTreeSet<String>,
}

impl Roles {
    /// Resolves roles given as name, names included and permissions. Circles end and names that do not exist are left
    /// out: both are faults of the policy that the loader reports.
    pub(crate) fn resolve<'r>(
        written: impl Iterator<Item = (&'r str, &'r [String], &'r [String])>,
    ) -> Self {
        let written: BTreeMap<_, _> = written
            .map(|(name, includes, allow)| (name, (includes, allow)))
            .collect();
        let one = |name: &str| {
            let mut role = Role::default();
            let mut open = vec![name];
            while let Some(name) = open.pop() {
                let Some((includes, allow)) = written.get(name) else {
                    continue;
                };
                if role.roles.insert(name.to_owned()) {
                    role.allow.extend(allow.iter().cloned());
                    open.extend(includes.iter().map(String::as_str));
                }
            }
            role
        };
        Self(
            written
                .keys()
                .map(|name| ((*name).to_owned(), one(name)))
                .collect(),
        )
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every role's name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether `role` is `other`, or includes it.
    #[must_use]
    pub fn is(&self, role: &str, other: &str) -> bool {
        self.0
            .get(role)
            .is_some_and(|role| role.roles.contains(other))
    }

    /// Whether `role` may do that.
    #[must_use]
    pub fn may(&self, role: &str, permission: &str) -> bool {
        let allows = |role: &Role| role.allow.iter().any(|allowed| covers(allowed, permission));
        self.0.get(role).is_some_and(allows)
    }

    /// Every permission that some role has by its name, not by a `*`.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        let all = self.0.values().flat_map(|role| &role.allow);
        all.map(String::as_str)
            .filter(|allowed| !allowed.ends_with('*'))
    }
}

/// `*` is everything, `rag:*` whatever begins with `rag:`.
fn covers(allowed: &str, permission: &str) -> bool {
    match allowed.strip_suffix('*') {
        Some(start) => permission.starts_with(start),
        None => allowed == permission,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(written: &[(&str, &[&str], &[&str])]) -> Roles {
        let owned = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let written: Vec<_> = written
            .iter()
            .map(|(name, includes, allow)| (*name, owned(includes), owned(allow)))
            .collect();
        Roles::resolve(
            written
                .iter()
                .map(|(name, includes, allow)| (*name, includes.as_slice(), allow.as_slice())),
        )
    }

    #[test]
    fn a_role_has_what_it_includes_however_far_away() {
        let roles = roles(&[
            ("viewer", &[], &["chat", "rag:query"]),
            ("user", &["viewer"], &["rag:index"]),
            ("lead", &["user"], &["eval:*"]),
            ("admin", &[], &["*"]),
        ]);
        assert!(
            roles.may("lead", "chat")
                && roles.may("lead", "eval:run")
                && !roles.may("lead", "evil")
        );
        assert!(
            roles.is("lead", "viewer") && roles.is("user", "user") && !roles.is("viewer", "user")
        );
        assert!(
            roles.may("admin", "anything") && !roles.is("admin", "viewer"),
            "`*` is permissions, not roles"
        );
        assert!(!roles.may("nobody", "chat") && !roles.is("nobody", "nobody"));
    }

    #[test]
    fn a_circle_ends() {
        let roles = roles(&[("a", &["b"], &["x"]), ("b", &["a", "c"], &["y"])]);
        assert!(roles.may("a", "y") && roles.may("b", "x"));
    }
}
