//! `ip`: networks that may come, and networks that may not. It knows how lists are named and which of them wins; what
//! an entry looks like is `networks`' business.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Reason};
use crate::fault::Path;
use crate::io::Io;
use crate::networks::{self, Builder, Networks};

/// Bad lines reported per list; a binary file named by mistake must not drown the other faults.
const MOST_BAD_LINES: usize = 20;

/// Clients by address. A deny entry wins over an allow entry. Where `allow` or `allow_files` is present, everybody else is
/// refused. An entry is a network (`192.0.2.0/24`), an address, or a range (`192.0.2.1-192.0.2.9`), IPv4 or IPv6, and may
/// end: `192.0.2.0/24 until 2026-12-31T00:00:00Z`.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Entries that may come. When this or `allow_files` is present, all others are refused.
    #[serde(default)]
    allow: Option<Vec<String>>,
    /// Entries that are refused, whatever `allow` says.
    #[serde(default)]
    deny: Vec<String>,
    /// Files with one entry a line that may come; `#` and `;` begin a comment. Globs are allowed.
    #[serde(default)]
    allow_files: Option<Vec<String>>,
    /// Files with one entry a line that are refused. Globs are allowed.
    #[serde(default)]
    deny_files: Vec<String>,
    /// Drop such clients when they connect, before TLS and without an answer. Holds where the connection shows the
    /// client itself (no trusted proxy in between); every route must ask this check, unchanged and enforced.
    #[serde(default)]
    drop: bool,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    allow: Option<Networks>,
    deny: Networks,
    drop: bool,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let mut deny = Builder::default();
        entries(context, &mut deny, "deny", &self.deny);
        files(context, &mut deny, "deny_files", &self.deny_files);
        let limited = self.allow.is_some() || self.allow_files.is_some();
        let mut allow = Builder::default();
        entries(context, &mut allow, "allow", self.allow.as_deref().unwrap_or_default());
        files(context, &mut allow, "allow_files", self.allow_files.as_deref().unwrap_or_default());
        if context.failed_since(before) {
            return None;
        }
        let check = Check { allow: limited.then(|| allow.build()), deny: deny.build(), drop: self.drop };
        check.warn(context);
        Some(check)
    }
}

impl super::Beyond for Check {}

impl Check {
    /// Lists that surely are not what was meant.
    fn warn(&self, context: &mut Context<'_>) {
        match &self.allow {
            Some(allow) if allow.is_empty() => {
                context.warning(context.at.clone(), "the allow list is empty: every client is refused");
            }
            None if self.deny.is_empty() => {
                context.warning(context.at.clone(), "neither `allow` nor `deny`: every client passes");
            }
            Some(_) | None => {}
        }
    }

    /// Whether this address is refused at this moment. Also asked at accept time, before any request.
    #[must_use]
    pub fn refuses(&self, client: IpAddr, now_unix_ms: u64) -> bool {
        self.deny.contains(client, now_unix_ms)
            || self.allow.as_ref().is_some_and(|allow| !allow.contains(client, now_unix_ms))
    }

    /// Whether such clients are dropped when they connect.
    pub(crate) fn drops(&self) -> bool {
        self.drop
    }

    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        if self.refuses(turn.request.client, turn.io.now().unix) {
            return Answer::deny(Reason::IpDenied);
        }
        Answer::Pass
    }
}

/// Entries written in the policy itself.
fn entries(context: &mut Context<'_>, into: &mut Builder, key: &str, entries: &[String]) {
    for (index, text) in entries.iter().enumerate() {
        let at = context.at.key(key).index(index);
        match networks::entry(text) {
            Ok(entry) => {
                if let Some(network) = host_bits(text) {
                    let message = format!("`{text}` has bits beyond its prefix; it is read as {network}");
                    context.warning(at, message);
                }
                into.add(entry);
            }
            Err(why) => context.error(at, why),
        }
    }
}

/// `10.1.2.3/8`: perhaps the network was meant, perhaps the address.
fn host_bits(text: &str) -> Option<IpNet> {
    let network: IpNet = text.split_ascii_whitespace().next()?.parse().ok()?;
    (network.addr() != network.network()).then(|| network.trunc())
}

/// Entries in files.
fn files(context: &mut Context<'_>, into: &mut Builder, key: &str, patterns: &[String]) {
    for (index, pattern) in patterns.iter().enumerate() {
        let at = context.at.key(key).index(index);
        for file in context.files(&at, pattern) {
            let Some(list) = context.read(at.clone(), &file) else {
                continue;
            };
            for bad in into.add_list(&list, MOST_BAD_LINES) {
                report(context, &at, &file, &bad);
            }
        }
    }
}

fn report(context: &mut Context<'_>, at: &Path, file: &str, bad: &networks::BadLine) {
    context.error(at.clone(), format!("{file}:{}: {}", bad.line, bad.message));
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, Scene};

    fn refused(bench: &mut Bench, client: &str) -> bool {
        let scene = Scene { client: client.parse().unwrap(), ..Scene::default() };
        match bench.ask(&scene) {
            Answer::Pass => false,
            answer => {
                assert_eq!(answer, Answer::deny(Reason::IpDenied));
                true
            }
        }
    }

    #[test]
    fn deny_wins_over_allow_and_others_are_refused() {
        let spec = json!({"allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.9.0.0/16"]});
        let mut bench = Bench::new("ip", spec);
        assert!(!refused(&mut bench, "10.1.2.3"));
        assert!(!refused(&mut bench, "2001:db8::1"));
        assert!(refused(&mut bench, "10.9.0.1"));
        assert!(refused(&mut bench, "::ffff:10.9.0.1"));
        assert!(refused(&mut bench, "192.0.2.1"));
    }

    #[test]
    fn without_an_allow_list_only_denied_ones_are_refused() {
        let mut bench = Bench::new("ip", json!({"deny": ["192.0.2.1-192.0.2.9"]}));
        assert!(refused(&mut bench, "192.0.2.9"));
        assert!(!refused(&mut bench, "192.0.2.10"));
    }

    #[test]
    fn an_empty_allow_list_refuses_everybody() {
        let mut bench = Bench::new("ip", json!({"allow": []}));
        assert!(refused(&mut bench, "192.0.2.1"));
        assert_eq!(bench.faults(), ["it: the allow list is empty: every client is refused"]);
    }

    #[test]
    fn an_entry_ends_at_its_time_without_a_reload() {
        let spec = json!({"deny": ["192.0.2.0/24 until 2026-12-31T00:00:00Z"]});
        let mut bench = Bench::new("ip", spec);
        bench.at("2026-12-30T23:59:59Z");
        assert!(refused(&mut bench, "192.0.2.1"));
        bench.at("2026-12-31T00:00:00Z");
        assert!(!refused(&mut bench, "192.0.2.1"));
    }

    #[test]
    fn a_decision_allocates_nothing() {
        let spec = json!({"deny": ["192.0.2.128/25 until 2026-12-31T00:00:00Z"], "allow": ["0.0.0.0/0"]});
        assert_eq!(Bench::new("ip", spec).allocations(&Scene::default()), 0);
    }

    #[test]
    fn reads_files_and_globs() {
        let files = [("lists/a.txt", "192.0.2.1 # a\n"), ("lists/b.txt", "192.0.2.2\n"), ("ours", "0.0.0.0/0\n")];
        let spec = json!({"deny_files": ["lists/*.txt"], "allow_files": ["ours"]});
        let mut bench = Bench::with_files("ip", spec, &files);
        assert!(refused(&mut bench, "192.0.2.1"));
        assert!(refused(&mut bench, "192.0.2.2"));
        assert!(!refused(&mut bench, "192.0.2.3"));
        assert!(refused(&mut bench, "2001:db8::1"));
    }

    #[test]
    fn faults_name_file_and_line_all_at_once() {
        let spec = json!({"deny": ["10.0.0.0/8", "ten"], "deny_files": ["a", "gone"], "allow": ["10.0.0.1/8"]});
        let faults = Bench::faults_of("ip", spec, &[("a", "\n10.0.0.0/8\n10.0.0.0/99\n")]);
        assert_eq!(
            faults,
            [
                "it.deny[1]: `ten` is not a network, an address or a range",
                "it.deny_files[0]: a:3: `10.0.0.0/99` is not a network, an address or a range",
                "it.deny_files[1]: cannot read gone: no such file",
                "it.allow[0]: `10.0.0.1/8` has bits beyond its prefix; it is read as 10.0.0.0/8",
            ]
        );
    }
}
