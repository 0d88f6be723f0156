//! RFC 3339 in UTC with milliseconds, without a calendar calculation per event: the second is kept per thread.

use std::cell::Cell;

const LENGTH: usize = "2026-11-21T00:25:11".len();

thread_local! {
    static SECOND: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [b'0'; LENGTH])) };
}

/// Appends `unix_ms` as `2026-11-21T00:25:11.042Z`.
pub(super) fn write(out: &mut Vec<u8>, unix_ms: u64) {
    let second = unix_ms / 1000;
    let (cached, mut text) = SECOND.get();
    if cached != second {
        text = calendar(second);
        SECOND.set((second, text));
    }
    out.extend_from_slice(&text);
    out.push(b'.');
    digits(out, unix_ms % 1000, 3);
    out.push(b'Z');
}

/// Howard Hinnant's `civil_from_days`, for days since 1970-01-01 that are never negative here.
fn calendar(second: u64) -> [u8; LENGTH] {
    let (days, of_day) = (second / 86_400, second % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = Vec::with_capacity(LENGTH);
    for (value, width, after) in [
        (year, 4, Some(b'-')),
        (month, 2, Some(b'-')),
        (day, 2, Some(b'T')),
        (of_day / 3600, 2, Some(b':')),
        (of_day / 60 % 60, 2, Some(b':')),
        (of_day % 60, 2, None),
    ] {
        digits(&mut text, value, width);
        text.extend(after);
    }
    text.try_into().unwrap_or([b'0'; LENGTH])
}

/// The last `width` decimal digits of `value`.
fn digits(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10u64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    fn text(unix_ms: u64) -> String {
        let mut out = Vec::new();
        write(&mut out, unix_ms);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn writes_milliseconds_in_utc() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(1_709_164_799_999), "2024-02-28T23:59:59.999Z");
        assert_eq!(text(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
    }

    #[test]
    fn agrees_with_a_calendar_library_over_four_centuries() {
        for step in 0..20_000u64 {
            let unix_ms = step * 631_139_039_007 / 1000;
            let theirs = jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap_or(0));
            let theirs = theirs.map(|at| format!("{at:.3}")).unwrap_or_default();
            assert_eq!(text(unix_ms), theirs, "{unix_ms}");
        }
    }
}
