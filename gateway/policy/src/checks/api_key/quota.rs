//! Quotas by the calendar: so many in a day or a month of a time zone, counted anew when it begins.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
}

/// At most so many in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// At most this many, at least one.
    pub max: u32,
    /// In this.
    pub period: Period,
}

impl Quota {
    /// When the period around a moment begins and ends, all in Unix milliseconds.
    pub(super) fn around(&self, now: u64, zone: &TimeZone) -> Option<(u64, u64)> {
        let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
        let today = now.to_zoned(zone.clone());
        let (start, end) = match self.period {
            Period::Day => (today.start_of_day().ok()?, today.tomorrow().ok()?),
            Period::Month => {
                let first = today.first_of_month().ok()?;
                let next = first.checked_add(1.month()).ok()?;
                (first.start_of_day().ok()?, next)
            }
        };
        let unix = |at: jiff::Zoned| u64::try_from(at.timestamp().as_millisecond()).ok();
        Some((unix(start)?, unix(end.start_of_day().ok()?)?))
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is not a quota: write 1000/1d or 30000/month; shorter times are a rate");
        let (max, period) = text.split_once('/').ok_or_else(why)?;
        let period = match period.trim() {
            "1d" | "d" | "day" => Period::Day,
            "month" => Period::Month,
            _ => return Err(why()),
        };
        let max: u32 = max.trim().parse().map_err(|_| why())?;
        if max == 0 {
            return Err(format!("`{text}` lets nothing pass"));
        }
        Ok(Self { max, period })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Day => "1d",
            Period::Month => "month",
        };
        write!(f, "{}/{period}", self.max)
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a count and a day or month of the calendar, such as 1000/1d or 30000/month",
            "pattern": "^[0-9]+ */ *(1d|d|day|month)$"
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn around(quota: &str, now: &str, zone: &str) -> (String, String) {
        let now: Timestamp = now.parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let quota: Quota = quota.parse().unwrap();
        let (start, end) = quota.around(now.as_millisecond().unsigned_abs(), &zone).unwrap();
        let show = |at: u64| Timestamp::from_millisecond(at.cast_signed()).unwrap().to_string();
        (show(start), show(end))
    }

    #[test]
    fn a_day_is_that_of_the_time_zone() {
        let utc = around("1/1d", "2026-03-28T22:59:59Z", "UTC");
        assert_eq!(utc, ("2026-03-28T00:00:00Z".into(), "2026-03-29T00:00:00Z".into()));
        let tokyo = around("1/day", "2026-03-28T22:59:59Z", "Asia/Tokyo");
        assert_eq!(tokyo, ("2026-03-28T15:00:00Z".into(), "2026-03-29T15:00:00Z".into()));
        // Of 23 hours: clocks go forward that night.
        let berlin = around("1/1d", "2026-03-29T10:00:00Z", "Europe/Berlin");
        assert_eq!(berlin, ("2026-03-28T23:00:00Z".into(), "2026-03-29T22:00:00Z".into()));
    }

    #[test]
    fn a_month_ends_with_its_last_day() {
        let month = around("1/month", "2026-12-31T23:59:59Z", "UTC");
        assert_eq!(month, ("2026-12-01T00:00:00Z".into(), "2027-01-01T00:00:00Z".into()));
        let march = around("1/month", "2026-03-31T12:00:00Z", "UTC");
        assert_eq!(march, ("2026-03-01T00:00:00Z".into(), "2026-04-01T00:00:00Z".into()));
    }

    #[test]
    fn what_is_no_day_or_month_is_refused() {
        for bad in ["1000", "0/1d", "10/1h", "10/2d", "x/1d", "-1/1d", "10/"] {
            assert!(bad.parse::<Quota>().is_err(), "{bad}");
        }
    }
}
