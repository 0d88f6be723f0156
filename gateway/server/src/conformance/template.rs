//! The little of Go's templates that tests use to write long data: `{{ "a" | repeat 400 }}`. Anything else is said to
//! be unknown instead of being sent as it stands.

/// More than any request may be.
const MOST: usize = 64 << 20;

/// The text with every `{{…}}` worked out.
///
/// # Errors
/// A sentence about the first one that is not understood.
pub(super) fn expand(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after
            .split_once("}}")
            .ok_or("a template is opened and not closed")?;
        out.push_str(before);
        out.push_str(&value(inside)?);
        rest = after;
        if out.len() > MOST {
            return Err("a template makes more than 64 MiB".to_owned());
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `"text"`, `"text" | repeat 3` or `repeat 3 "text"`.
fn value(inside: &str) -> Result<String, String> {
    let unknown = || format!("template not understood: {{{{{inside}}}}}");
    let repeated = |text: String, times: &str| {
        let times: usize = times.parse().map_err(|_| unknown())?;
        match text.len().checked_mul(times) {
            Some(length) if length <= MOST => Ok(text.repeat(times)),
            _ => Err("a template makes more than 64 MiB".to_owned()),
        }
    };
    let inside = inside.trim();
    if let Some(rest) = inside.strip_prefix("repeat ") {
        let (times, text) = rest.trim_start().split_once(' ').ok_or_else(unknown)?;
        let (text, rest) = literal(text.trim_start()).ok_or_else(unknown)?;
        return match rest.trim() {
            "" => repeated(text, times),
            _ => Err(unknown()),
        };
    }
    let (mut text, mut rest) = literal(inside).ok_or_else(unknown)?;
    while let Some(step) = rest.trim_start().strip_prefix('|') {
        let (step, after) = step.split_at(step.find('|').unwrap_or(step.len()));
        let times = step.trim().strip_prefix("repeat ").ok_or_else(unknown)?;
        text = repeated(text, times.trim())?;
        rest = after;
    }
    match rest.trim() {
        "" => Ok(text),
        _ => Err(unknown()),
    }
}

/// A Go string at the beginning, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, rest) = raw.split_once('`')?;
        return Some((inside.to_owned(), rest));
    }
    let mut letters = text.strip_prefix('"')?.char_indices();
    let mut out = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((out, text.get(at + 2..)?)),
            '\\' => out.push(match letters.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                same @ ('"' | '\\') => same,
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::expand;

    #[test]
    fn works_out_what_is_repeated() {
        assert_eq!(
            expand(r#"a={{ "xy" | repeat 3 }}&b"#).unwrap(),
            "a=xyxyxy&b"
        );
        assert_eq!(expand(r#"{{repeat 2 "\"\n"}}"#).unwrap(), "\"\n\"\n");
        assert_eq!(
            expand(r#"{{ "a" | repeat 2 | repeat 2 }}"#).unwrap(),
            "aaaa"
        );
        assert_eq!(expand("{{ `a\\` }} } {").unwrap(), "a\\ } {");
    }

    #[test]
    fn says_what_it_does_not_know() {
        for text in [
            "{{ .Payload }}",
            "{{ \"a\" | upper }}",
            "{{",
            "{{ \"a\" | repeat 99999999999 }}",
            "{{ \"a }}",
            "{{ constructor }}",
        ] {
            assert!(expand(text).is_err(), "{text}");
        }
    }
}
