//! The benches, in groups that run at the same time.

use crate::Bench;

mod chain;
mod checks;
mod identity;
mod waf;

/// Benches of one process; `make` gets the folder of the tokens.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&str) -> Result<Vec<Bench>, String>,
}

/// The slowest first: two run at a time.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "crs-1",
        make: |_| waf::crs(1),
    },
    Group {
        name: "crs-4",
        make: |_| waf::crs(4),
    },
    Group {
        name: "checks",
        make: |_| checks::all(),
    },
    Group {
        name: "builtin",
        make: |_| waf::builtin(),
    },
    Group {
        name: "identity",
        make: identity::all,
    },
    Group {
        name: "chain",
        make: chain::all,
    },
];
