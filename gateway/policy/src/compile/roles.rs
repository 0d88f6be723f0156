//! Roles: includes that exist and make no circle. Parsed and checked here; `authorize` asks them.

use std::collections::BTreeMap;

use super::faults::Faults;
use crate::fault::Path;
use crate::roles::Roles;
use crate::spec::Role;
use crate::yaml::suggest;

/// Checks every role, and resolves them.
pub(super) fn check(roles: &[(String, Role)], faults: &mut Faults) -> Roles {
    let known: BTreeMap<&str, &Role> = roles
        .iter()
        .map(|(name, role)| (name.as_str(), role))
        .collect();
    for (name, role) in roles {
        let at = Path::default().key("roles").key(name);
        for (index, included) in role.includes.iter().enumerate() {
            let place = at.key("includes").index(index);
            if !known.contains_key(included.as_str()) {
                let hint = suggest::hint(included, known.keys().copied());
                faults.error(place, format!("there is no role `{included}`{hint}"));
            } else if reaches(&known, included, name, known.len()) {
                faults.error(
                    place,
                    format!("`{included}` includes `{name}` again: a circle"),
                );
            }
        }
        for (index, permission) in role.allow.iter().enumerate() {
            let inside = permission.strip_suffix('*').unwrap_or(permission);
            if permission.is_empty()
                || permission.contains(char::is_whitespace)
                || inside.contains('*')
            {
                let place = at.key("allow").index(index);
                faults.error(
                    place,
                    format!(
                        "`{permission}` is not a permission: one word, such as rag:query, rag:* or *"
                    ),
                );
            }
        }
    }
    let written = roles.iter().map(|(name, role)| {
        (
            name.as_str(),
            role.includes.as_slice(),
            role.allow.as_slice(),
        )
    });
    Roles::resolve(written)
}

/// Whether `from` includes `to`, in at most `steps` steps.
fn reaches(roles: &BTreeMap<&str, &Role>, from: &str, to: &str, steps: usize) -> bool {
    let mut open = vec![from];
    let mut seen = Vec::new();
    for _ in 0..=steps {
        let Some(name) = open.pop() else { return false };
        if name == to {
            return true;
        }
        if !seen.contains(&name) {
            seen.push(name);
            let more = roles
                .get(name)
                .map_or(&[][..], |role| role.includes.as_slice());
            open.extend(more.iter().map(String::as_str));
        }
    }
    open.contains(&to)
}
