//! Seconds since the Unix epoch → the time of day, in UTC: the crate knows no time zone.

use std::time::Duration;

/// A moment, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Civil {
    pub(super) epoch: u64,
    pub(super) year: u64,
    /// From 1.
    pub(super) month: u64,
    pub(super) day: u64,
    /// Sunday is 0.
    pub(super) weekday: u64,
    pub(super) hour: u64,
    pub(super) minute: u64,
    pub(super) second: u64,
}

impl Civil {
    pub(super) const fn of(now: Duration) -> Self {
        let epoch = now.as_secs();
        let (days, rest) = (epoch / 86_400, epoch % 86_400);
        // Howard Hinnant's algorithm: years begin in March, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let next_year = if month <= 2 { 1 } else { 0 };
        Self {
            epoch,
            year: year_of_era + era * 400 + next_year,
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            weekday: (days + 4) % 7,
            hour: rest / 3_600,
            minute: rest % 3_600 / 60,
            second: rest % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (epoch, expected) in [
            (0, (1970, 1, 1, 4, 0, 0, 0)),
            (951_827_696, (2000, 2, 29, 2, 12, 34, 56)),
            (1_795_230_000, (2026, 11, 21, 6, 3, 0, 0)),
            (4_102_444_799, (2099, 12, 31, 4, 23, 59, 59)),
        ] {
            let c = Civil::of(Duration::from_secs(epoch));
            assert_eq!(
                (
                    c.year, c.month, c.day, c.weekday, c.hour, c.minute, c.second
                ),
                expected,
                "{epoch}"
            );
        }
    }
}
