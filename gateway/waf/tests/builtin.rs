//! The built-in rules of the repository against values of our own: each attack is refused and each honest value passes
//! wherever it stands. For corpora of others there is `examples/judge.rs`.

#![expect(clippy::expect_used, reason = "tests")]

use waf::{Options, Ruleset, Scratch, Tuning};

#[path = "support/requests.rs"]
mod requests;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/text.rs"]
mod text;

use requests::{PLACES, Place};

struct Judge {
    rules: Ruleset,
    tuning: Tuning,
}

impl Judge {
    fn new() -> Self {
        let rules = rules::built_in().expect("the built-in rules");
        let tuning = rules.tune(&Options::default()).expect("the defaults");
        Self { rules, tuning }
    }

    /// What is wrong with the verdict on `value` in `place`, if anything.
    fn fault(&self, place: Place, class: &str, value: &[u8], blocked: bool) -> Option<String> {
        let case = place.case(class, value);
        let (verdict, _) = case.judge(&self.rules, &self.tuning, Scratch::default());
        (verdict.block != blocked).then(|| {
            let rules = requests::report(&verdict);
            format!("{class}, {place:?}: {} [{rules}]", value.escape_ascii())
        })
    }
}

/// The values of a data file, with their classes.
fn values(data: &str) -> Vec<(&str, Vec<u8>)> {
    let mut class = "";
    let mut values = Vec::new();
    for line in data.lines() {
        if let Some(name) = line.strip_prefix("#class ") {
            class = name;
        } else if !line.is_empty() && !line.starts_with("# ") {
            values.push((class, text::unescape(line)));
        }
    }
    values
}

fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    values(include_str!("builtin/attacks.txt"))
}

#[test]
fn refuses_each_attack_wherever_an_application_may_read_it() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in attacks() {
        // A header has one line and no application reads every one of them: rules look at headers where it makes sense.
        let places = PLACES
            .iter()
            .filter(|place| !matches!(place, Place::Header));
        faults.extend(places.filter_map(|place| judge.fault(*place, class, &value, true)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn lets_each_honest_value_pass_in_every_place() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in values(include_str!("builtin/benign.txt")) {
        faults.extend(
            PLACES
                .iter()
                .filter_map(|place| judge.fault(*place, class, &value, false)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn sees_attacks_through_base64_and_a_second_encoding() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in attacks() {
        let twice: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
        // Four layers in all are one too many for the pipelines: what is encoded three times already stays out.
        if !value.starts_with(b"%25") {
            faults.extend(judge.fault(Place::Query, class, twice.as_bytes(), true));
        }
        // Base64 of a few letters is a word, and what decodes to no UTF-8 could be a picture.
        let readable = value.len() > 5 && std::str::from_utf8(&value).is_ok();
        let mut encoded = Vec::new();
        if readable && waf::transform::Transform::Base64Encode.apply(&value, &mut encoded) {
            faults.extend(judge.fault(Place::Json, class, &encoded, true));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn sees_attacks_through_escapes_of_characters() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in attacks() {
        let Ok(text) = std::str::from_utf8(&value) else {
            continue;
        };
        let escaped: String = text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect();
        // In a header as well, but not every rule looks there.
        for place in [Place::Query, Place::Json, Place::Cookie] {
            if !value.starts_with(b"%25") {
                faults.extend(judge.fault(place, class, escaped.as_bytes(), true));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Rules about what is no parameter: id, what they refuse, what looks like it and passes. Header lines follow the target.
const ELSEWHERE: &[(u32, &str, &str)] = &[
    (1203, "/static/..;/..;/conf", "/static/v1..2/a...b/conf"),
    (
        1207,
        "/get?name=report.php%00.png",
        "/get?name=report.php.png%20",
    ),
    (
        1302,
        "/view?page=http://h.example/shell",
        "/view?page=contact&from=http://h.example/",
    ),
    (
        1601,
        "/login?user%5B$ne%5D=x",
        "/login?user%5Bname%5D=x&price=ne",
    ),
    (
        1801,
        "/\nuser-agent: sqlmap/1.8#stable (https://sqlmap.org)",
        "/\nuser-agent: Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/127.0",
    ),
    (1802, "/.git/config", "/blog/git/config-your-editor"),
    (1802, "/.git", "/widgets/1.git"),
    (1802, "/shop/.gitconfig", "/help/gitconfig"),
    (1902, "/a?b%01=c", "/a?b%09=c%0A"),
    (
        1906,
        "/a?next=x%20GET%20/admin%20HTTP/1.1%0D%0A",
        "/a?next=we%20get%20/admin%20over%20HTTP%201.1%20now",
    ),
    (
        1907,
        "/login?admin'%20AND%20'1'='1",
        "/search?rock%20'n'%20roll=1&this%20and%20that=2",
    ),
    (
        1907,
        "/?<svg%20onload=go()>",
        "/?size<4=1&form[on]=2&a%20<b%20and%20c>d=3",
    ),
    (1907, "/?*(|(objectclass=*))", "/?items[*]=1&price(eur)=2"),
    (
        2004,
        "/upload\nx-file-name: avatar.php",
        "/upload\nx-file-name: php-avatar.png",
    ),
    (
        2201,
        "/\nreferer: https://s.example/?q=1' union select login,secret from staff--",
        "/\nreferer: https://s.example/?q=how+to+union+two+select+statements",
    ),
    (
        2202,
        "/\nreferer: https://s.example/?q=<script>go()</script>",
        "/\nreferer: https://s.example/?q=script+tag+alert",
    ),
    (
        2202,
        "/\nhx-current-url: https://s.example/?q=<script>go()</script>",
        "/\nhx-current-url: http://localhost:8080/cart?page=2",
    ),
    (
        2204,
        "/\nreferer: 1' OR '1'='1",
        "/\nreferer: https://s.example/it's?q=(a|b)&c='d'",
    ),
    (
        2204,
        "/\nreferer: php://filter/read=string.rot13/resource=index.php",
        "/\nreferer: android-app://com.example.reader/",
    ),
    (
        2204,
        "/\nreferer: 0 union select login from staff",
        "/\nreferer: www.shop.example?a=1&b=2",
    ),
    (
        2204,
        "/\nreferer: x:'||1||'",
        "/\nreferer: www.shop.example/bags?union=select",
    ),
    (
        1702,
        "/\nhx-prompt: http://localhost:8080/cart",
        "/\nhx-current-url: http://127.0.0.1/cart\nhx-target: cart",
    ),
    (
        2203,
        "/\nuser-agent: () { :;}; /bin/id",
        "/\nuser-agent: Mozilla/5.0 (X11; U; Linux; de-DE) AppleWebKit/533.3 (KHTML, like Gecko)",
    ),
];

fn request(text: &str) -> requests::Case {
    let mut lines = text.lines();
    let mut case = requests::Case {
        class: text.to_owned(),
        method: "GET".to_owned(),
        target: lines.next().unwrap_or_default().to_owned(),
        ..requests::Case::default()
    };
    let fields = lines.filter_map(|line| line.split_once(": "));
    case.headers = std::iter::once(("host", "shop.example.com"))
        .chain(fields)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    case
}

/// A rule that nothing here meets would not be missed if it broke. That each lets honest values pass is what
/// `benign.txt` is for: every rule is asked about each of those, in every place it looks at.
#[test]
fn every_rule_refuses_something_and_lets_its_neighbour_pass() {
    let judge = Judge::new();
    let ids = |case: &requests::Case| -> Vec<u32> {
        let (verdict, _) = case.judge(&judge.rules, &judge.tuning, Scratch::default());
        verdict.matches.iter().map(|found| found.id).collect()
    };
    let mut met = std::collections::BTreeSet::new();
    for (class, value) in &attacks() {
        let cases = PLACES.iter().map(|place| place.case(class, value));
        met.extend(cases.flat_map(|case| ids(&case)));
    }
    let mut faults = Vec::new();
    for (rule, refused, passes) in ELSEWHERE {
        let (found, none) = (ids(&request(refused)), ids(&request(passes)));
        if !found.contains(rule) || !none.is_empty() {
            faults.push(format!(
                "{rule}: {found:?} in {refused:?}, {none:?} in {passes:?}"
            ));
        }
        met.insert(*rule);
    }
    let all = judge.rules.about().map(|rule| rule.id);
    faults.extend(
        all.filter(|id| !met.contains(id))
            .map(|id| format!("nothing meets {id}")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
