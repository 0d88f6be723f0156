//! The action list of a rule, taken apart: names and values, nothing of what they mean.

/// `name` or `name:value`; quotes around the value are gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) name: String,
    pub(super) value: std::borrow::Cow<'a, str>,
}

/// Splits at commas outside single quotes. `\'` inside quotes is a quote.
pub(super) fn split(text: &str) -> Result<Vec<Item<'_>>, String> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = item_end(rest)?;
        let (item, after) = rest.split_at(end);
        if !item.trim().is_empty() {
            items.push(parse(item.trim()));
        }
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Ok(items)
}

fn item_end(text: &str) -> Result<usize, String> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            ',' if !quoted => return Ok(at),
            _ => {}
        }
    }
    if quoted {
        Err(format!("a quote is not closed: {text}"))
    } else {
        Ok(text.len())
    }
}

fn parse(item: &str) -> Item<'_> {
    let (name, value) = item.split_once(':').unwrap_or((item, ""));
    let value = value.trim();
    let inner = value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''))
        .unwrap_or(value);
    let value = if inner.contains("\\'") {
        inner.replace("\\'", "'").into()
    } else {
        inner.into()
    };
    Item {
        name: name.trim().to_ascii_lowercase(),
        value,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn commas_and_colons_in_quotes_stay() {
        let items =
            split("id:1, phase:2,msg:'a, b: it\\'s',setvar:'tx.a=%{tx.b}',deny,t:none").unwrap();
        let flat: Vec<String> = items
            .iter()
            .map(|item| format!("{}={}", item.name, item.value))
            .collect();
        assert_eq!(
            flat,
            [
                "id=1",
                "phase=2",
                "msg=a, b: it's",
                "setvar=tx.a=%{tx.b}",
                "deny=",
                "t=none"
            ]
        );
        assert!(split("msg:'open").is_err());
    }
}
