//! Numbers that carry check digits or shapes of their own: payment cards, Brazil's CPF, social security numbers of the
//! United States (SSN) and of Austria (SVNR). The pattern says where to look, the digits whether it is one.

use super::Pattern;

/// Which arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Checksum {
    /// Payment cards: Luhn.
    Card,
    Cpf,
    Ssn,
    Svnr,
}

/// Places of one value that are looked at: a value of nothing but candidates ends here.
const MAX_CANDIDATES: usize = 1000;

impl Checksum {
    /// Whether what the pattern finds anywhere in the value is such a number.
    pub(super) fn occurs(self, pattern: &Pattern, value: &[u8]) -> bool {
        let mut from = 0;
        for _ in 0..MAX_CANDIDATES {
            let Some(found) = pattern.find(value, from) else {
                return false;
            };
            if value
                .get(found.clone())
                .is_some_and(|text| self.holds(text))
            {
                return true;
            }
            // As ModSecurity: the next candidate may begin inside this one.
            from = found.start + 1;
        }
        true
    }

    fn holds(self, text: &[u8]) -> bool {
        let mut digits = [0_u32; 19];
        let mut count = 0;
        for &byte in text.iter().filter(|byte| byte.is_ascii_digit()) {
            let Some(place) = digits.get_mut(count) else {
                return false;
            };
            *place = u32::from(byte - b'0');
            count += 1;
        }
        let digits = digits.get(..count).unwrap_or_default();
        match self {
            Self::Card => luhn(digits),
            Self::Cpf => cpf(digits),
            Self::Ssn => ssn(digits),
            Self::Svnr => svnr(digits),
        }
    }
}

fn number(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + digit)
}

fn luhn(digits: &[u32]) -> bool {
    let double = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| if at % 2 == 1 { double(digit) } else { digit })
        .sum();
    digits.len() >= 12 && sum.is_multiple_of(10)
}

/// Two check digits, each over all before it, weighted from the right from 2.
fn cpf(digits: &[u32]) -> bool {
    let repeated = digits
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a == b));
    let check = |length: usize| {
        let before = digits.get(..length).unwrap_or_default();
        let sum: u32 = before
            .iter()
            .rev()
            .zip(2..)
            .map(|(digit, weight)| digit * weight)
            .sum();
        let rest = sum % 11;
        digits.get(length) == Some(&if rest < 2 { 0 } else { 11 - rest })
    };
    digits.len() == 11 && !repeated && check(9) && check(10)
}

/// No check digit: areas, groups and serials that were never given out.
fn ssn(digits: &[u32]) -> bool {
    let (Some(area), Some(group), Some(serial)) =
        (digits.get(..3), digits.get(3..5), digits.get(5..))
    else {
        return false;
    };
    let area = number(area);
    // 123-45-6789 and 111-11-1111 are examples, as ModSecurity has it.
    let row = |step: u32| {
        let pairs = &mut digits.windows(2);
        pairs.all(|pair| matches!(pair, [a, b] if *b == *a + step))
    };
    digits.len() == 9
        && !row(0)
        && !row(1)
        && !matches!(area, 0 | 666 | 740..=999)
        && number(group) != 0
        && number(serial) != 0
}

/// The fourth digit checks the others.
fn svnr(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| digit * weight)
        .sum();
    digits.len() == 10 && digits.get(3) == Some(&(sum % 11))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn right_digits_are_told_from_wrong_ones() {
        let shapes =
            r"\b(?:(?:\d{4}-?){4}|(?:\d{3}\.){2}\d{3}-\d{2}|\d{3}-\d{2}-\d{4}|\d{4} \d{6})\b";
        let any = Pattern::pcre(shapes, false).unwrap();
        for (checksum, right, wrong) in [
            (
                Checksum::Card,
                "card 4111-1111-1111-1111",
                "card 4111-1111-1111-1112",
            ),
            (Checksum::Cpf, "529.982.247-25", "529.982.247-26"),
            (Checksum::Cpf, "529.982.247-25", "111.111.111-11"),
            (Checksum::Ssn, "078-05-1120", "666-05-1120"),
            (Checksum::Svnr, "1237 010180", "1238 010180"),
        ] {
            assert!(checksum.occurs(&any, right.as_bytes()), "{right}");
            assert!(!checksum.occurs(&any, wrong.as_bytes()), "{wrong}");
        }
    }
}
