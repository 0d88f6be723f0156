//! One canonical host for routing, and the refusal of every form that two readers could split differently. It knows
//! nothing of DNS: an internationalised name stays in the form (`xn--…`) that the client sent.

use std::net::Ipv6Addr;

/// A host as the client named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// Lower-case, without port and trailing dot; an IPv6 literal in brackets.
    pub name: &'a str,
    /// The port, when one was given.
    pub port: Option<u16>,
}

/// Longest name, from RFC 1035.
const LONGEST: usize = 253;

/// Reads the value of a Host field or an authority. `out` is scratch: it is written only when the name is not canonical
/// already. Refused: userinfo, lists, percent-encoding, anything but letters, digits, `-`, `_` and `.`, empty labels,
/// a port that is not one.
///
/// # Errors
/// A short detail for the event.
pub fn canonical<'a>(raw: &'a str, out: &'a mut String) -> Result<Host<'a>, &'static str> {
    if raw.is_empty() {
        return Err("empty host");
    }
    if raw.contains('@') {
        return Err("userinfo in the host");
    }
    if raw.starts_with('[') {
        return literal(raw, out);
    }
    let (name, port) = match raw.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (raw, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.bytes().all(allowed) {
        return Err("character not allowed in a host");
    }
    if name.len() > LONGEST || name.split('.').any(str::is_empty) {
        return Err("host too long or with an empty label");
    }
    let port = number(port)?;
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        out.clear();
        out.push_str(name);
        out.make_ascii_lowercase();
        return Ok(Host { name: out, port });
    }
    Ok(Host { name, port })
}

/// `[2001:DB8::1]:8080`; zone identifiers are refused, they mean something only on this machine.
fn literal<'a>(raw: &str, out: &'a mut String) -> Result<Host<'a>, &'static str> {
    use std::fmt::Write as _;
    let broken = "malformed IPv6 literal";
    let (address, rest) = raw
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .ok_or(broken)?;
    let address: Ipv6Addr = address.parse().map_err(|_| broken)?;
    let port = match rest {
        "" => None,
        rest => Some(rest.strip_prefix(':').ok_or(broken)?),
    };
    out.clear();
    write!(out, "[{address}]").map_err(|_| broken)?;
    Ok(Host {
        name: out,
        port: number(port)?,
    })
}

/// Digits only; `Host: a:` is allowed by RFC 3986 and means no port.
fn number(port: Option<&str>) -> Result<Option<u16>, &'static str> {
    match port {
        None | Some("") => Ok(None),
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map(Some).map_err(|_| "malformed port")
        }
        Some(_) => Err("malformed port"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(raw in "[a-zA-Z0-9.:_\\[\\]@%-]{0,24}|\\PC{0,12}") {
            let (mut out, mut again) = Default::default();
            if let Ok(host) = canonical(&raw, &mut out) {
                let same = canonical(host.name, &mut again);
                prop_assert_eq!(same, Ok(Host { name: host.name, port: None }));
            }
        }
    }

    #[test]
    fn spellings_of_one_host_become_one() {
        for (raw, name, port) in [
            ("app.example", "app.example", None),
            ("APP.Example", "app.example", None),
            ("app.example.", "app.example", None),
            ("App.example.:8443", "app.example", Some(8443)),
            ("app.example:", "app.example", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("my_service:3000", "my_service", Some(3000)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]", None),
            ("[::1]:8080", "[::1]", Some(8080)),
        ] {
            assert_eq!(
                canonical(raw, &mut String::new()),
                Ok(Host { name, port }),
                "{raw}"
            );
        }
    }

    #[test]
    fn refuses_what_readers_split_differently() {
        for raw in [
            "",
            ".",
            "a..b",
            ".a",
            "a@b",
            "user:pw@b",
            "a,b",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%00",
            "a%2e",
            "a:b",
            "a:80:90",
            "a:+80",
            "a:99999",
            "a:000080",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "::1",
            "[]",
            "[127.0.0.1]",
            "bücher.example",
            "a\tb",
        ] {
            assert!(canonical(raw, &mut String::new()).is_err(), "{raw}");
        }
        assert!(canonical(&"a.".repeat(127), &mut String::new()).is_ok());
        assert!(canonical(&"a.".repeat(128), &mut String::new()).is_err());
    }

    #[test]
    fn a_canonical_host_is_only_borrowed() {
        let mut out = String::new();
        assert!(canonical("app.example:8080", &mut out).is_ok());
        assert_eq!(out.capacity(), 0);
    }
}
