//! `mode`, `sample`, `until`: what they mean together, and which of several is nearest.

use crate::fault::Path;
use crate::run::Mode;
use crate::spec::ModeWord;
use crate::spec::value::{Moment, Percent};

use super::faults::Faults;

/// A mode, and the Unix milliseconds after which it is `enforce` again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Setting {
    pub(super) mode: Mode,
    pub(super) until: Option<u64>,
}

pub(super) const ENFORCE: Setting = Setting {
    mode: Mode::Enforce,
    until: None,
};

/// What one level says; `None` when it says nothing.
pub(super) fn setting(
    at: &Path,
    mode: Option<ModeWord>,
    sample: Option<Percent>,
    until: Option<Moment>,
    now: u64,
    faults: &mut Faults,
) -> Option<Setting> {
    let mode = match (mode, sample) {
        (None, None) => {
            if until.is_some() {
                faults.error(
                    at.key("until"),
                    "`until` ends a `mode` or a `sample`: there is none here",
                );
            }
            return None;
        }
        (Some(ModeWord::Enforce) | None, Some(Percent(share))) => Mode::Sample(share),
        (Some(ModeWord::Observe | ModeWord::Disabled), Some(_)) => {
            let message =
                "`sample` enforces on a share and observes the rest: write `mode: enforce` or none";
            faults.error(at.key("sample"), message);
            return None;
        }
        (Some(ModeWord::Enforce), None) => Mode::Enforce,
        (Some(ModeWord::Observe), None) => Mode::Observe,
        (Some(ModeWord::Disabled), None) => Mode::Disabled,
    };
    if mode == Mode::Enforce && until.is_some() {
        faults.error(
            at.key("until"),
            "`mode: enforce` does not end: `until` goes with observe, disabled or sample",
        );
    }
    if until.is_some_and(|until| until.0 <= now) {
        faults.warning(at.key("until"), "this is over: everything here is enforced");
    }
    Some(Setting {
        mode,
        until: until.map(|until| until.0),
    })
}
