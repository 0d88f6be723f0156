//! `geo`: which countries, continents and networks may come, and what is done with clients whose place nobody knows. It
//! leaves the place for later checks and events; how a database is read is `database`'s business.

use serde::Deserialize;

use super::{Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Reason};
use crate::io::Io;
use crate::request::Place;

mod atlas;
mod codes;
mod database;
#[cfg(test)]
pub(crate) mod mmdb;

pub(super) use atlas::Atlas;
use codes::{Asn, Set};
use database::Database;

/// Clients by country, continent or autonomous system, from databases in MaxMind's format. A database is verified whole
/// before it is used; one that is corrupt or cut off is a fault of the policy, and the old policy stays. `deny` wins over
/// `allow`; where `allow` is present, clients that match none of its lists are refused. The place is kept for later checks
/// and the event in any case.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Database file (`.mmdb`) with countries, continents or autonomous systems.
    database: String,
    /// A second one for autonomous systems, where the first has none.
    #[serde(default)]
    asn_database: Option<String>,
    /// Who may come. Any list that matches will do.
    #[serde(default)]
    allow: Option<Lists>,
    /// Who is refused.
    #[serde(default)]
    deny: Option<Lists>,
    /// What is done with a client when the lists ask for something that the databases do not know about it, such as a
    /// private address: `deny` (default) or `allow`.
    #[serde(default)]
    unknown: Unknown,
}

/// Places, by any of their names.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// ISO 3166-1 alpha-2 codes, such as `TW`.
    #[serde(default)]
    countries: Vec<String>,
    /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`. Where a database knows only countries, they tell the continent.
    #[serde(default)]
    continents: Vec<String>,
    /// Autonomous systems, such as `64496` or `AS64496`.
    #[serde(default)]
    asns: Vec<Asn>,
}

/// What is done without an answer of the databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Refuse.
    #[default]
    Deny,
    /// Let pass.
    Allow,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    database: Database,
    asn_database: Option<Database>,
    allow: Option<Set>,
    deny: Set,
    unknown: Unknown,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let allow = self.allow.map(|lists| Set::compile(context, "allow", &lists));
        let deny = self.deny.map(|lists| Set::compile(context, "deny", &lists)).unwrap_or_default();
        let database = open(context, "database", &self.database);
        let asn_database = self.asn_database.as_deref().map(|file| open(context, "asn_database", file));
        let asn_database = match asn_database {
            Some(opened) => Some(opened?),
            None => None,
        };
        let check = Check { database: database?, asn_database, allow, deny, unknown: self.unknown };
        check.demand(context);
        (!context.failed_since(before)).then_some(check)
    }
}

/// Reads and verifies a database; what is wrong is reported.
fn open(context: &mut Context<'_>, key: &str, file: &str) -> Option<Database> {
    let at = context.at.key(key);
    let bytes = context.read(at.clone(), file)?;
    match Database::open(bytes) {
        Ok(database) => Some(database),
        Err(why) => {
            context.error(at, format!("{file} is not usable: {why}"));
            None
        }
    }
}

/// The same for the rule engine.
pub(super) fn atlas(context: &mut Context<'_>, key: &str, file: &str) -> Option<Atlas> {
    open(context, key, file).map(Atlas::new)
}

impl super::Beyond for Check {}

impl Check {
    /// A list that no database can answer would refuse, or let pass, everybody.
    fn demand(&self, context: &mut Context<'_>) {
        let lists = || self.allow.iter().chain([&self.deny]);
        let names_asn = lists().any(|set| !set.asns.is_empty());
        let names_land = lists().any(|set| !set.countries.is_empty() || !set.continents.is_empty());
        let numbers = self.asn_database.as_ref().unwrap_or(&self.database);
        if names_asn && !numbers.knows(|place| place.asn.is_some()) {
            let key = if self.asn_database.is_some() { "asn_database" } else { "database" };
            context.error(context.at.key(key), "the lists name autonomous systems, but it holds none");
        }
        if names_land && !self.database.knows(|place| place.country.or(place.continent).is_some()) {
            context.error(context.at.key("database"), "the lists name countries or continents, but it holds none");
        }
    }

    fn place(&self, client: std::net::IpAddr) -> Place {
        let mut place = self.database.place(client);
        if let Some(numbers) = &self.asn_database {
            place.asn = numbers.place(client).asn;
        }
        place
    }

    /// Both lists ask: known and listed, known and not listed, or not known.
    fn judge(&self, place: &Place) -> Answer {
        let mut unknown = false;
        match self.deny.holds(place) {
            Some(true) => return Answer::deny(Reason::GeoDenied),
            Some(false) => {}
            None => unknown = true,
        }
        match self.allow.as_ref().map(|set| set.holds(place)) {
            Some(Some(false)) => return Answer::deny(Reason::GeoDenied),
            Some(None) => unknown = true,
            Some(Some(true)) | None => {}
        }
        if unknown && self.unknown == Unknown::Deny {
            return Answer::deny(Reason::GeoUnknown);
        }
        Answer::Pass
    }

    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives { place: true, ..Gives::default() }
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let place = self.place(turn.request.client);
        turn.facts.place = place;
        self.judge(&place)
    }
}

#[cfg(test)]
mod tests;
