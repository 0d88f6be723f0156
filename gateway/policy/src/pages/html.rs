//! Markup by construction: what is markup was known when Palisade was built, and whatever else goes in is escaped. There is
//! no way to put text in as it is.

/// A piece of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Html(String);

impl Html {
    /// Markup, with every `{}` replaced by the next value, escaped for text and for attributes in quotes. A value that is
    /// missing is empty.
    pub(crate) fn put(&mut self, markup: &'static str, values: &[&str]) -> &mut Self {
        let mut values = values.iter();
        for (index, piece) in markup.split("{}").enumerate() {
            if index > 0 {
                self.text(values.next().copied().unwrap_or_default());
            }
            self.0.push_str(piece);
        }
        self
    }

    /// Another piece.
    pub(crate) fn join(&mut self, piece: &Self) -> &mut Self {
        self.0.push_str(&piece.0);
        self
    }

    /// The markup.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_put_in_is_text() {
        let mut html = Html::default();
        html.put(
            "<a href=\"{}\">{}</a>{}",
            &["\"><script>", "<b>&'{}</b>", ""],
        );
        html.put("{}", &[]);
        let expected = "<a href=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;&amp;&#39;{}&lt;/b&gt;</a>";
        assert_eq!(html.into_string(), expected);
    }
}
