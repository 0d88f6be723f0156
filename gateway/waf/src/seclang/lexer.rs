//! SecLang text → directives with their arguments and lines. Knows quoting and continuation, no directive.

/// One directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// Where it begins, from 1.
    pub(super) line: u32,
}

/// The directives of a file, in order. An error names the line.
pub(super) fn directives(text: &str) -> Vec<Result<Directive, (u32, String)>> {
    logical_lines(text)
        .into_iter()
        .map(|(line, text)| directive(line, &text))
        .collect()
}

/// A `\` at the end of a line joins it with the next; white space at the start of the next is dropped, as
/// ModSecurity does. A comment is a whole line.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (raw, number) in text.lines().zip(1..) {
        let trimmed = raw.trim();
        if open.is_none() && (trimmed.is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        let (first, mut joined) = open.take().unwrap_or((number, String::new()));
        match trimmed.strip_suffix('\\') {
            Some(part) => {
                joined.push_str(part);
                open = Some((first, joined));
            }
            None => {
                joined.push_str(trimmed);
                lines.push((first, joined));
            }
        }
    }
    lines.extend(open);
    lines
}

fn directive(line: u32, text: &str) -> Result<Directive, (u32, String)> {
    let mut words = words(text).map_err(|message| (line, message))?.into_iter();
    let name = words.next().unwrap_or_default();
    Ok(Directive {
        name,
        arguments: words.collect(),
        line,
    })
}

/// Words between white space; in quotes of either kind a word may hold spaces, and `\"` stands for a quote. Every other
/// backslash is kept: it belongs to the pattern.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(quoted, '"')?,
            None if rest.starts_with('\'') => quoted_word(rest.get(1..).unwrap_or_default(), '\'')?,
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                (word.to_owned(), after)
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn quoted_word(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((word, text.get(at + 1..).unwrap_or_default())),
            '\\' => match letters.next() {
                Some((_, other)) if other == quote => word.push(quote),
                Some((_, other)) => word.extend(['\\', other]),
                None => break,
            },
            _ => word.push(letter),
        }
    }
    Err("a quote is not closed".to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn joins_lines_keeps_backslashes_and_counts() {
        let text = "# comment\n\nSecRule ARGS \"@rx \\\"a\\sb\" \\\n    \"id:1,\\\n    deny\"\nSecMarker END\n";
        let found: Vec<Directive> = directives(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].line, found[1].line), (3, 6));
        assert_eq!(found[0].arguments, ["ARGS", "@rx \"a\\sb", "id:1,deny"]);
        assert_eq!(found[1].arguments, ["END"]);
    }

    #[test]
    fn names_the_line_of_an_open_quote() {
        assert_eq!(directives("\nSecRule ARGS \"x").remove(0).unwrap_err().0, 2);
    }
}
