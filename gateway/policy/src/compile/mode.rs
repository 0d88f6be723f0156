//! `mode`, `sample`, `until`: what they mean together, and which of several is nearest.

use waf::seclang::Engine;

use crate::checks::Check;
use crate::decision::CheckId;
use crate::fault::Path;
use crate::run::Mode;
use crate::spec::ModeWord;
use crate::spec::value::{Moment, Percent};

use super::Build;
use super::chains::Use;
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

impl Build<'_, '_> {
    /// The mode that a rule file says for its check (`SecRuleEngine`).
    pub(super) fn said(&mut self, id: CheckId, definition: usize) -> Option<Setting> {
        let named = self.checks.named.get(usize::from(id.0))?;
        let Check::Waf(check) = &named.check else {
            return None;
        };
        let mode = match check.said() {
            Engine::On => return None,
            Engine::DetectionOnly => Mode::Observe,
            Engine::Off => Mode::Disabled,
        };
        let definition = self.checks.definitions.get(definition)?;
        if definition.setting.is_none() && mode == Mode::Disabled {
            let message = "`SecRuleEngine Off` in its rules: nothing is asked; `mode:` of the check would say otherwise";
            self.faults.warning(definition.at.clone(), message);
        }
        Some(Setting { mode, until: None })
    }

    /// The nearest mode. A locked check listens to itself and to the whole policy only: a route could otherwise
    /// switch it off.
    pub(super) fn effective(
        &mut self,
        used: &Use,
        with: Option<Setting>,
        said: Option<Setting>,
        route: Option<Setting>,
        at: &Path,
    ) -> Setting {
        let Some(definition) = self.checks.definitions.get(used.check) else {
            return ENFORCE;
        };
        let own = definition.setting.or(said);
        if definition.locked {
            let relaxed = used
                .setting
                .or(route)
                .is_some_and(|setting| setting.mode != Mode::Enforce);
            if own.is_none() && relaxed {
                let message = format!(
                    "`{}` is locked: it stays as it is, whatever this route's mode",
                    definition.name
                );
                self.faults.warning(at.clone(), message);
            }
            return own.or(self.mode).unwrap_or(ENFORCE);
        }
        with.or(own)
            .or(used.setting)
            .or(route)
            .or(self.mode)
            .unwrap_or(ENFORCE)
    }
}
