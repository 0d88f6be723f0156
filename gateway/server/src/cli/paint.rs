//! Colour for people at a terminal; none for pipes, files, and those who set NO_COLOR.

use std::fmt;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// What colours mean here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Passed, allowed.
    Good,
    /// Refused, faulty.
    Bad,
    /// Observed, warned about.
    Notice,
    /// Names of things.
    Name,
    /// What matters less.
    Faint,
    /// Headings.
    Strong,
}

/// Whether to colour one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::when(std::io::stdout().is_terminal())
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::when(std::io::stderr().is_terminal())
    }

    fn when(terminal: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let forced = set("CLICOLOR_FORCE");
        Self {
            on: !set("NO_COLOR") && (forced || (terminal && !dumb)),
        }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { on: false }
    }

    /// `what` in `tone`.
    pub(crate) fn tone<T: fmt::Display>(self, tone: Tone, what: T) -> Toned<T> {
        let style = self.on.then(|| style(tone));
        Toned { style, what }
    }
}

fn style(tone: Tone) -> Style {
    let plain = Style::new();
    let colour = |colour: AnsiColor| plain.fg_color(Some(colour.into()));
    match tone {
        Tone::Good => colour(AnsiColor::Green),
        Tone::Bad => colour(AnsiColor::Red).bold(),
        Tone::Notice => colour(AnsiColor::Yellow),
        Tone::Name => colour(AnsiColor::Cyan),
        Tone::Faint => plain.dimmed(),
        Tone::Strong => plain.bold(),
    }
}

/// Something in its colour.
#[derive(Debug)]
pub(crate) struct Toned<T> {
    style: Option<Style>,
    what: T,
}

impl<T: fmt::Display> fmt::Display for Toned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            // `f.pad`-style widths would count escape codes, so the width goes to what is inside.
            Some(style) => {
                write!(f, "{style}")?;
                self.what.fmt(f)?;
                write!(f, "{style:#}")
            }
            None => self.what.fmt(f),
        }
    }
}
