//! The anomaly scores that the Core Rule Set counts in transaction variables: which variables these are, and what they
//! hold. A rule set without them has none.

use crate::{operator::compare::number, run::state::State, text::Names, variable::Variable};

/// What rules add to for requests, by level of paranoia: CRS 4, then CRS 3. Its sums per attack say the same again.
const ADDED_INBOUND: [&str; 8] = [
    "inbound_anomaly_score_pl1",
    "inbound_anomaly_score_pl2",
    "inbound_anomaly_score_pl3",
    "inbound_anomaly_score_pl4",
    "anomaly_score_pl1",
    "anomaly_score_pl2",
    "anomaly_score_pl3",
    "anomaly_score_pl4",
];

/// And for answers.
const ADDED_OUTBOUND: [&str; 4] = [
    "outbound_anomaly_score_pl1",
    "outbound_anomaly_score_pl2",
    "outbound_anomaly_score_pl3",
    "outbound_anomaly_score_pl4",
];

/// What is compared with the thresholds: CRS 4, then CRS 3.
const INBOUND: [&str; 2] = ["blocking_inbound_anomaly_score", "anomaly_score"];
const OUTBOUND: [&str; 2] = ["blocking_outbound_anomaly_score", "outbound_anomaly_score"];

/// Slots of the variables that some rule names.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Scores {
    added_inbound: [Option<u16>; 8],
    added_outbound: [Option<u16>; 4],
    inbound: [Option<u16>; 2],
    outbound: [Option<u16>; 2],
}

impl Scores {
    pub(crate) fn of(names: &Names) -> Self {
        let slot = |name: &str| names.known(Variable::Tx, name.as_bytes());
        Self {
            added_inbound: ADDED_INBOUND.map(slot),
            added_outbound: ADDED_OUTBOUND.map(slot),
            inbound: INBOUND.map(slot),
            outbound: OUTBOUND.map(slot),
        }
    }

    /// What rules added so far, for the request and for its answer.
    pub(crate) fn added(&self, state: &State) -> [u32; 2] {
        [
            sum(&self.added_inbound, state),
            sum(&self.added_outbound, state),
        ]
    }

    /// The request's score.
    pub(crate) fn inbound(&self, state: &State) -> u32 {
        sum(&self.inbound, state)
    }

    /// The answer's score.
    pub(crate) fn outbound(&self, state: &State) -> u32 {
        sum(&self.outbound, state)
    }
}

fn sum(slots: &[Option<u16>], state: &State) -> u32 {
    let values = slots
        .iter()
        .flatten()
        .filter_map(|slot| state.tx.slot(*slot));
    let sum = values.fold(0_i64, |sum, value| sum.saturating_add(number(value)));
    u32::try_from(sum.max(0)).unwrap_or(u32::MAX)
}
