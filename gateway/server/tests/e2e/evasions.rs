//! Ways of writing an attack that filters read differently from applications. Each refused request stands beside an
//! honest one of the same shape that arrives; of the refused ones the origin sees nothing.

use std::fmt::Write as _;

use crate::support::raw::{get, post, post_chunked};
use crate::support::{Conn, Gateway, Origin, Plan};

const SQL: &str = "1' UNION SELECT login, secret FROM staff-- -";
const SCRIPT: &str = "<script>alert(4)</script>";
const HONEST: &str = "two apples and a pear";

/// An attack in some disguise, and something honest in the same shape.
struct Pair {
    name: &'static str,
    attack: Vec<u8>,
    honest: Vec<u8>,
}

/// The same shape around an attack and around honest text.
fn pair(name: &'static str, attack: &str, shape: impl Fn(&str) -> Vec<u8>) -> Pair {
    Pair {
        name,
        attack: shape(attack),
        honest: shape(HONEST),
    }
}

/// Sends every pair and reports all that went wrong.
fn judge(pairs: Vec<Pair>) {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::new(origin.address)
            .check("scan", "{check: waf, rules: [waf/*.yaml]}")
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], public: test}")
            .rules(),
    );
    let mut wrong = Vec::new();
    for pair in pairs {
        let before = origin.count();
        let status = answer(&gateway, &pair.attack);
        if !matches!(status, 400 | 403 | 413 | 415) || origin.count() != before {
            wrong.push(format!("{}: attack {status}", pair.name));
        }
        let before = origin.count();
        let status = answer(&gateway, &pair.honest);
        if status != 200 || origin.count() != before + 1 {
            wrong.push(format!("{}: honest {status}", pair.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn answer(gateway: &Gateway, request: &[u8]) -> u16 {
    let mut conn = Conn::impatient(gateway.http);
    conn.write(request);
    conn.response().map_or(0, |response| response.status)
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02x}").unwrap();
        out
    })
}

fn query(value: &str) -> Vec<u8> {
    get(&format!("/s?q={value}"), "").into_bytes()
}

fn typed(kind: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    post("/s", &format!("Content-Type: {kind}\r\n"), body.as_ref())
}

fn form(value: &str) -> Vec<u8> {
    typed(
        "application/x-www-form-urlencoded",
        format!("a=1&q={value}"),
    )
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    typed("application/json", value.to_string())
}

#[test]
fn encodings_of_the_target() {
    let wide = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            write!(out, "%u00{byte:02x}").unwrap();
            out
        })
    };
    let full_width = |text: &str| {
        let wide = text.chars().map(|c| match c {
            '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
            c => c,
        });
        percent(&wide.collect::<String>())
    };
    let comments = |text: &str| percent(&text.replace(' ', "/**/"));
    let mixed = |text: &str| {
        let letters = text.chars().enumerate();
        let swapped = letters.map(|(at, c)| {
            if at % 2 == 0 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        });
        percent(&swapped.collect::<String>())
    };
    let long = |text: &str| format!("{}{}", "word+".repeat(8_000), percent(text));
    let many = |text: &str| {
        let mut fields = (0..900).fold(String::new(), |mut out, n| {
            write!(out, "a{n}=1&").unwrap();
            out
        });
        fields.push_str(&percent(text));
        fields
    };
    judge(vec![
        pair("once", SQL, |text| query(&percent(text))),
        pair("twice", SQL, |text| query(&percent(&percent(text)))),
        pair("three times", SCRIPT, |text| {
            query(&percent(&percent(&percent(text))))
        }),
        pair("%uXXXX", SCRIPT, |text| query(&wide(text))),
        pair("full width", SCRIPT, |text| query(&full_width(text))),
        Pair {
            name: "comments for blanks",
            attack: query(&comments(SQL)),
            honest: query(&percent("C /* and C++ */ comments")),
        },
        pair("mixed case", SQL, |text| query(&mixed(text))),
        pair("a long value before", SQL, |text| form(&long(text))),
        pair("the last of many parameters", SQL, |text| form(&many(text))),
        pair("the name", SQL, |text| {
            get(&format!("/s?{}=1", percent(text)), "").into()
        }),
        pair("no name", SQL, |text| {
            get(&format!("/s?={}", percent(text)), "").into()
        }),
        pair("no equals sign", SQL, |text| {
            get(&format!("/s?{}", percent(text)), "").into()
        }),
        pair("a semicolon between", SQL, |text| {
            get(&format!("/s?a=1;q={}", percent(text)), "").into()
        }),
        pair("twice the name", SQL, |text| {
            get(&format!("/s?q=1&q={}&q=2", percent(text)), "").into()
        }),
        pair("base64", SQL, |text| query(&base64(text.as_bytes()))),
        pair("the path", SCRIPT, |text| {
            get(&format!("/s/{}", percent(text)), "").into()
        }),
        pair("a matrix parameter", SCRIPT, |text| {
            get(&format!("/s/x;q={}/y", percent(text)), "").into()
        }),
        pair("a question mark in the query", SQL, |text| {
            get(&format!("/s??q={}", percent(text)), "").into()
        }),
        Pair {
            name: "overlong UTF-8",
            attack: query("..%c0%af..%c0%afetc%c0%afpasswd"),
            honest: query("..%c3%a9t%c3%a9"),
        },
        Pair {
            name: "a NUL",
            attack: query("photo.php%00.jpg"),
            honest: query("photo.jpg"),
        },
        Pair {
            name: "more parameters than allowed",
            attack: form(&"1&q=".repeat(5_000)),
            honest: form(&"1&q=".repeat(100)),
        },
    ]);
}

#[test]
fn headers_and_cookies() {
    let line = |name: &str, value: &str| get("/", &format!("{name}: {value}\r\n")).into_bytes();
    judge(vec![
        pair("a quoted cookie", SQL, |text| {
            line("Cookie", &format!("a=1; b=\"{text}\""))
        }),
        pair("an encoded cookie", SQL, |text| {
            line("Cookie", &format!("a=1; b={}", percent(text)))
        }),
        pair("a base64 cookie", SQL, |text| {
            line("Cookie", &format!("b={}", base64(text.as_bytes())))
        }),
        pair("an old cookie", SQL, |text| {
            line("Cookie", &format!("$Version=1; b={text}; $Path=/"))
        }),
        pair("a second Cookie line", SQL, |text| {
            get("/", &format!("Cookie: a=1\r\nCookie: b={text}\r\n")).into()
        }),
        pair("JSON in a cookie", "{\"a\":\"1' OR '1'='1\"}", |text| {
            line("Cookie", &format!("b={}", percent(text)))
        }),
        pair("Referer", SCRIPT, |text| {
            line(
                "Referer",
                &format!("https://a.example/?q={}", percent(text)),
            )
        }),
        pair("User-Agent", SCRIPT, |text| {
            line("User-Agent", &format!("Mozilla/5.0 ({text})"))
        }),
        pair("a header of its own", SQL, |text| line("X-Search", text)),
        Pair {
            name: "a forwarded address",
            attack: line("X-Forwarded-For", "1' OR SLEEP(4)-- -"),
            honest: line("X-Forwarded-For", "192.0.2.4, 198.51.100.4"),
        },
        Pair {
            name: "a folded header",
            attack: get("/", "X-Search: a\r\n <script>alert(4)</script>\r\n").into(),
            honest: line("X-Search", "a b"),
        },
        Pair {
            name: "a scanner",
            attack: line("User-Agent", "sqlmap/1.7.2#stable (https://sqlmap.org)"),
            honest: line("User-Agent", "curl/8.9.1"),
        },
    ]);
}

#[test]
fn types_and_charsets() {
    let utf16 = |text: &str| -> Vec<u8> {
        let body = format!("{{\"q\": \"{text}\"}}");
        body.encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let seven = |text: &str| text.replace('<', "+ADw-").replace('>', "+AD4-");
    let plain = format!("q={}", percent(SQL));
    let both = |kinds: [&str; 2], body: &str| {
        let lines = kinds
            .map(|kind| format!("Content-Type: {kind}\r\n"))
            .concat();
        post("/s", &lines, body.as_bytes())
    };
    let one = |kind: &str, body: &str| typed(kind, body);
    judge(vec![
        Pair {
            name: "two types",
            attack: both(["text/plain", "application/x-www-form-urlencoded"], &plain),
            honest: one("application/x-www-form-urlencoded", "q=1"),
        },
        pair("JSON as text", SQL, |text| {
            one("text/plain", &format!("{{\"q\": \"{text}\"}}"))
        }),
        pair("JSON as a form", SCRIPT, |text| {
            one(
                "application/x-www-form-urlencoded",
                &format!("{{\"q\": \"{text}\"}}"),
            )
        }),
        pair(
            "JSON as a form, for rules that read values",
            "http://127.0.0.1:8500/v1/kv",
            |text| {
                one(
                    "application/x-www-form-urlencoded",
                    &format!("{{\"url\":\"{text}\"}}"),
                )
            },
        ),
        pair(
            "JSON as bytes, with one that is no text",
            "1' OR '1'='1",
            |text| {
                one(
                    "application/octet-stream",
                    &format!("{{\"q\":\"{text}\",\"p\":\"\u{7f}\"}}"),
                )
            },
        ),
        pair(
            "JSON as bytes, with another behind it",
            "1' OR '1'='1",
            |text| {
                one(
                    "application/octet-stream",
                    &format!("{{\"q\":\"{text}\",\"p\":\"\u{1}\"}}"),
                )
            },
        ),
        pair("JSON of a vendor", SQL, |text| {
            one(
                "application/vnd.shop.v2+json",
                &format!("{{\"q\": \"{text}\"}}"),
            )
        }),
        pair("a type nobody knows", SCRIPT, |text| {
            one("application/x-nothing", text)
        }),
        pair("no type", SQL, |text| {
            post("/s", "", format!("q={}", percent(text)).as_bytes())
        }),
        pair("capitals and blanks in the type", SQL, |text| {
            one(
                "Application/X-WWW-Form-URLencoded ; charset=UTF-8",
                &format!("q={}", percent(text)),
            )
        }),
        Pair {
            name: "UTF-7",
            attack: one(
                "application/x-www-form-urlencoded; charset=utf-7",
                &seven(SCRIPT),
            ),
            honest: one("application/x-www-form-urlencoded; charset=utf-8", "q=1"),
        },
        Pair {
            name: "EBCDIC",
            attack: one(
                "application/x-www-form-urlencoded; charset=ibm037",
                "q=%4c%a2%83",
            ),
            honest: one(
                "application/x-www-form-urlencoded; charset=iso-8859-1",
                "q=%e9t%e9",
            ),
        },
        Pair {
            name: "UTF-16 JSON",
            attack: typed("application/json; charset=utf-16le", utf16(SQL)),
            honest: one("application/json; charset=utf-8", "{\"q\": \"été\"}"),
        },
        Pair {
            name: "UTF-16 JSON that does not say so",
            attack: typed("application/json", utf16(SQL)),
            honest: one("application/json", "{\"q\": \"日本\"}"),
        },
    ]);
}

#[test]
fn json_that_parsers_read_differently() {
    let escaped = |text: &str| {
        let escapes = text.encode_utf16().fold(String::new(), |mut out, unit| {
            write!(out, "\\u{unit:04x}").unwrap();
            out
        });
        typed("application/json", format!("{{\"q\": \"{escapes}\"}}"))
    };
    let raw = |body: &str| typed("application/json", body);
    judge(vec![
        pair("escapes", SQL, escaped),
        pair("a name", SCRIPT, |text| json(&serde_json::json!({text: 1}))),
        pair("a list in a list", SQL, |text| {
            json(&serde_json::json!([[[{"q": ["a", text]}]]]))
        }),
        pair("a string at the top", SQL, |text| {
            json(&serde_json::json!(text))
        }),
        pair("JSON in a string", SCRIPT, |text| {
            json(&serde_json::json!({"q": serde_json::json!({"v": text}).to_string()}))
        }),
        pair("JSON in a string in a string", SQL, |text| {
            let inner = serde_json::json!({"v": text}).to_string();
            json(&serde_json::json!({"q": serde_json::json!({"w": inner}).to_string()}))
        }),
        pair("JSON in a parameter", SQL, |text| {
            query(&percent(&serde_json::json!({"v": text}).to_string()))
        }),
        Pair {
            name: "twice the key",
            attack: raw("{\"q\": \"1' OR '1'='1\", \"q\": \"a\"}"),
            honest: raw("{\"q\": \"b\", \"p\": \"a\"}"),
        },
        Pair {
            name: "a comment",
            attack: raw("{\"q\": /* \" */ \"1' OR '1'='1\"}"),
            honest: raw("{\"q\": \"b\"}"),
        },
        Pair {
            name: "single quotes",
            attack: raw("{'q': '<script>alert(4)</script>'}"),
            honest: raw("{\"q\": \"it's\"}"),
        },
        Pair {
            name: "something after the end",
            attack: raw("{\"q\": \"a\"}{\"q\": \"<script>alert(4)</script>\"}"),
            honest: raw("{\"q\": \"a\"}\n"),
        },
        Pair {
            name: "an operator of a database",
            attack: raw("{\"login\": \"ann\", \"password\": {\"$ne\": \"\"}}"),
            honest: raw("{\"login\": \"ann\", \"password\": \"p4$ss\"}"),
        },
        Pair {
            name: "a prototype",
            attack: raw("{\"__proto__\": {\"admin\": true}}"),
            honest: raw("{\"proto\": {\"admin\": false}}"),
        },
    ]);
}

/// A part with these lines of its head.
fn part(head: &str, content: &str) -> String {
    format!("--B\r\n{head}\r\n\r\n{content}\r\n")
}

fn multipart(parts: &str) -> Vec<u8> {
    typed(
        "multipart/form-data; boundary=B",
        format!("{parts}--B--\r\n"),
    )
}

const FIELD: &str = "Content-Disposition: form-data; name=\"q\"";

#[test]
fn multipart_that_parsers_read_differently() {
    let field = |text: &str| part(FIELD, text);
    let honest = || multipart(&field(HONEST));
    let with = |kind: &str, text: &str| typed(kind, format!("{}--B--\r\n", field(text)));
    let upload = |disposition: &str| {
        part(
            &format!("Content-Disposition: form-data; {disposition}\r\nContent-Type: image/png"),
            "x",
        )
    };
    let file = |name: &'static str, attack: &str| Pair {
        name,
        attack: multipart(&upload(attack)),
        honest: multipart(&upload("name=\"f\"; filename=\"summer 2024.png\"")),
    };
    let against = |name: &'static str, attack: Vec<u8>| Pair {
        name,
        attack,
        honest: honest(),
    };
    judge(vec![
        pair("plainly", SQL, |text| multipart(&field(text))),
        pair("a quoted boundary", SQL, |text| {
            with("multipart/form-data; boundary=\"B\"", text)
        }),
        against(
            "a boundary in pieces",
            with(
                "multipart/form-data; boundary*0=\"B\"; boundary*1=\"\"",
                SQL,
            ),
        ),
        against(
            "an extended boundary",
            with("multipart/form-data; boundary*=utf-8''B", SQL),
        ),
        against(
            "two boundaries",
            with("multipart/form-data; boundary=A; boundary=B", SQL),
        ),
        against("no boundary", with("multipart/form-data", SQL)),
        against(
            "the wrong boundary",
            with("multipart/form-data; boundary=C", SQL),
        ),
        against(
            "line feeds alone",
            typed(
                "multipart/form-data; boundary=B",
                format!("{}--B--\r\n", field(SQL)).replace("\r\n", "\n"),
            ),
        ),
        against(
            "no end",
            typed("multipart/form-data; boundary=B", field(SQL)),
        ),
        against(
            "a preamble",
            multipart(&format!("{SQL}\r\n{}", field(HONEST))),
        ),
        against(
            "a part after the end",
            typed(
                "multipart/form-data; boundary=B",
                format!("{}--B--\r\n{}--B--\r\n", field(HONEST), field(SQL)),
            ),
        ),
        against(
            "an epilogue",
            typed(
                "multipart/form-data; boundary=B",
                format!("{}--B--\r\nq={SQL}", field(HONEST)),
            ),
        ),
        against(
            "base64 in a part",
            multipart(&part(
                &format!("{FIELD}\r\nContent-Transfer-Encoding: base64"),
                &base64(SQL.as_bytes()),
            )),
        ),
        against(
            "quoted-printable in a part",
            multipart(&part(
                &format!("{FIELD}\r\nContent-Transfer-Encoding: quoted-printable"),
                "1=27 UNION=20SELECT login=2C secret FROM staff",
            )),
        ),
        against(
            "UTF-7 in a part",
            multipart(&part(
                &format!("{FIELD}\r\nContent-Type: text/plain; charset=utf-7"),
                "+ADw-script+AD4-alert(4)",
            )),
        ),
        against(
            "UTF-16 in a part",
            multipart(&part(
                &format!("{FIELD}\r\nContent-Type: text/plain; charset=utf-16"),
                "\0<\0s",
            )),
        ),
        against(
            "two names",
            multipart(&part(
                "Content-Disposition: form-data; name=\"a\"; name=\"q\"",
                SQL,
            )),
        ),
        against(
            "two dispositions",
            multipart(&part(
                &format!("{FIELD}\r\nContent-Disposition: form-data; name=\"p\"; filename=\"a\""),
                SQL,
            )),
        ),
        against(
            "a folded disposition",
            multipart(&part("Content-Disposition: form-data;\r\n name=\"q\"", SQL)),
        ),
        pair("the name", SCRIPT, |text| {
            multipart(&part(
                &format!("Content-Disposition: form-data; name=\"{text}\""),
                "x",
            ))
        }),
        pair("a field that claims to be a file", SQL, |text| {
            multipart(&part(
                "Content-Disposition: form-data; name=\"q\"; filename=\"\"",
                text,
            ))
        }),
        pair("a name by filename* alone", SQL, |text| {
            multipart(&part(
                "Content-Disposition: form-data; name=\"q\"; filename*=utf-8''x",
                text,
            ))
        }),
        pair("JSON as a part of its own", SQL, |text| {
            multipart(&part(
                "Content-Disposition: form-data; name=\"q\"; filename=\"blob\"\r\nContent-Type: application/json",
                &format!("{{\"q\": \"{text}\"}}"),
            ))
        }),
        against(
            "a boundary behind a lone CR",
            multipart(&part(
                "Content-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png",
                &format!("x\r--B\r\n{FIELD}\r\n\r\n{SQL}"),
            )),
        ),
        file("a program", "name=\"f\"; filename=\"shell.php\""),
        file(
            "a program with an ending",
            "name=\"f\"; filename=\"shell.php;.png\"",
        ),
        file(
            "an extended file name",
            "name=\"f\"; filename=\"a.png\"; filename*=utf-8''shell.php",
        ),
        file(
            "two file names",
            "name=\"f\"; filename=\"a.png\"; filename=\"shell.php\"",
        ),
        file(
            "a file name without quotes",
            "name=\"f\"; filename=shell.php",
        ),
        file("a path", "name=\"f\"; filename=\"../../www/a.png\""),
        against(
            "a program in a picture",
            multipart(&part(
                "Content-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png",
                "\u{89}PNG <?php system($_GET['c']); ?>",
            )),
        ),
    ]);
}

#[test]
fn xml_that_parsers_read_differently() {
    let xml = |body: &str| typed("application/xml", body);
    let element = |text: &str| xml(&format!("<r><q>{text}</q></r>"));
    let utf16 = |body: &str| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(body.encode_utf16());
        typed(
            "application/xml",
            units.flat_map(u16::to_be_bytes).collect::<Vec<_>>(),
        )
    };
    let entities = |text: &str| {
        text.chars().fold(String::new(), |mut out, c| {
            write!(out, "&#x{:x};", u32::from(c)).unwrap();
            out
        })
    };
    let against = |name: &'static str, attack: Vec<u8>| Pair {
        name,
        attack,
        honest: element(HONEST),
    };
    judge(vec![
        pair("plainly", "1' OR '1'='1", element),
        pair("CDATA", SCRIPT, |text| {
            element(&format!("<![CDATA[{text}]]>"))
        }),
        pair("pieces of CDATA", "1' OR '1'='1", |text| {
            let (one, two) = text.split_at(4);
            element(&format!("<![CDATA[{one}]]><![CDATA[{two}]]>"))
        }),
        pair("pieces around comments", "1' OR '1'='1", |text| {
            let (one, two) = text.split_at(4);
            element(&format!("{one}<!-- -->{two}"))
        }),
        pair("pieces around instructions", "1' OR '1'='1", |text| {
            let (one, two) = text.split_at(4);
            element(&format!("{one}<?x y?>{two}"))
        }),
        pair("numbers", SCRIPT, |text| element(&entities(text))),
        pair("an attribute", "1&apos; OR &apos;1&apos;=&apos;1", |text| {
            xml(&format!("<r q=\"{text}\"/>"))
        }),
        pair("another type", SQL, |text| {
            typed("application/soap+xml", format!("<r>{text}</r>"))
        }),
        against(
            "an entity",
            xml("<!DOCTYPE r [<!ENTITY e \"1' OR '1'='1\">]><r>&e;</r>"),
        ),
        against(
            "a file",
            xml("<!DOCTYPE r [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><r>&e;</r>"),
        ),
        against(
            "a document type elsewhere",
            xml("<!DOCTYPE r SYSTEM \"http://a.example/r.dtd\"><r/>"),
        ),
        against("UTF-16", utf16("<r>1' UNION SELECT login FROM staff</r>")),
        against(
            "UTF-7",
            xml("<?xml version=\"1.0\" encoding=\"UTF-7\"?><r>+ADw-script+AD4-</r>"),
        ),
        against(
            "an inclusion",
            xml(
                "<r xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include href=\"/etc/passwd\"/></r>",
            ),
        ),
    ]);
}

#[test]
fn codings_and_chunks() {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = |text: &str| format!("a=1&q={}", percent(text));
    let coded = |coding: &str, bytes: &[u8]| {
        post(
            "/s",
            &format!("{FORM}Content-Encoding: {coding}\r\n"),
            bytes,
        )
    };
    judge(vec![
        pair("a chunk for every byte", SQL, |text| {
            post_chunked("/s", FORM, body(text).as_bytes(), 1)
        }),
        pair("chunks of three", SCRIPT, |text| {
            post_chunked("/s", FORM, body(text).as_bytes(), 3)
        }),
        pair("gzip", SQL, |text| {
            coded("gzip", &gzip(body(text).as_bytes()))
        }),
        pair("gzip by its old name", SQL, |text| {
            coded("x-gzip", &gzip(body(text).as_bytes()))
        }),
        Pair {
            name: "gzip that is none",
            attack: coded("gzip", body(SQL).as_bytes()),
            honest: coded("identity", body(HONEST).as_bytes()),
        },
        Pair {
            name: "gzip with something behind it",
            attack: coded("gzip", &[gzip(b"a=1"), body(SQL).into_bytes()].concat()),
            honest: coded("gzip", &gzip(b"a=1")),
        },
        Pair {
            name: "an unknown coding",
            attack: coded("x-secret", body(SQL).as_bytes()),
            honest: coded("gzip", &gzip(b"a=2")),
        },
        Pair {
            name: "two codings",
            attack: coded("gzip, gzip", &gzip(&gzip(body(SQL).as_bytes()))),
            honest: coded("gzip", &gzip(b"a=3")),
        },
    ]);
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes.chunks(3).fold(String::new(), |mut out, group| {
        let bits = (0..3).fold(0_u32, |bits, at| {
            bits << 8 | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
            out.push(if at <= group.len() { digit } else { '=' });
        }
        out
    })
}

/// RFC 1952 around one stored block of RFC 1951.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let checksum = !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xedb8_8320
            } else {
                sum >> 1
            }
        })
    });
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    out.extend(checksum.to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}
