//! Faults of a policy as people read them: the place, the sentence, the line itself with a caret under the spot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use policy::fault::{Fault, Weight};
use serde_json::{Value, json};

use super::paint::{Paint, Tone};

/// Longest part of a line that is shown, in characters.
const WIDEST: usize = 120;

/// All of them, each with its line, and how many there are.
pub(super) fn text(faults: &[Fault], paint: Paint) -> String {
    let mut files = BTreeMap::new();
    let mut out = String::new();
    for fault in faults {
        let lines = files.entry(fault.file.as_str()).or_insert_with(|| {
            let text = fs::read_to_string(&fault.file).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        one(&mut out, fault, lines, paint);
    }
    out
}

fn one(out: &mut String, fault: &Fault, lines: &[String], paint: Paint) {
    let (tone, word) = match fault.weight {
        Weight::Error => (Tone::Bad, "error"),
        Weight::Warning => (Tone::Notice, "warning"),
    };
    let place = if fault.line > 0 {
        format!("{}:{}:{}", fault.file, fault.line, fault.column)
    } else {
        fault.file.clone()
    };
    let _ = write!(
        out,
        "{}: {}: ",
        paint.tone(Tone::Strong, place),
        paint.tone(tone, word)
    );
    if !fault.path.0.is_empty() {
        let _ = write!(out, "{}: ", paint.tone(Tone::Name, &fault.path));
    }
    let _ = writeln!(out, "{}", fault.message);
    let line = fault.line.checked_sub(1).and_then(|index| lines.get(index));
    if let Some(line) = line {
        snippet(out, fault, line, (tone, paint));
    }
}

fn snippet(out: &mut String, fault: &Fault, line: &str, (tone, paint): (Tone, Paint)) {
    let column = fault.column.max(1);
    // Far to the right, the line is shown from a little before the spot.
    let skip = column.saturating_sub(WIDEST / 2);
    let skip = if line.chars().count() > WIDEST {
        skip
    } else {
        0
    };
    let shown: String = line.chars().skip(skip).take(WIDEST).map(spaced).collect();
    let number = fault.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = paint.tone(Tone::Faint, "|");
    let indent = " ".repeat(column.saturating_sub(1 + skip));
    let carets = "^".repeat(marked(line, column).clamp(1, WIDEST));
    let _ = writeln!(out, " {} {bar} {shown}", paint.tone(Tone::Faint, number));
    let _ = writeln!(out, " {margin} {bar} {indent}{}", paint.tone(tone, carets));
}

/// How many characters the caret covers: the word at the column.
fn marked(line: &str, column: usize) -> usize {
    let word = |character: &char| !character.is_whitespace() && !":,{}[]#\"'".contains(*character);
    line.chars().skip(column - 1).take_while(word).count()
}

/// A tab would move the caret away from its spot; other controls might do worse.
fn spaced(character: char) -> char {
    if character.is_control() {
        ' '
    } else {
        character
    }
}

/// `2 errors, 1 warning`.
pub(super) fn summary(faults: &[Fault]) -> String {
    let errors = errors(faults);
    let warnings = faults.len() - errors;
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    match (errors, warnings) {
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

/// How many refuse the policy.
pub(super) fn errors(faults: &[Fault]) -> usize {
    let errors = faults.iter().filter(|fault| fault.weight == Weight::Error);
    errors.count()
}

/// For programs.
pub(super) fn json(faults: &[Fault]) -> Value {
    faults
        .iter()
        .map(|fault| {
            json!({
                "weight": match fault.weight { Weight::Error => "error", Weight::Warning => "warning" },
                "file": fault.file,
                "line": fault.line,
                "column": fault.column,
                "path": fault.path.to_string(),
                "message": fault.message,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use policy::fault::{Fault, Path, Weight};

    use super::{Paint, summary, text};

    fn fault(file: &str, line: usize, column: usize) -> Fault {
        Fault {
            weight: Weight::Error,
            file: file.to_owned(),
            line,
            column,
            path: Path::default().key("routes").index(0).key("too"),
            message: "no such key; did you mean `to`?".to_owned(),
        }
    }

    #[test]
    fn points_at_the_spot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        std::fs::write(&path, "routes:\n  - {name: x, too: app}\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            text(&[fault(path, 2, 15)], Paint::plain()),
            format!(
                "{path}:2:15: error: routes[0].too: no such key; did you mean `to`?\n \
                 2 |   - {{name: x, too: app}}\n   |               ^^^\n"
            )
        );
    }

    #[test]
    fn says_something_without_a_line() {
        let shown = text(&[fault("gone.yaml", 0, 0)], Paint::plain());
        assert_eq!(shown.lines().count(), 1);
        assert!(text(&[fault("gone.yaml", 9, 400)], Paint::plain()).contains("gone.yaml:9:400"));
    }

    #[test]
    fn counts_what_it_found() {
        let mut faults = vec![fault("a", 1, 1)];
        assert_eq!(summary(&faults), "1 error");
        faults.push(Fault {
            weight: Weight::Warning,
            ..fault("a", 1, 1)
        });
        assert_eq!(summary(&faults), "1 error, 1 warning");
    }
}
