//! Whatever bytes arrive: a verdict, never a panic, and the same verdict for the same content.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};
use waf::{Options, Request, Ruleset, Scratch, Tuning, Verdict, native};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| {
    let file: native::File = serde_json::from_str(include_str!("data/rules.json")).unwrap();
    Ruleset::compile(&[native::Source {
        name: "rules.json",
        file: &file,
    }])
    .unwrap()
});
static TUNING: LazyLock<Tuning> = LazyLock::new(|| RULES.tune(&Options::default()).unwrap());

const TYPES: &[&str] = &[
    "",
    "application/x-www-form-urlencoded",
    "application/json",
    "text/xml",
    "multipart/form-data; boundary=x",
    "text/plain",
    "image/png",
    ";;;",
];

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

fn judge(
    scratch: Scratch,
    query: &[u8],
    headers: &Lines,
    content_type: &str,
    body: &[u8],
) -> (Verdict, Scratch) {
    let mut transaction = RULES.transaction(&TUNING, scratch);
    let target = [b"/a?", query].concat();
    transaction.evaluate_headers(&Request {
        method: b"POST",
        target: &target,
        path: b"/a",
        query,
        protocol: b"HTTP/1.1",
        headers,
        client: [192, 0, 2, 1].into(),
        around: waf::Surroundings::default(),
    });
    transaction.evaluate_body(content_type.as_bytes(), body);
    transaction.evaluate_response(200, headers);
    transaction.evaluate_response_body(body);
    transaction.finish()
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..max),
        "[a-z=&%'<>(){}\\[\\]\":,;/.+ 0-9-]{0,80}".prop_map(String::into_bytes),
        Just(b"a=1' union select 2--&b=<script>".to_vec()),
        Just(b"{\"a\": [1, {\"b\": \"<script>alert(1)\"}]}".to_vec()),
    ]
}

fn ids(verdict: &Verdict) -> Vec<u32> {
    let mut ids: Vec<u32> = verdict.matches.iter().map(|found| found.id).collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_bytes_give_a_verdict_and_always_the_same(
        query in bytes(200),
        headers in vec((vec(any::<u8>(), 0..12), bytes(60)), 0..6),
        kind in proptest::sample::select(TYPES),
        body in bytes(400),
    ) {
        let (first, scratch) = judge(Scratch::default(), &query, &headers, kind, &body);
        let (second, _) = judge(scratch, &query, &headers, kind, &body);
        prop_assert_eq!(first.block, second.block);
        prop_assert_eq!(first.matches, second.matches);
        prop_assert!(first.refusal.is_none() || first.block);
    }

    #[test]
    fn the_order_of_headers_and_parameters_does_not_matter(
        pairs in vec("[a-z]{1,4}=[a-z0-9+%<>'()=-]{0,20}", 0..6),
        headers in vec(("[a-z]{1,6}", "[ -~]{0,30}"), 0..6),
    ) {
        let lines = |list: &[(String, String)]| -> Lines {
            list.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect()
        };
        let (mut back_pairs, mut back_headers) = (pairs.clone(), headers.clone());
        back_pairs.reverse();
        back_headers.reverse();
        // The raw query differs between the two; rules that read it see a different text, so it is left out.
        let none = |text: &str| text.replace('?', "");
        let (one, scratch) = judge(Scratch::default(), none(&pairs.join("&")).as_bytes(), &lines(&headers), "", b"");
        let (two, _) = judge(scratch, none(&back_pairs.join("&")).as_bytes(), &lines(&back_headers), "", b"");
        let in_arguments = |verdict: &Verdict| {
            let mut kept = verdict.clone();
            kept.matches.retain(|found| found.target != "query" && found.target != "uri");
            ids(&kept)
        };
        // A rule that reads arguments and the raw query reports the query first; what arguments hold it finds there too.
        prop_assert!(one.matches.iter().any(|m| m.target == "query") || two.matches.iter().any(|m| m.target == "query")
            || in_arguments(&one) == in_arguments(&two));
    }
}
