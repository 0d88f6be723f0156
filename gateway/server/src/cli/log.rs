//! The log on standard error: for operators, few lines. Requests are events and never come here.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::paint::{Paint, Tone};
use crate::events::{rfc3339, unix_ms};

struct Stderr {
    paint: Paint,
    own: LevelFilter,
    others: LevelFilter,
}

/// Starts logging; PALISADE_LOG says how much.
pub(super) fn start() {
    let asked = std::env::var("PALISADE_LOG").ok();
    let asked = asked.and_then(|level| level.parse::<LevelFilter>().ok());
    let own = asked.unwrap_or(LevelFilter::Info);
    // Pingora reports every client that goes away; each of these is an event already, and a flood of them no news.
    let others = asked.map_or(LevelFilter::Off, |level| level);
    let logger = Stderr {
        paint: Paint::stderr(),
        own,
        others,
    };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(own.max(others));
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("server") || metadata.target() == "palisade";
        metadata.level() <= if ours { self.own } else { self.others }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (tone, word) = match record.level() {
            Level::Error => (Tone::Bad, "error"),
            Level::Warn => (Tone::Notice, "warn"),
            Level::Info => (Tone::Good, "info"),
            Level::Debug | Level::Trace => (Tone::Faint, "debug"),
        };
        let text = record.args().to_string();
        let text: String = text.chars().map(visible).collect();
        // Nowhere to report that standard error is closed.
        let _ = writeln!(
            std::io::stderr().lock(),
            "{} {} {text}",
            self.paint.tone(Tone::Faint, rfc3339(unix_ms())),
            self.paint.tone(tone, format_args!("{word:5}")),
        );
    }

    fn flush(&self) {}
}

/// A file name or an upstream's error may hold anything; a terminal must not obey it.
fn visible(character: char) -> char {
    if character.is_control() {
        '\u{FFFD}'
    } else {
        character
    }
}
