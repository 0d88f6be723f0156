//! The paths that rules ask of XML → a selector over the paths of texts and attributes. Steps by name or `*`, `//`,
//! `@name`, `text()`; the rest of XPath is refused.

use crate::{
    operator::pattern,
    variable::{Selector, Variable},
};

pub(super) fn read(path: &str) -> Result<(Variable, Selector), String> {
    match path.trim() {
        "" | "/*" | "//*" | "//text()" => return Ok((Variable::XmlText, Selector::All)),
        "//@*" => return Ok((Variable::XmlAttribute, Selector::All)),
        _ => {}
    }
    let refused =
        || format!("the path {path} is not supported: steps, //, *, @name and text() are");
    let mut regex = "^".to_owned();
    let mut rest = path.trim();
    while !rest.is_empty() {
        // `//` may pass over any number of elements.
        rest = match rest.strip_prefix("//") {
            Some(rest) => {
                regex.push_str("(?:/[^/@]+)*");
                rest
            }
            None => rest.strip_prefix('/').ok_or_else(refused)?,
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (step, after) = rest.split_at(end);
        rest = after;
        match step {
            "text()" if rest.is_empty() => {
                return Ok((Variable::XmlText, selected(&regex, "$")?));
            }
            _ => match step.strip_prefix('@') {
                Some(name) if rest.is_empty() => {
                    regex.push_str("/@");
                    regex.push_str(&named(name).ok_or_else(refused)?);
                    return Ok((Variable::XmlAttribute, selected(&regex, "$")?));
                }
                Some(_) => return Err(refused()),
                None => {
                    regex.push('/');
                    regex.push_str(&named(step).ok_or_else(refused)?);
                }
            },
        }
    }
    // An element stands for all text inside it.
    Ok((Variable::XmlText, selected(&regex, "(?:/|$)")?))
}

fn selected(regex: &str, end: &str) -> Result<Selector, String> {
    let pattern = pattern::selector(&format!("{regex}{end}"))?;
    Ok(Selector::Pattern(Box::new(pattern)))
}

/// Prefixes are the document's to choose: a name without one takes any, a name with one takes any other as well.
fn named(step: &str) -> Option<String> {
    if step == "*" {
        return Some("[^/@]+".to_owned());
    }
    let local = step.rsplit(':').next().unwrap_or(step);
    let plain = |letter: char| letter.is_alphanumeric() || "_.-".contains(letter);
    let good = local.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
        && local.chars().all(plain);
    good.then(|| {
        format!(
            "(?:[^/:@]+:)?{}",
            local.replace('.', r"\.").replace('-', r"\-")
        )
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn paths_select_what_they_name() {
        for (path, yes, no) in [
            (
                "/a/b",
                &["/a/b", "/a/b/c", "/x:a/y:b"][..],
                &["/a/bb", "/b", "/a/c/b"][..],
            ),
            (
                "//b/text()",
                &["/a/b", "/b", "/a/c/b"],
                &["/a/b/c", "/a/ab"],
            ),
            ("/a/*/c", &["/a/b/c", "/a/x/c/d"], &["/a/c"]),
            (
                "/s:Envelope//id",
                &["/soap:Envelope/soap:Body/id"],
                &["/soap:Envelope/ids"],
            ),
            ("/a/@id", &["/a/@id"], &["/a/@ids", "/b/a/@id"]),
            ("//@href", &["/a/@href", "/a/b/@xlink:href"], &["/a/@src"]),
        ] {
            let (_, selector) = read(path).unwrap();
            assert!(
                yes.iter().all(|own| selector.takes(own.as_bytes())),
                "{path}"
            );
            assert!(
                !no.iter().any(|own| selector.takes(own.as_bytes())),
                "{path}"
            );
        }
        for path in ["a", "/a[1]", "//a/..", "count(//a)", "/a/@b/c", "/a|/b"] {
            assert!(read(path).is_err(), "{path}");
        }
    }
}
