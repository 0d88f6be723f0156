use super::*;

#[test]
fn what_a_page_carries_is_named_by_its_hash() {
    let page = Page {
        text: &text::ENGLISH,
        title: "T",
        refused: true,
        body: Html::default(),
        script: Some(Script("1")),
        leads: None,
    };
    let reply = page.reply(Reason::Ok, StatusCode::OK);
    let policy = reply
        .headers
        .iter()
        .find(|(name, _)| *name == CONTENT_SECURITY_POLICY);
    let policy = policy.map_or("", |(_, value)| value.to_str().unwrap_or_default());
    assert!(
        policy.ends_with("; script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='"),
        "{policy}"
    );
    let body = String::from_utf8_lossy(&reply.body);
    assert!(body.contains("<html lang=\"en\">") && body.contains("<title>Problem: T</title>"));
    assert!(body.contains(&format!("<style>{}</style>", style::STYLE)));
}
