//! What must come of one stage, and whether it did. The log that patterns are held against is made from the event, in
//! the words of the engine that the suite was written for.

use policy::document::Item;
use regex::bytes::Regex;
use serde_json::Value;

use crate::events::masked;

/// What must come of one stage.
#[derive(Debug, Default)]
pub(crate) struct Expect {
    /// Rules that must be reported.
    pub(crate) ids: Vec<u32>,
    /// Rules that must not be.
    pub(crate) no_ids: Vec<u32>,
    log: Vec<Regex>,
    no_log: Vec<Regex>,
    /// One of these; any when empty.
    pub(crate) status: Vec<u16>,
    response: Option<Regex>,
    /// Whether the exchange must break.
    error: Option<bool>,
    /// Nothing but the one expected rule.
    isolated: bool,
    /// A failure is tried a second time.
    pub(crate) retry: bool,
}

/// What was seen of one stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The answer's status; `None`: there was no answer.
    pub(crate) status: Option<u16>,
    /// The answer as it came.
    pub(crate) raw: Vec<u8>,
    /// Why there was none.
    pub(crate) error: Option<String>,
    /// The gateway's events about it.
    pub(crate) events: Vec<Value>,
}

impl Expect {
    /// Reads the `output` of a stage.
    ///
    /// # Errors
    /// A sentence about what is not understood.
    pub(super) fn read(output: Item<'_>) -> Result<Self, String> {
        let mut expect = Self::default();
        for (key, item) in output.entries() {
            match key {
                "log" => {
                    for (key, item) in item.entries() {
                        expect.log_key(key, item)?;
                    }
                }
                "log_contains" => expect.log.push(pattern(item)?),
                "no_log_contains" => expect.no_log.push(pattern(item)?),
                "status" => expect.status = numbers(item)?,
                "response_contains" => expect.response = Some(pattern(item)?),
                "expect_error" => expect.error = Some(item.text() == Some("true")),
                "isolated" => expect.isolated = item.text() == Some("true"),
                "retry_once" => expect.retry = item.text() == Some("true"),
                _ => return Err(format!("line {}: `{key}` is not understood", item.line())),
            }
        }
        Ok(expect)
    }

    fn log_key(&mut self, key: &str, item: Item<'_>) -> Result<(), String> {
        match key {
            "expect_ids" => self.ids = numbers(item)?,
            "no_expect_ids" => self.no_ids = numbers(item)?,
            "expect_id" => self.ids.extend(numbers::<u32>(item)?),
            "match_regex" => self.log.push(pattern(item)?),
            "no_match_regex" => self.no_log.push(pattern(item)?),
            _ => return Err(format!("line {}: `{key}` is not understood", item.line())),
        }
        Ok(())
    }

    /// Whether it names something that must be found, not only what must not.
    pub(crate) fn wants_match(&self) -> bool {
        !self.ids.is_empty() || !self.log.is_empty()
    }

    /// What is otherwise than it must be, a sentence each.
    pub(crate) fn differences(&self, seen: &Seen) -> Vec<String> {
        if self.error == Some(true) {
            let broke = seen.status.is_none();
            return (!broke)
                .then(|| format!("the exchange should break, got status {}", status(seen)))
                .into_iter()
                .collect();
        }
        let mut all = Vec::new();
        match seen.status {
            None => all.push(format!(
                "no answer: {}",
                seen.error.as_deref().unwrap_or("closed")
            )),
            Some(got) if !self.status.is_empty() && !self.status.contains(&got) => {
                all.push(format!("status {got}, expected {}", listed(&self.status)));
            }
            Some(_) => {}
        }
        if let Some(wanted) = &self.response
            && !wanted.is_match(&seen.raw)
        {
            all.push(format!("the answer does not match {wanted}"));
        }
        self.rules(seen, &mut all);
        all
    }

    fn rules(&self, seen: &Seen, all: &mut Vec<String>) {
        let found = seen.ids();
        let missing: Vec<u32> = absent(&self.ids, &found);
        if !missing.is_empty() {
            all.push(format!("rules {} did not match", listed(&missing)));
        }
        let surplus: Vec<u32> = self
            .no_ids
            .iter()
            .copied()
            .filter(|id| found.contains(id))
            .collect();
        if !surplus.is_empty() {
            all.push(format!("rules {} matched and must not", listed(&surplus)));
        }
        if self.isolated && found.len() != 1 {
            all.push(format!(
                "only one rule should match, not {}",
                listed(&found)
            ));
        }
        let log = seen.log();
        let is_in = |pattern: &Regex| log.iter().any(|line| holds(pattern, line));
        for pattern in self.log.iter().filter(|pattern| !is_in(pattern)) {
            all.push(format!("no log line matches {pattern}"));
        }
        for pattern in self.no_log.iter().filter(|pattern| is_in(pattern)) {
            all.push(format!("a log line matches {pattern}"));
        }
    }

    /// For people: everything that is wanted.
    pub(crate) fn text(&self) -> String {
        let mut parts = Vec::new();
        let mut add = |what: &str, list: String| {
            if !list.is_empty() {
                parts.push(format!("{what} {list}"));
            }
        };
        add("rules", listed(&self.ids));
        add("not rules", listed(&self.no_ids));
        add("log", listed(&self.log));
        add("not in log", listed(&self.no_log));
        add("status", listed(&self.status));
        add("answer", listed(self.response.as_slice()));
        if self.error == Some(true) {
            parts.push("a broken exchange".to_owned());
        }
        parts.join("; ")
    }
}

impl Seen {
    /// Every rule that was reported, once, sorted.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let ids = self.rules().filter_map(|rule| rule.get("id")?.as_u64());
        let mut ids: Vec<u32> = ids.filter_map(|id| u32::try_from(id).ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The rules of its events.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Value> {
        let lists = self
            .events
            .iter()
            .filter_map(|event| event.get("rules")?.as_array());
        lists.flatten()
    }

    /// A word of its first event.
    pub(crate) fn word(&self, key: &str) -> Option<&str> {
        self.events
            .iter()
            .find_map(|event| event.get(key)?.as_str())
    }

    fn log(&self) -> Vec<String> {
        self.rules().map(log_line).collect()
    }
}

/// One rule of an event, as ModSecurity's error log writes it.
fn log_line(rule: &Value) -> String {
    let word = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut line = format!(
        "ModSecurity: Warning. Matched at {}.",
        seclang_name(word("target"))
    );
    if let Some(id) = rule.get("id") {
        line.push_str(&format!(" [id \"{id}\"]"));
    }
    for key in ["msg", "data"] {
        if !word(key).is_empty() {
            line.push_str(&format!(" [{key} \"{}\"]", escaped(word(key))));
        }
    }
    line + &format!(" [severity \"{}\"]", word("severity").to_uppercase())
}

/// A log line is one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            control if control.is_ascii_control() => {
                out.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out
}

/// `args:q` as SecLang spells it.
fn seclang_name(target: &str) -> String {
    let (variable, name) = target.split_once(':').unwrap_or((target, ""));
    let variable = match variable {
        "header" => "REQUEST_HEADERS".to_owned(),
        "cookie" => "REQUEST_COOKIES".to_owned(),
        "cookies_names" => "REQUEST_COOKIES_NAMES".to_owned(),
        "headers_names" => "REQUEST_HEADERS_NAMES".to_owned(),
        "uri" => "REQUEST_URI".to_owned(),
        "uri_raw" => "REQUEST_URI_RAW".to_owned(),
        "filename" => "REQUEST_FILENAME".to_owned(),
        "basename" => "REQUEST_BASENAME".to_owned(),
        "response_header" => "RESPONSE_HEADERS".to_owned(),
        other => other.to_uppercase(),
    };
    match name {
        "" => variable,
        name => format!("{variable}:{name}"),
    }
}

/// Events mask personal data: a pattern that names some is held against the line with the same masked.
fn holds(pattern: &Regex, line: &str) -> bool {
    if pattern.is_match(line.as_bytes()) {
        return true;
    }
    let hidden = masked(pattern.as_str());
    if hidden == pattern.as_str() {
        return false;
    }
    // What stands for the masked text is no class of letters.
    let literal = hidden
        .replace("[EMAIL]", r"\[EMAIL\]")
        .replace("[PHONE]", r"\[PHONE\]");
    Regex::new(&literal).is_ok_and(|pattern| pattern.is_match(line.as_bytes()))
}

fn pattern(item: Item<'_>) -> Result<Regex, String> {
    let text = item.text().unwrap_or_default();
    Regex::new(text).map_err(|why| format!("line {}: {why}", item.line()))
}

fn numbers<T: std::str::FromStr>(item: Item<'_>) -> Result<Vec<T>, String> {
    let own = item.text().map(|_| item);
    let number = |item: Item<'_>| {
        let number = item.text().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| format!("line {}: expected a number", item.line()))
    };
    item.items().chain(own).map(number).collect()
}

fn absent(wanted: &[u32], found: &[u32]) -> Vec<u32> {
    wanted
        .iter()
        .copied()
        .filter(|id| !found.contains(id))
        .collect()
}

/// Joined with commas.
pub(super) fn listed<T: ToString>(all: &[T]) -> String {
    all.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn status(seen: &Seen) -> String {
    seen.status
        .map_or_else(|| "none".to_owned(), |status| status.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use policy::document::Document;
    use serde_json::json;

    use super::{Expect, Seen};

    fn expect(text: &str) -> Expect {
        let read = Document::read(text.as_bytes()).unwrap();
        Expect::read(read[0].root()).unwrap()
    }

    fn seen() -> Seen {
        Seen {
            status: Some(200),
            events: vec![json!({"rules": [
                {"id": 941100, "msg": "XSS", "target": "args:q", "data": "Matched Data: a@b.example found within ARGS:q"},
                {"id": 949110, "msg": "Exceeded", "target": "tx"},
            ]})],
            ..Seen::default()
        }
    }

    #[test]
    fn is_content_with_what_was_expected() {
        for text in [
            "{log: {expect_ids: [949110, 941100], no_expect_ids: [1]}, status: 200}",
            "{log: {match_regex: 'id \"941100\".*ARGS:q', no_match_regex: 'id \"7\"'}}",
            "{status: [200, 403], log_contains: 'id \"941100\"', no_log_contains: 'id \"942100\"'}",
            "{log: {match_regex: 'at ARGS:q'}}",
        ] {
            assert_eq!(
                expect(text).differences(&seen()),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn names_every_difference() {
        let text = "{log: {expect_ids: [1], no_expect_ids: [941100], match_regex: nothing}, status: 400, isolated: true}";
        assert_eq!(expect(text).differences(&seen()).len(), 5);
        let silent = Seen::default();
        assert_eq!(
            expect("{expect_error: true}").differences(&silent),
            Vec::<String>::new()
        );
        assert_eq!(expect("{expect_error: true}").differences(&seen()).len(), 1);
        assert_eq!(expect("{}").differences(&silent).len(), 1);
    }

    #[test]
    fn refuses_to_guess() {
        for text in [
            "{unheard: 1}",
            "{log: {expect_ids: [x]}}",
            "{log: {match_regex: '('}}",
        ] {
            let read = Document::read(text.as_bytes()).unwrap();
            assert!(Expect::read(read[0].root()).is_err(), "{text}");
        }
    }
}
