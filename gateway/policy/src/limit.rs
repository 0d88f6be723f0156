//! What a limit is and how a key stands against it. The counting itself is in `memory` (pure, time is an argument)
//! and in the server's shared stores.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// At most `max` in *any* window of the limit's length: exact ring up to 128, conservative sub-buckets above.
    Window,
    /// GCRA: smooth pacing with a burst. Never called a sliding window.
    Pace {
        /// How many may come at once.
        burst: u32,
    },
}

/// A limit, resolved when the policy is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Stable across reloads: made from the check's name (and the route's where `with:` changed it), so that counters
    /// survive a reload.
    pub id: u64,
    /// How it counts.
    pub algorithm: Algorithm,
    /// At most this many …
    pub max: u32,
    /// … in this time.
    pub window: Duration,
    /// Whether refused requests count as well. Default no: else a client that retries never recovers.
    pub count_refused: bool,
}

/// How a key stands after a request was counted, or was not because it would have passed the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether this request is within the limit.
    pub allowed: bool,
    /// The limit.
    pub max: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// Milliseconds: after a refusal until the same would pass; else until one more may come when none is left; else
    /// until nothing counts any more.
    pub reset_ms: u64,
    /// The window, in seconds, for RateLimit-Policy.
    pub window_s: u32,
}

/// A cap on things that happen at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Stable across reloads, as [`Limit::id`].
    pub id: u64,
    /// At most this many at once.
    pub max: u32,
}

impl Standing {
    /// Seconds for Retry-After: rounded up, at least one.
    #[must_use]
    pub fn retry_after(&self) -> u32 {
        seconds(self.reset_ms).max(1)
    }
}

/// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) for the limits that were counted, by the
/// names of their checks; a second limit of the same check is `name-2`. `None` when nothing was counted.
pub fn headers<'a>(
    limits: impl IntoIterator<Item = (&'a str, Standing)>,
) -> Option<[(HeaderName, HeaderValue); 2]> {
    let (mut standing, mut policy) = (String::new(), String::new());
    let (mut last, mut again) = ("", 1);
    for (name, limit) in limits {
        again = if name == last { again + 1 } else { 1 };
        last = name;
        for field in [&mut standing, &mut policy] {
            if !field.is_empty() {
                field.push_str(", ");
            }
            push_name(field, name, again);
        }
        push_number(&mut standing, ";r=", limit.remaining);
        push_number(&mut standing, ";t=", seconds(limit.reset_ms));
        push_number(&mut policy, ";q=", limit.max);
        push_number(&mut policy, ";w=", limit.window_s);
    }
    if standing.is_empty() {
        return None;
    }
    let value = |text: String| HeaderValue::from_maybe_shared(Bytes::from(text)).ok();
    Some([
        (HeaderName::from_static("ratelimit"), value(standing)?),
        (HeaderName::from_static("ratelimit-policy"), value(policy)?),
    ])
}

fn seconds(millis: u64) -> u32 {
    u32::try_from(millis.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// A string of structured fields (RFC 9651, 3.3.3): printable ASCII, two characters escaped.
fn push_name(field: &mut String, name: &str, again: u32) {
    field.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => field.extend(['\\', character]),
            ' '..='~' => field.push(character),
            _ => field.push('?'),
        }
    }
    if again > 1 {
        push_number(field, "-", again);
    }
    field.push('"');
}

fn push_number(field: &mut String, before: &str, number: u32) {
    field.push_str(before);
    field.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Standing, headers};

    fn standing(max: u32, remaining: u32, reset_ms: u64) -> Standing {
        Standing {
            allowed: remaining > 0,
            max,
            remaining,
            reset_ms,
            window_s: 60,
        }
    }

    #[test]
    fn writes_the_fields_of_the_draft() {
        let of = [
            ("per-ip", standing(100, 99, 59_001)),
            ("per-ip", standing(9, 0, 1)),
            ("u\"é", standing(5, 5, 0)),
        ];
        let [standing, policy] = headers(of).unwrap();
        assert_eq!(standing.0, "ratelimit");
        assert_eq!(
            standing.1,
            r#""per-ip";r=99;t=60, "per-ip-2";r=0;t=1, "u\"?";r=5;t=0"#
        );
        assert_eq!(policy.0, "ratelimit-policy");
        assert_eq!(
            policy.1,
            r#""per-ip";q=100;w=60, "per-ip-2";q=9;w=60, "u\"?";q=5;w=60"#
        );
        assert_eq!(headers([]), None);
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        assert_eq!(standing(1, 0, 1001).retry_after(), 2);
        assert_eq!(standing(1, 0, 0).retry_after(), 1);
    }
}
