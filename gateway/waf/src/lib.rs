//! Bytes in, verdict out: the rule engine of Palisade. Knows no HTTP server, no clock, no disk.
//!
//! | module | owns |
//! |---|---|
//! | [`native`] | our YAML rules, already read, → rules |
//! | [`seclang`] | SecLang (the OWASP Core Rule Set) → the same rules |
//! | `rule`, `variable`, `operator` | the one rule model: what is looked at, how, what follows |
//! | [`transform`] | what a value goes through before it is looked at |
//! | [`body`], [`pairs`] | bodies, query strings, cookies → bounded pairs |
//! | [`About`], [`Profile`] | what a rule is, and what it takes |
//! | `compile` | rules → plans: tries of transformations, one automaton of literals, requirements |
//! | [`Collections`], [`Geography`] | what rules keep between requests; where an address is |
//! | [`Ruleset`], [`Tuning`] | the compiled whole, and how one route uses it |
//! | [`Request`], [`Transaction`], [`Verdict`] | one request, from its bytes to the decision |
//!
//! # The whole of it
//! ```
//! use waf::{Options, Request, Ruleset, Scratch, Step, Surroundings, native};
//!
//! let file: native::File = serde_json::from_str(r#"{"rules": [{
//!     "id": 1, "msg": "UNION-based SQL injection", "targets": ["args"],
//!     "transform": ["url_decode_uni", "lowercase"],
//!     "any": [{"regex": "union\\s+select"}, {"libinjection": "sqli"}]
//! }]}"#)?;
//! let rules = Ruleset::compile(&[native::Source { name: "own.yaml", file: &file }]).map_err(|f| f[0].clone())?;
//! let tuning = rules.tune(&Options::default()).map_err(|f| f[0].clone())?;
//!
//! let mut transaction = rules.transaction(&tuning, Scratch::default());
//! let step = transaction.evaluate_headers(&Request {
//!     method: b"GET",
//!     target: b"/items?q=1%20UNION%20%20SELECT%20password",
//!     path: b"/items",
//!     query: b"q=1%20UNION%20%20SELECT%20password",
//!     protocol: b"HTTP/1.1",
//!     headers: &[("host", "shop.example")],
//!     client: [192, 0, 2, 7].into(),
//!     around: Surroundings::default(),
//! });
//! assert_eq!(step, Step::Block);
//! let (verdict, _scratch) = transaction.finish();
//! assert!(verdict.block);
//! assert_eq!(verdict.matches[0].target, "args:q");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod about;
pub mod body;
mod bytes;
mod collections;
mod compile;
mod fault;
mod limits;
pub mod native;
mod operator;
mod outcome;
mod outside;
pub mod pairs;
mod pins;
mod profile;
mod request;
mod rule;
mod ruleset;
mod run;
mod scores;
pub mod seclang;
mod text;
mod transaction;
pub mod transform;
mod tuning;
mod variable;
mod verdict;

pub use about::About;
pub use collections::{CollectionLimits, Collections};
pub use fault::Fault;
pub use limits::Limits;
pub use operator::injection::{Piece, folded, pieces};
pub use outside::{Geography, Place};
pub use pins::Pin;
pub use profile::{Profile, Spent};
pub use request::{Headers, Request, Surroundings};
pub use rule::Severity;
pub use ruleset::{Needs, Ruleset, Source};
pub use transaction::{Scratch, Suspended, Transaction};
pub use tuning::{Chosen, Exclusion, Options, Tuning};
pub use verdict::{Match, Refusal, Reply, Step, Verdict};
