//! One event as one JSON line, in the order that DESIGN fixes. Written by hand into a buffer that is used again: an
//! event allocates nothing once its buffer has grown.

use std::net::IpAddr;

use policy::client::AddressText;

use super::{Event, Finding, Kind, WouldDeny, mask, stamp, text};

/// What clients sent and an event may hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    pub(super) query: bool,
    pub(super) values: bool,
}

/// Appends the line, line feed included.
pub(super) fn write(out: &mut Vec<u8>, event: &Event<'_>, shown: Shown) {
    let mut line = Line { out };
    line.out.extend_from_slice(b"{\"time\":\"");
    stamp::write(line.out, event.time);
    line.out.push(b'"');
    line.word("event", event.kind.as_str());
    if let Some(severity) = event.kind.severity() {
        line.word("severity", severity);
    }
    who_and_what(&mut line, event, shown.query);
    verdict(&mut line, event, shown.values);
    cost(&mut line, event);
    about_the_policy(&mut line, event);
    line.out.extend_from_slice(b"}\n");
}

fn who_and_what(line: &mut Line<'_>, event: &Event<'_>, with_query: bool) {
    line.text("request_id", event.request_id);
    if let Some(client) = event.client {
        line.address("client", client);
    }
    if let Some(country) = &event.country {
        line.text("country", std::str::from_utf8(country).unwrap_or_default());
    }
    line.text("method", event.method);
    line.text("host", event.host);
    line.masked("path", event.path);
    if let Some(query) = event.query.filter(|_| with_query) {
        line.masked("query", query);
    }
    line.text("route", event.route);
}

fn verdict(line: &mut Line<'_>, event: &Event<'_>, values: bool) {
    line.number("status", event.status.map(u64::from));
    if let Some(action) = event.action {
        line.word("action", action.as_str());
    }
    line.text("check", event.check);
    if let Some(reason) = event.reason {
        line.word("reason", reason.code());
    }
    if !event.would.is_empty() {
        line.word("would", "deny");
        line.list("would_by", event.would, would);
    }
    if !event.rules.is_empty() {
        line.list("rules", event.rules, |line, found| {
            finding(line, found, values);
        });
    }
    line.number("score", event.score);
    line.number("response_score", event.response_score);
}

fn cost(line: &mut Line<'_>, event: &Event<'_>) {
    line.text("user", event.user);
    line.text("upstream", event.upstream);
    line.number("bytes_in", event.bytes_in);
    line.number("bytes_out", event.bytes_out);
    line.number("duration_us", event.duration_us);
    line.number("gateway_us", event.gateway_us);
}

fn about_the_policy(line: &mut Line<'_>, event: &Event<'_>) {
    line.number("policy_version", event.policy_version);
    line.text("policy_hash", event.policy_hash);
    line.text("detail", event.detail);
    if !event.faults.is_empty() {
        let loaded = event.kind == Kind::PolicyLoaded;
        let name = if loaded { "warnings" } else { "faults" };
        line.list(name, event.faults, |line, fault| {
            text::string(line.out, fault);
        });
    }
    line.number("count", event.count);
}

fn would(line: &mut Line<'_>, would: &WouldDeny<'_>) {
    line.out.extend_from_slice(b"{\"check\":");
    text::string(line.out, would.check);
    line.word("reason", would.reason.code());
    line.out.push(b'}');
}

fn finding(line: &mut Line<'_>, finding: &Finding<'_>, values: bool) {
    line.out.extend_from_slice(b"{\"id\":");
    line.digits(u64::from(finding.id));
    line.masked("msg", finding.msg);
    line.text("severity", finding.severity);
    line.masked("target", finding.target);
    if finding.score > 0 {
        line.number("score", Some(u64::from(finding.score)));
    }
    line.text("check", finding.check);
    if values {
        line.masked("value", finding.value);
        line.masked("data", finding.data);
    }
    line.out.push(b'}');
}

/// Appends `,"name":value` pairs; the line's first pair is written before it.
struct Line<'b> {
    out: &'b mut Vec<u8>,
}

impl Line<'_> {
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// One of our own words: nothing in it to escape.
    fn word(&mut self, name: &str, value: &'static str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            text::string(self.out, value);
        }
    }

    fn masked(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            text::string(self.out, &mask::personal(text::clip(value)));
        }
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            self.digits(value);
        }
    }

    fn digits(&mut self, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(buffer.format(value).as_bytes());
    }

    fn address(&mut self, name: &str, value: IpAddr) {
        self.name(name);
        self.out.push(b'"');
        let text = AddressText::new(value);
        self.out.extend_from_slice(text.as_str().as_bytes());
        self.out.push(b'"');
    }

    fn list<T>(&mut self, name: &str, items: &[T], mut each: impl FnMut(&mut Line<'_>, &T)) {
        self.name(name);
        self.out.push(b'[');
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            each(&mut Line { out: self.out }, item);
        }
        self.out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use policy::decision::{Action, Reason};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::{Event, Finding, WouldDeny};
    use super::{Shown, write};

    fn line(event: &Event<'_>, all: bool) -> String {
        let mut out = Vec::new();
        let shown = Shown {
            query: all,
            values: all,
        };
        write(&mut out, event, shown);
        String::from_utf8(out).unwrap()
    }

    fn full() -> Event<'static> {
        Event {
            time: 1_763_684_711_042,
            request_id: "r-1",
            client: Some([203, 0, 113, 9].into()),
            country: Some(*b"NZ"),
            method: "POST",
            host: "shop.example",
            path: "/search",
            query: Some("q=1"),
            route: "web",
            status: Some(403),
            action: Some(Action::Deny),
            check: "builtin",
            reason: Some(Reason::WafBlocked),
            would: &[WouldDeny {
                check: "per-ip",
                reason: Reason::RateLimited,
            }],
            rules: &[Finding {
                id: 941_100,
                msg: "XSS",
                severity: "critical",
                target: "args:q",
                score: 5,
                check: "builtin",
                value: "<script> of mia@example.com",
                data: "Matched Data: <script>",
            }],
            score: Some(5),
            user: "mia",
            upstream: "app",
            bytes_in: Some(12),
            bytes_out: Some(345),
            duration_us: Some(900),
            gateway_us: Some(80),
            policy_version: Some(3),
            policy_hash: "ab12",
            ..Event::default()
        }
    }

    #[test]
    fn keeps_the_order_of_the_design() {
        assert_eq!(
            line(&full(), false),
            concat!(
                r#"{"time":"2025-11-21T00:25:11.042Z","event":"request","request_id":"r-1","client":"203.0.113.9","#,
                r#""country":"NZ","method":"POST","host":"shop.example","path":"/search","route":"web","status":403,"#,
                r#""action":"deny","check":"builtin","reason":"waf_blocked","would":"deny","#,
                r#""would_by":[{"check":"per-ip","reason":"rate_limited"}],"#,
                r#""rules":[{"id":941100,"msg":"XSS","severity":"critical","target":"args:q","score":5,"check":"builtin"}],"score":5,"user":"mia","#,
                r#""upstream":"app","bytes_in":12,"bytes_out":345,"duration_us":900,"gateway_us":80,"#,
                r#""policy_version":3,"policy_hash":"ab12"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn shows_the_query_only_when_asked() {
        assert!(!line(&full(), false).contains("q=1"));
        assert!(line(&full(), true).contains(r#""path":"/search","query":"q=1""#));
    }

    #[test]
    fn shows_what_rules_saw_only_when_asked() {
        assert!(!line(&full(), false).contains("script"));
        let all = line(&full(), true);
        assert!(all.contains(r#""value":"<script> of [EMAIL]","data":"Matched Data: <script>""#));
    }

    #[test]
    fn leaves_out_what_is_empty() {
        assert_eq!(
            line(&Event::default(), true),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"request\"}\n"
        );
    }

    #[test]
    fn masks_personal_data_in_paths() {
        let event = Event {
            path: "/u/mia@example.com",
            ..Event::default()
        };
        assert!(line(&event, false).contains(r#""path":"/u/[EMAIL]""#));
    }

    proptest! {
        #[test]
        fn every_line_is_one_line_of_json(texts in prop::collection::vec(any::<String>(), 7), query in any::<String>()) {
            let finding = [Finding { id: 7, msg: &texts[4], severity: &texts[5], target: &texts[6], value: &texts[3], ..Finding::default() }];
            let event = Event {
                request_id: &texts[0], host: &texts[1], path: &texts[2], user: &texts[3],
                query: Some(&query), rules: &finding, ..full()
            };
            let line = line(&event, true);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let back: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(back["request_id"].as_str().unwrap_or_default(), &texts[0]);
        }
    }
}
