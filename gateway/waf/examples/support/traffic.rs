//! Requests as clients send them, none like the one before: what a benchmark repeats, the engine remembers.

use std::fmt::Write;

/// What changes from one request to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Variety {
    /// Nothing: one request over and over, as load generators send it.
    Repeated,
    /// Arguments, session and referer: a browser at work.
    Usual,
    /// Every value of every header, too: no two requests of the same client.
    Fresh,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Get,
    Form,
    Json,
    Multipart,
    Xml,
    Answer,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Get,
        Self::Form,
        Self::Json,
        Self::Multipart,
        Self::Xml,
        Self::Answer,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Form => "form",
            Self::Json => "JSON",
            Self::Multipart => "multipart",
            Self::Xml => "XML",
            Self::Answer => "answer's body",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Get | Self::Answer => "",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
            Self::Multipart => "multipart/form-data; boundary=----part7MA4YWxkTrZu0gW",
            Self::Xml => "application/xml",
        }
    }
}

/// One request or answer.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) method: &'static str,
    pub(crate) query: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// The `number`th request of a kind with some `bytes` of content.
pub(crate) fn sample(kind: Kind, bytes: usize, variety: Variety, number: usize) -> Sample {
    let changing = if variety == Variety::Repeated {
        0
    } else {
        number
    };
    let word = word(changing);
    let query = match kind {
        Kind::Get => {
            let mut query =
                format!("q=red+running+shoes+{word}&sort=price_asc_{word}&page={changing}");
            let mut field = 0;
            while query.len() + 50 < bytes {
                let _ = write!(
                    query,
                    "&field_{field}=some+ordinary+text+{word}+{field}+with+words"
                );
                field += 1;
            }
            query
        }
        _ => String::new(),
    };
    let content = match kind {
        Kind::Get => String::new(),
        _ => content(kind, bytes, &word),
    };
    let target = if query.is_empty() {
        "/shop/items".to_owned()
    } else {
        format!("/shop/items?{query}")
    };
    let has_body = !matches!(kind, Kind::Get | Kind::Answer);
    let mut sample = Sample {
        method: if has_body { "POST" } else { "GET" },
        query,
        target,
        headers: browser(variety, changing, &word),
        content_type: kind.content_type(),
        ..Sample::default()
    };
    if has_body {
        sample
            .headers
            .push(("content-type", kind.content_type().to_owned()));
        sample
            .headers
            .push(("content-length", content.len().to_string()));
        sample.body = content.into_bytes();
    } else {
        sample.answer = content.into_bytes();
    }
    sample
}

fn browser(variety: Variety, number: usize, word: &str) -> Vec<(&'static str, String)> {
    let other = if variety == Variety::Fresh { number } else { 0 };
    let own = |text: &str| {
        if variety == Variety::Fresh {
            format!("{text}, {word}")
        } else {
            text.to_owned()
        }
    };
    let hash = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    vec![
        ("host", format!("shop{other}.example")),
        (
            "user-agent",
            format!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.{other}.0 Safari/537.36"
            ),
        ),
        (
            "accept",
            format!(
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.{}",
                other % 9
            ),
        ),
        ("accept-language", own("en-GB,en;q=0.9,de;q=0.8")),
        ("accept-encoding", own("gzip, deflate, br, zstd")),
        (
            "referer",
            format!("https://shop.example/items/{word}?page={number}"),
        ),
        (
            "sec-ch-ua",
            format!("\"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"{other}\""),
        ),
        ("sec-fetch-mode", "navigate".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
        ("upgrade-insecure-requests", "1".to_owned()),
        (
            "cookie",
            format!("session={hash:016x}{number:016x}; theme=dark_{word}"),
        ),
    ]
}

fn content(kind: Kind, bytes: usize, word: &str) -> String {
    let mut text = String::with_capacity(bytes + 100);
    let (before, after) = match kind {
        Kind::Json => ("{", "}"),
        Kind::Xml => ("<?xml version=\"1.0\"?><order>", "</order>"),
        Kind::Multipart => ("", "------part7MA4YWxkTrZu0gW--\r\n"),
        Kind::Answer => (
            "<!DOCTYPE html><html><head><title>Shop</title></head><body>",
            "</body></html>",
        ),
        Kind::Get | Kind::Form => ("", ""),
    };
    text.push_str(before);
    let mut field = 0;
    while text.len() + after.len() < bytes || field == 0 {
        // Writing to a String cannot fail.
        let _ = match kind {
            Kind::Get | Kind::Form => write!(
                text,
                "{}field_{field}=some+ordinary+text+{word}+{field}+with+words",
                if field == 0 { "" } else { "&" }
            ),
            Kind::Json => write!(
                text,
                "{}\"name{field}\": \"value {field} {word}\"",
                if field == 0 { "" } else { ", " }
            ),
            Kind::Multipart => write!(
                text,
                "------part7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"field_{field}\"\r\n\r\nsome ordinary text {word} {field} with words\r\n"
            ),
            Kind::Xml => write!(
                text,
                "<item no=\"{field}\">some ordinary text {word} {field}</item>"
            ),
            Kind::Answer => writeln!(
                text,
                "<p class=\"item\">Some ordinary text, {word}, number {field}: {field}.99 EUR</p>"
            ),
        };
        field += 1;
    }
    text.push_str(after);
    text
}

/// Another word for every number.
fn word(mut number: usize) -> String {
    let mut word = String::new();
    for _ in 0..3 {
        let at = number % 20;
        number /= 20;
        word.push(char::from(
            b"bdfghklmnprstvwzaeio".get(at).copied().unwrap_or(b'x'),
        ));
        word.push(char::from(
            b"aeiou".get(number % 5).copied().unwrap_or(b'a'),
        ));
    }
    word
}
