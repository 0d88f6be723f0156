//! Which language a visitor reads best, by Accept-Language (RFC 9110, 12.5.4).

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use super::text::{self, Text};

/// Languages that are looked at: more of them than anybody speaks.
const MOST: usize = 32;

/// The words in the language that the visitor prefers among ours; English when there is none.
pub(crate) fn of(headers: &HeaderMap) -> &'static Text {
    let lines = headers.get_all(ACCEPT_LANGUAGE).iter();
    let parts = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let (mut best, mut weight) = (&text::ENGLISH, 0);
    for part in parts.take(MOST) {
        let mut parts = part.split(';');
        let known = parts.next().and_then(|tag| known(tag.trim()));
        let given = parts.find_map(|parameter| parameter.trim().strip_prefix("q="));
        let quality = given.map_or(1000, thousandths);
        if let Some(known) = known
            && quality > weight
        {
            (best, weight) = (known, quality);
        }
    }
    best
}

fn known(tag: &str) -> Option<&'static Text> {
    let tag = tag.to_ascii_lowercase();
    let mut parts = tag.split('-');
    match parts.next().unwrap_or_default() {
        "en" | "*" => Some(&text::ENGLISH),
        "de" => Some(&text::GERMAN),
        "ja" => Some(&text::JAPANESE),
        "ko" => Some(&text::KOREAN),
        "zh" => Some(chinese(parts)),
        _ => None,
    }
}

/// By script where it is named, else by where people write which.
fn chinese<'t>(mut parts: impl Iterator<Item = &'t str>) -> &'static Text {
    let told = parts.find_map(|part| match part {
        "hant" | "tw" | "hk" | "mo" => Some(&text::CHINESE_TRADITIONAL),
        "hans" | "cn" | "sg" | "my" => Some(&text::CHINESE_SIMPLIFIED),
        _ => None,
    });
    told.unwrap_or(&text::CHINESE_SIMPLIFIED)
}

/// `0.25` is 250; what is no weight is none.
fn thousandths(text: &str) -> u32 {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = format!("{fraction:0<3}").parse().ok().filter(|_| digits);
    match (whole, fraction) {
        ("1", Some(0)) => 1000,
        ("0", Some(fraction)) => fraction,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn chosen(accepted: &str) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, accepted.parse().unwrap());
        of(&headers).tag
    }

    #[test]
    fn takes_the_language_that_is_wanted_most() {
        assert_eq!(of(&HeaderMap::new()).tag, "en");
        for (accepted, tag) in [
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("fr-FR,fr;q=0.9,ja;q=0.5,en;q=0.4", "ja"),
            ("en;q=0.5, ko", "ko"),
            ("en;q=0.5,ko;q=0.50,de;q=0.501", "de"),
            ("ja;q=0,en;q=0.1", "en"),
            ("zh-TW,zh;q=0.9", "zh-Hant"),
            ("zh-HK", "zh-Hant"),
            ("zh-Hant-CN", "zh-Hant"),
            ("zh-Hans-TW", "zh-Hans"),
            ("zh-CN,zh;q=0.9", "zh-Hans"),
            ("zh", "zh-Hans"),
            ("fr", "en"),
            ("*", "en"),
            ("DE-de", "de"),
            ("de;q=2,ja;q=0.1", "ja"),
            ("de;q=0.1234,ja;q=0.01", "ja"),
            (";;q=,,,-", "en"),
        ] {
            assert_eq!(chosen(accepted), tag, "{accepted}");
        }
    }
}
