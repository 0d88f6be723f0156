//! The script in a page's head, as far as the page's Content-Security-Policy (CSP 3, 6.7) lets one of the gateway's own run.

use http::HeaderMap;
use http::header::CONTENT_SECURITY_POLICY;

use crate::checks::csrf::escaped;

/// Where a script is, and what it must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Path.
    pub address: String,
    /// Cookie that it reads the token from.
    pub cookie: String,
    /// Header that it sends it in.
    pub header: String,
}

/// What one policy says of a script of this origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said<'p> {
    /// It runs.
    Runs,
    /// It runs with this nonce.
    Needs(&'p str),
    /// It does not.
    Forbids,
}

impl Script {
    /// The tag; `None` when some policy forbids it.
    pub(super) fn tag(&self, headers: &HeaderMap, scheme: &str) -> Option<String> {
        let lines: Vec<&str> = headers
            .get_all(CONTENT_SECURITY_POLICY)
            .iter()
            .map(|line| line.to_str().unwrap_or("script-src 'none'"))
            .collect();
        let mut nonce = None;
        for policy in lines.iter().flat_map(|line| line.split(',')) {
            match said(policy, scheme) {
                Said::Runs => {}
                Said::Needs(one) if nonce.is_none_or(|known| known == one) => nonce = Some(one),
                Said::Needs(_) | Said::Forbids => return None,
            }
        }
        let nonce = nonce.map_or_else(String::new, |nonce| {
            format!(" nonce=\"{}\"", escaped(nonce))
        });
        let [address, cookie, header] =
            [&self.address, &self.cookie, &self.header].map(|text| escaped(text));
        Some(format!(
            "<script src=\"{address}\" data-cookie=\"{cookie}\" data-header=\"{header}\"{nonce}></script>"
        ))
    }
}

fn said<'p>(policy: &'p str, scheme: &str) -> Said<'p> {
    let directive = |wanted: &str| {
        let mut directives = policy.split(';').map(str::trim);
        directives.find_map(|directive| {
            let (name, rest) = directive
                .split_once(|c: char| c.is_ascii_whitespace())
                .unwrap_or((directive, ""));
            name.eq_ignore_ascii_case(wanted).then_some(rest)
        })
    };
    if directive("sandbox")
        .is_some_and(|allowed| !allowed.to_ascii_lowercase().contains("allow-scripts"))
    {
        return Said::Forbids;
    }
    let sources = directive("script-src-elem")
        .or_else(|| directive("script-src"))
        .or_else(|| directive("default-src"));
    let Some(sources) = sources else {
        return Said::Runs;
    };
    let mut strict = false;
    let (mut own, mut nonce) = (false, None);
    for source in sources.split_ascii_whitespace() {
        let lower = source.to_ascii_lowercase();
        match lower.as_str() {
            "'self'" | "*" => own = true,
            "'strict-dynamic'" => strict = true,
            "http:" => own = true,
            "https:" => own |= scheme == "https",
            _ if lower.starts_with("'nonce-") => {
                nonce = source.get(7..).and_then(|rest| rest.strip_suffix('\''));
            }
            _ => {}
        }
    }
    match (own && !strict, nonce) {
        (true, _) => Said::Runs,
        (false, Some(nonce)) => Said::Needs(nonce),
        (false, None) => Said::Forbids,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn tag(policies: &[&str]) -> Option<String> {
        let script = Script {
            address: "/.palisade/csrf.js".to_owned(),
            cookie: "csrf_token".to_owned(),
            header: "x-csrf-token".to_owned(),
        };
        let fields = policies
            .iter()
            .map(|policy| (CONTENT_SECURITY_POLICY, policy.parse().unwrap()));
        script.tag(&fields.collect(), "https")
    }

    #[test]
    fn a_policy_that_forbids_it_is_heeded() {
        for allows in [
            "",
            "img-src x",
            "default-src 'self'",
            "default-src 'none'; script-src 'self'",
            "SCRIPT-SRC https:",
            "script-src 'none'; script-src-elem *",
            "sandbox allow-scripts",
            "script-src 'self' 'nonce-x'",
        ] {
            let tag = tag(&[allows]).unwrap();
            assert_eq!(
                tag,
                "<script src=\"/.palisade/csrf.js\" data-cookie=\"csrf_token\" data-header=\"x-csrf-token\"></script>"
            );
        }
        for forbids in [
            "default-src 'none'",
            "script-src",
            "script-src https://cdn.example",
            "script-src 'self' 'strict-dynamic'",
            "script-src 'unsafe-inline'",
            "sandbox",
            "default-src *; script-src-elem 'none'",
            "default-src *, script-src 'none'",
        ] {
            assert_eq!(tag(&[forbids]), None, "{forbids}");
        }
        assert_eq!(tag(&["default-src *", "default-src 'none'"]), None);
    }

    #[test]
    fn the_application_s_own_nonce_is_used() {
        let nonced = tag(&["script-src 'strict-dynamic' 'nonce-aB3='"]).unwrap();
        assert!(nonced.ends_with(" nonce=\"aB3=\"></script>"), "{nonced}");
        assert!(tag(&["script-src 'nonce-a'", "default-src 'self'"]).is_some());
        assert_eq!(tag(&["script-src 'nonce-a'", "script-src 'nonce-b'"]), None);
    }
}
