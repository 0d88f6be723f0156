//! When a rule of `failures` bans: `5 in 5m by ip or user`, `3 in 5m by pair`, `10 users in 10m by ip`. Reads and writes the
//! sentence; counting is `counts`' business.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::ban::LONGEST_WINDOW;
use crate::scalar;

/// Largest number: more can be tried within the window without a ban.
const MOST: u32 = 10_000;

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    /// Those of one user from one address: asked first, so that one address is stopped before it counts much against a user.
    Pair,
    /// Those of one address.
    Ip,
    /// Those in the name of one user.
    User,
}

/// A sentence of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    pub(super) number: u32,
    pub(super) window: Duration,
    /// Users of an address, or addresses of a user, each counted once a window.
    pub(super) distinct: bool,
    pub(super) by: Vec<Of>,
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no such sentence: write `5 in 5m by ip or user`, `3 in 5m by pair`, `10 users in 10m by ip` \
                 or `20 ips in 1h by user`"
            )
        };
        let (what, rest) = text.split_once(" in ").ok_or_else(wrong)?;
        let (window, by) = rest.split_once(" by ").ok_or_else(wrong)?;
        let mut words = what.split_whitespace();
        let number: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        let mut things = words.next();
        if things == Some("distinct") {
            things = words.next();
        }
        let by = of(by).ok_or_else(wrong)?;
        let distinct = match (things, by.as_slice()) {
            (None | Some("failures"), _) => false,
            (Some("users"), [Of::Ip]) | (Some("ips"), [Of::User]) => true,
            (Some(_), _) => return Err(wrong()),
        };
        let window: scalar::Duration = window.trim().parse()?;
        if words.next().is_some() || (what.contains("distinct") && !distinct) {
            return Err(wrong());
        }
        if !(1..=MOST).contains(&number) || !(Duration::from_secs(1)..=LONGEST_WINDOW).contains(&window.0) {
            return Err(format!("`{text}`: 1 to {MOST}, in 1s to 31d"));
        }
        Ok(Self { number, window: window.0, distinct, by })
    }
}

fn of(text: &str) -> Option<Vec<Of>> {
    let mut by = Vec::new();
    for name in text.split(" or ") {
        let name: Vec<&str> = name.split_whitespace().collect();
        let one = match name.as_slice() {
            ["ip"] => Of::Ip,
            ["user"] => Of::User,
            ["pair"] | ["ip", "and", "user"] | ["user", "and", "ip"] => Of::Pair,
            _ => return None,
        };
        if by.contains(&one) {
            return None;
        }
        by.push(one);
    }
    Some(by)
}

impl Of {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Ip => "ip",
            Self::User => "user",
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = match (self.distinct, self.by.as_slice()) {
            (true, [Of::Ip]) => " users",
            (true, _) => " ips",
            (false, _) => "",
        };
        write!(f, "{}{things} in {} by ", self.number, scalar::Duration(self.window))?;
        for (index, of) in self.by.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { " or " } else { "" }, of.word())?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for When {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "How many failures in what time, counted by whom: 5 in 5m by ip or user; 3 in 5m by pair; 10 users in 10m by ip; 20 ips in 1h by user.",
            "pattern": "^[0-9]+( failures|( distinct)? (users|ips))? in [0-9]+ ?(ms|s|m|h|d) by .+$"
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn sentences_are_read_and_written() {
        for text in ["5 in 5m by ip or user", "3 in 90s by pair", "10 users in 10m by ip", "20 ips in 1h by user"] {
            let when: When = text.parse().unwrap();
            assert_eq!(when.to_string(), text);
        }
        let same = |text: &str| text.parse::<When>().unwrap();
        assert_eq!(same("3 failures in 5m by ip and user"), same("3 in 5m by pair"));
        assert_eq!(same("9 distinct users in 5m by ip"), same("9 users in 5m by ip"));
    }

    #[test]
    fn other_sentences_are_refused() {
        for text in [
            "5 in 5m",
            "5 in 5m by country",
            "0 in 5m by ip",
            "5 in 5 by ip",
            "5 in 400d by ip",
            "5 users in 5m by user",
            "5 users in 5m by ip or user",
            "5 distinct in 5m by ip",
            "5 in 5m by ip or ip",
            "many in 5m by ip",
        ] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }
}
