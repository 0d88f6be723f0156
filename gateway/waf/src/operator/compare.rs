//! Comparisons with a text or a number that may come from the transaction. Numbers are read as ModSecurity reads
//! them: what is no number is 0.

use crate::{compile::requirement::Requirement, text::Text};

/// How the value relates to the operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
    /// The value occurs in the operand.
    Within,
    /// As `Contains`, but not inside a longer word.
    ContainsWord,
    Eq,
    Ne,
    Ge,
    Gt,
    Le,
    Lt,
}

#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) relation: Relation,
    pub(crate) operand: Text,
}

impl Comparison {
    pub(crate) fn fixed(relation: Relation, text: &str) -> Self {
        Self {
            relation,
            operand: Text::fixed(text.as_bytes()),
        }
    }

    /// `operand` is the own one, expanded.
    pub(crate) fn holds(&self, value: &[u8], operand: &[u8]) -> bool {
        use Relation as R;
        match self.relation {
            R::Equals => value == operand,
            R::Contains => memchr::memmem::find(value, operand).is_some(),
            R::StartsWith => value.starts_with(operand),
            R::EndsWith => value.ends_with(operand),
            R::Within => is_within(value, operand),
            R::ContainsWord => contains_word(value, operand),
            R::Eq => number(value) == number(operand),
            R::Ne => number(value) != number(operand),
            R::Ge => number(value) >= number(operand),
            R::Gt => number(value) > number(operand),
            R::Le => number(value) <= number(operand),
            R::Lt => number(value) < number(operand),
        }
    }

    pub(super) fn requirement(&self) -> Requirement {
        use Relation as R;
        match (self.relation, self.operand.as_fixed()) {
            (
                R::Equals | R::Contains | R::StartsWith | R::EndsWith | R::ContainsWord,
                Some(text),
            ) => Requirement::any_of([text]),
            _ => Requirement::none(),
        }
    }
}

/// Of a short list a searcher costs more to set up than the search. Words of such lists stand between marks that all of
/// them share: a byte from the middle is the rarer one.
fn is_within(value: &[u8], list: &[u8]) -> bool {
    const SHORT: usize = 1024;
    let middle = value.len() / 2;
    let Some(&rare) = value.get(middle) else {
        return true;
    };
    if list.len() > SHORT {
        return memchr::memmem::find(list, value).is_some();
    }
    memchr::memchr_iter(rare, list.get(middle..).unwrap_or_default())
        .any(|at| list.get(at..).is_some_and(|rest| rest.starts_with(value)))
}

fn contains_word(value: &[u8], word: &[u8]) -> bool {
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    word.is_empty()
        || memchr::memmem::find_iter(value, word).any(|at| {
            let before = at.checked_sub(1).and_then(|before| value.get(before));
            !is_word(before) && !is_word(value.get(at + word.len()))
        })
}

/// C's `atoll`: white space, a sign, digits; the rest is ignored.
pub(crate) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let value =
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_i64, |value, byte| {
                value
                    .saturating_mul(10)
                    .saturating_add(i64::from(byte - b'0'))
            });
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(relation: Relation, value: &str, operand: &str) -> bool {
        Comparison::fixed(relation, operand).holds(value.as_bytes(), operand.as_bytes())
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value) in [
            ("12", 12),
            (" -3x", -3),
            ("+7", 7),
            ("x", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn relations_hold_as_named() {
        use Relation as R;
        assert!(
            holds(R::Within, "GET", "GET HEAD POST") && !holds(R::Within, "PUT", "GET HEAD POST")
        );
        assert!(
            holds(R::ContainsWord, "a cat.", "cat") && !holds(R::ContainsWord, "concat", "cat")
        );
        assert!(holds(R::Lt, "1", "2") && !holds(R::Lt, "2", "2") && holds(R::Ge, "2", "2"));
        assert!(holds(R::EndsWith, "a.php", ".php") && !holds(R::StartsWith, "a.php", ".php"));
    }
}
