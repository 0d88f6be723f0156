//! After warm-up, the decision on a clean request with a browser's headers allocates nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

use allocation_counter::measure;
use waf::{Options, Request, Ruleset, Scratch, Step, native};

const RULES: &str = include_str!("data/rules.json");

#[test]
fn a_clean_request_allocates_nothing() {
    let file: native::File = serde_json::from_str(RULES).unwrap();
    let rules = Ruleset::compile(&[native::Source {
        name: "rules.json",
        file: &file,
    }])
    .unwrap();
    let tuning = rules.tune(&Options::default()).unwrap();
    let headers = [
        ("host", "shop.example"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        ),
        ("accept-language", "en-GB,en;q=0.9"),
        ("accept-encoding", "gzip, deflate, br"),
        ("referer", "https://shop.example/items?page=1"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        (
            "cookie",
            "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark",
        ),
        ("upgrade-insecure-requests", "1"),
    ];
    let request = Request {
        method: b"GET",
        target: b"/items?q=running%20shoes&sort=price_asc&page=2",
        path: b"/items",
        query: b"q=running%20shoes&sort=price_asc&page=2",
        protocol: b"HTTP/1.1",
        headers: &headers,
        client: [192, 0, 2, 7].into(),
        around: waf::Surroundings::default(),
    };
    let mut scratch = Scratch::default();
    let mut decide = || {
        let mut transaction = rules.transaction(&tuning, std::mem::take(&mut scratch));
        assert_eq!(transaction.evaluate_headers(&request), Step::Continue);
        assert_eq!(transaction.evaluate_body(b"", b""), Step::Continue);
        let (verdict, back) = transaction.finish();
        scratch = back;
        assert!(!verdict.block && verdict.matches.is_empty());
    };
    for _ in 0..10 {
        decide();
    }
    assert_eq!(measure(decide).count_total, 0);
    // Positive control: the counter counts.
    assert_ne!(
        measure(|| drop(std::hint::black_box(vec![1]))).count_total,
        0
    );
}

/// No value is known from before: the whole way of a form through plans and automata.
#[test]
fn values_never_seen_before_allocate_for_the_memo_alone() {
    let file: native::File = serde_json::from_str(RULES).unwrap();
    let source = native::Source {
        name: "rules.json",
        file: &file,
    };
    let rules = Ruleset::compile(&[source]).unwrap();
    let tuning = rules.tune(&Options::default()).unwrap();
    let forms: Vec<String> = (100..140)
        .map(|round| {
            let fields = (10..30)
                .map(|n| format!("field_{n}=red+running+shoes+{round}+number+{n}+with+words"));
            fields.collect::<Vec<_>>().join("&")
        })
        .collect();
    let mut scratch = Scratch::default();
    let mut decide = |form: &String| {
        let mut transaction = rules.transaction(&tuning, std::mem::take(&mut scratch));
        let kind = b"application/x-www-form-urlencoded";
        assert_eq!(
            transaction.evaluate_body(kind, form.as_bytes()),
            Step::Continue
        );
        let (verdict, back) = transaction.finish();
        scratch = back;
        assert!(!verdict.block && verdict.matches.is_empty());
    };
    let (warm, measured) = forms.split_at(30);
    warm.iter().for_each(&mut decide);
    // The memo fills its slots once, with buffers of their own: many rounds later nothing is left to fill.
    let counts: Vec<u64> = measured
        .iter()
        .map(|form| measure(|| decide(form)).count_total)
        .collect();
    assert!(counts.iter().sum::<u64>() < 400, "{counts:?}");
}
