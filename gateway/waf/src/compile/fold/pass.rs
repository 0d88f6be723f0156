//! Where a phase is in its one pass over the rules: what is known there, and what the jumps under way carry.

use super::{Holds, State, meet};

/// One phase under way.
#[derive(Default)]
pub(super) struct Pass {
    /// What is known here; nothing when a jump always passes over.
    pub(super) live: Option<State>,
    /// Jumps under way: where to, and what is known on the way.
    pub(super) jumps: Vec<(usize, State)>,
    /// Jumps taken unless one of these removers took the rule that jumps. Where they took what lies between as well,
    /// that is dead: it is either jumped over or taken away.
    pub(super) shadows: Vec<(usize, u64)>,
}

impl Pass {
    /// Jumps that end here join what is known.
    pub(super) fn land(&mut self, at: usize) {
        for (_, arriving) in self.jumps.extract_if(.., |(to, _)| *to <= at) {
            self.live = Some(match self.live.take() {
                Some(live) => meet(live, &arriving),
                None => arriving,
            });
        }
        self.shadows.retain(|(to, _)| *to > at);
    }

    /// What is known where a rule is asked that these removers may have taken; `None` where it never is.
    pub(super) fn reached(&mut self, takers: Option<u64>) -> Option<&mut State> {
        let covered = |(_, by): &(usize, u64)| takers.is_some_and(|takers| by & !takers == 0);
        let dead = self.shadows.iter().any(covered);
        self.live.as_mut().filter(|_| !dead)
    }

    /// A rule that jumps; `asked` is whether it matches as long as it is there. True when the jump is certain but for
    /// removals.
    pub(super) fn jump(
        &mut self,
        to: usize,
        now: State,
        holds: Holds,
        asked: Holds,
        takers: Option<u64>,
    ) -> bool {
        self.jumps.push((to, now));
        match (holds, asked, takers) {
            (Holds::Always, ..) => self.live = None,
            (_, Holds::Always, Some(takers)) if self.shadows.is_empty() => {
                self.shadows.push((to, takers));
                return true;
            }
            _ => {}
        }
        false
    }

    pub(super) fn end(self) -> State {
        let live = self.live.unwrap_or_default();
        self.jumps
            .into_iter()
            .fold(live, |live, (_, arriving)| meet(live, &arriving))
    }
}
