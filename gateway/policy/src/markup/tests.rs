#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const FORM: &str = "[T]";
const HEAD: &str = "[H]";

fn given(xml: bool) -> Given {
    Given {
        address: Url::parse("https://shop.example/a/b?c").unwrap(),
        xml,
        form: FORM.to_owned(),
        head: HEAD.to_owned(),
        script: None,
    }
}

fn in_pieces<'p>(given: Given, pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
    let (mut rewriter, mut out) = (Rewriter::new(given), Vec::new());
    for piece in pieces {
        rewriter.push(piece, &mut out);
    }
    rewriter.end(&mut out);
    String::from_utf8(out).unwrap()
}

/// What becomes of a page, whole and cut at every byte: the same.
#[track_caller]
fn page(html: &str) -> String {
    let whole = in_pieces(given(false), [html.as_bytes()]);
    for at in 0..html.len() {
        let (one, other) = html.as_bytes().split_at(at);
        assert_eq!(in_pieces(given(false), [one, other]), whole, "cut at {at}");
    }
    assert_eq!(
        in_pieces(given(false), html.as_bytes().chunks(1)),
        whole,
        "byte by byte"
    );
    whole
}

#[track_caller]
fn untouched(html: &str) {
    assert_eq!(page(html), html);
}

#[test]
fn a_form_that_posts_to_its_own_origin_is_given_a_field() {
    for action in [
        "",
        "action",
        "action=''",
        "action=\"/x\"",
        "action=x?a=1&amp;b=//evil.example",
        "action=https://shop.example/x",
        "action=' //shop.example/x'",
        "action=https://SHOP.example:443/",
        "action='?x'",
        "action=https:save",
        "ACTION=\"\n/x\t\"",
    ] {
        for method in ["method=post", "METHOD=\"POST\"", "method = 'Post'"] {
            let html = format!("<p><form {action} {method}><input name=a></form><p>");
            assert_eq!(
                page(&html),
                format!("<p><form {action} {method}><input name=a>[T]</form><p>"),
                "{action}"
            );
        }
    }
}

#[test]
fn no_other_form_is() {
    for form in [
        "<form>",
        "<form method=get>",
        "<form method=dialog>",
        "<form method=>",
        "<form method='post '>",
        "<formx method=post>",
        "<form method=get method=post>",
        "<form xmethod=post>",
        "<form method=p&#111;st>",
        "<form method=post action=https://evil.example/>",
        "<form method=post action=//evil.example>",
        "<form method=post action='\t//evil.example'>",
        "<form method=post action='/\t/evil.example'>",
        "<form method=post action=\\\\evil.example>",
        "<form method=post action=/\\evil.example>",
        "<form method=post action=http://shop.example/>",
        "<form method=post action=https://shop.example:8443/>",
        "<form method=post action=https://shop.example@evil.example/>",
        "<form method=post action=javascript:alert(1)>",
        "<form method=post action=mailto:a@b>",
        "<form method=post action=data:,>",
        "<form method=post action=&#47;/evil.example>",
        "<form method=post action=/&sol;evil.example>",
        "<form method=post action=https&colon;//evil.example>",
        "<form method=post action=//evil.example action=/x>",
        "<form method=post action=https:///evil.example>",
        "<form method=post action=//[>",
    ] {
        untouched(&format!("{form}<input></form>"));
    }
    untouched(&format!(
        "<form method=post action=\"/{}\"></form>",
        "x".repeat(3000)
    ));
}

#[test]
fn a_form_that_nothing_closes_is_given_it_at_the_end() {
    assert_eq!(
        page("<form method=post><input>"),
        "<form method=post><input>[T]"
    );
    assert_eq!(
        page("<form method=post><p>a < b"),
        "<form method=post><p>a < b[T]"
    );
    untouched("<form method=post><!-- ");
    untouched("<form method=post><textarea>");
    untouched("<form method=post><input");
    untouched("<form method=post");
}

#[test]
fn what_is_text_is_no_form() {
    let form = "<form method=post></form>";
    for html in [
        format!("<!--{form}-->"),
        format!("<!-- -->{form}").replace("-->", "--"),
        format!("<!--->{form}").replace("->", "-"),
        format!("<textarea>{form}</textarea>"),
        format!("<title>{form}</title>"),
        format!("<style>{form}</style>"),
        format!("<script>{form}</script>"),
        format!("<script>'<!--' {form} </script>"),
        format!("<script><!-- <script> </script> {form} --></script>"),
        format!("<xmp>{form}</xmp>"),
        format!("<noscript>{form}</noscript>"),
        format!("<iframe>{form}</iframe>"),
        format!("<plaintext>{form}"),
        format!("<textarea></textareax>{form}</textarea>"),
        format!("<textarea></ textarea>{form}</textarea>"),
        format!("<p title=\"{form}\">"),
        format!("<p title='{form}'>"),
        format!("<?php {}?>", "<form method=post "),
    ] {
        untouched(&html);
    }
    let seen = "<form method=post>[T]</form>";
    for (before, after) in [
        ("<!-->", ""),
        ("<!--->", ""),
        ("<!-- --!>", ""),
        ("<!---->", ""),
        ("<!doctype html>", ""),
        ("<!x>", ""),
        ("</>", ""),
        ("</ x>", ""),
        ("<? x>", ""),
        ("<3", ""),
        ("<<", ""),
        ("<textarea></TEXTAREA >", ""),
        ("<title></title/>", ""),
        ("<script></script>", ""),
        ("<script><!-- </script>", ""),
        ("<script><!--<script></script>--></script>", ""),
        ("<script><!--<script></script></script>", ""),
        ("<script><!--></script>", ""),
        ("<![CDATA[>", ""),
        ("<p title='>'>", ""),
        ("<p =\">", ""),
        ("<p a=b\"'<>", ""),
        ("<a/b='>'>", ""),
        ("<x a='b'c=\"d\">", ""),
    ] {
        assert_eq!(
            page(&format!("{before}{form}{after}")),
            format!("{before}{seen}{after}")
        );
    }
}

#[test]
fn a_form_in_a_form_is_none_and_a_token_stays_out_of_the_one_around_it() {
    untouched("<form method=post action=//evil.example><form method=post action=/x></form>");
    assert_eq!(
        page(
            "<form method=post><form action=//evil.example></form><form method=post action=//e.example></form>"
        ),
        "<form method=post><form action=//evil.example>[T]</form><form method=post action=//e.example></form>"
    );
    assert_eq!(
        page(
            "<form method=post><template><form method=post action=//evil.example></form></template></form>"
        ),
        "<form method=post><template><form method=post action=//evil.example></form></template>[T]</form>"
    );
    untouched("<template><form method=post><form method=post action=//evil.example></form>");
    untouched("<form method=post action=//evil.example><table></form><form method=post></form>");
    let deep = "<template>".repeat(40);
    untouched(&format!("{deep}<form method=post></form>"));
}

#[test]
fn a_button_that_leads_elsewhere_keeps_the_token_out_of_its_form() {
    for button in [
        "<button formaction=//evil.example>",
        "<input type=submit formaction='https://evil.example'>",
        "<INPUT type=image FORMACTION=&#47;/evil.example>",
    ] {
        untouched(&format!("<form method=post>{button}</form>"));
        untouched(&format!(
            "{}<form method=post id=f></form>",
            button.replace(" ", " form=f ")
        ));
    }
    assert_eq!(
        page("<form method=post><button formaction=/y></form>"),
        "<form method=post><button formaction=/y>[T]</form>"
    );
    for (given, button) in [
        (
            "<form method=post><table>[T]</form>",
            "<button formaction=//e>",
        ),
        ("<form method=post>[T]</form>", "<button formaction=//e>"),
    ] {
        let off = button.replace("<button", "<button disabled=\"disabled\"");
        assert_eq!(
            page(&format!("{}{button}", given.replace("[T]", ""))),
            format!("{given}{off}")
        );
    }
    // It comes when the form has its token: the button is switched off.
    assert_eq!(
        page(
            "<form method=post id=f></form><button class=a form=f formaction=//evil.example>x</button>"
        ),
        "<form method=post id=f>[T]</form><button disabled=\"disabled\" class=a form=f formaction=//evil.example>x</button>"
    );
    untouched(
        "<button form='&#102;' formaction=//evil.example></button><form method=post id=f></form>",
    );
    assert_eq!(
        page(
            "<form method=post id=f></form><button form='&#102;' formaction=//e>x</button><form method=post></form>"
        ),
        "<form method=post id=f>[T]</form><button disabled=\"disabled\" form='&#102;' formaction=//e>x</button><form method=post></form>"
    );
    let other = "<form method=post id=f>[T]</form><button form=g formaction=//evil.example>";
    assert_eq!(page(&other.replace("[T]", "")), other);
}

#[test]
fn what_is_relative_follows_the_base() {
    untouched("<base href=//evil.example><form method=post action=x></form>");
    untouched("<base href='&#47;/evil.example'><form method=post action=x></form>");
    untouched("<form method=post action=x><base href=//evil.example></form>");
    untouched("<form method=post><button formaction=x><base href=//evil.example></form>");
    untouched("<form method=post action=x><template><base href=//evil.example></template></form>");
    for html in [
        "<base href=//evil.example><form method=post>[T]</form>",
        "<base href=//evil.example><form method=post action=https://shop.example/x>[T]</form>",
        "<base href=/other/><form method=post action=x>[T]</form>",
        "<base target=_top><form method=post action=x>[T]</form>",
        "<base href=/><base href=//evil.example><form method=post action=x>[T]</form>",
    ] {
        assert_eq!(page(&html.replace("[T]", "")), html);
    }
    assert_eq!(
        page("<form method=post action=x></form><base target=a href=//evil.example>"),
        "<form method=post action=x>[T]</form><base href=\"\" target=a href=//evil.example>"
    );
}

#[test]
fn where_browsers_could_see_another_form_none_is_given_anything() {
    let form = "<form method=post></form>";
    for before in [
        "<svg><form></form></svg>",
        "<svg></form></svg>",
        "<svg><font></svg>",
        "<svg><math></svg>",
        "<select><form></select>",
        "<select></form></select>",
        "<svg><desc><button formaction=//evil.example></svg>",
        "<svg><![CDATA[ ]]></svg>",
        "<select><style></style></select>",
        "<select><title></title></select>",
        "<svg><foreignObject><style></style></foreignObject></svg>",
        "<meta charset=ISO-2022-JP>",
        "<meta http-equiv=content-type content='text/html; charset=iso-2022-jp'>",
    ] {
        untouched(&format!("{before}{form}"));
    }
    for before in [
        "<svg><title>a</title><style>b</style><path/></svg>",
        "<svg/>".replace("/", "></svg").as_str(),
        "<svg><p>",
        "<select><option></select>",
        "<svg><script>a</script></svg>",
        "<meta charset=shift_jis>",
        "<math><mi>x</mi></math>",
    ] {
        assert_eq!(
            page(&format!("{before}{form}")),
            format!("{before}<form method=post>[T]</form>")
        );
    }
}

#[test]
fn heads_are_given_something_once() {
    for html in [
        "<html><head>[H]<title>a</title></head><body><head>",
        "<title>a</title>[H]</head><body>",
        "<p>[H]<body class=a>x",
        "<!-- <head> --><head lang=en>[H]",
    ] {
        assert_eq!(page(&html.replace("[H]", "")), html);
    }
    untouched("<p>a fragment");
}

#[test]
fn nothing_is_switched_off_where_forms_are_given_nothing() {
    let nothing = Given {
        form: String::new(),
        ..given(false)
    };
    let html = "<head>[H]<form method=post id=f></form><button form=f formaction=//evil.example><base href=//evil.example>";
    let plain = html.replace(HEAD, "");
    assert_eq!(in_pieces(nothing, [plain.as_bytes()]), html);
}

#[test]
fn xml_is_read_as_xml() {
    let xml = |html: &str| in_pieces(given(true), [html.as_bytes()]);
    assert_eq!(
        xml("<form method=\"post\"><p/></form>"),
        "<form method=\"post\"><p/>[T]</form>"
    );
    for html in [
        "<![CDATA[<form method='post'>]]></form>",
        "<FORM method='post'></FORM>",
        "<form method='post'/></form>",
        "<form method='post'><form method='post'></form></form>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><form method='post'></form>",
    ] {
        assert_eq!(xml(html), html);
    }
    assert_eq!(
        xml("<title><form method='post'></form>"),
        "<title><form method='post'>[T]</form>"
    );
}

#[test]
fn other_encodings_pass() {
    let html = "<form method=post></form>";
    for bom in [b"\xfe\xff", b"\xff\xfe"] {
        let (mut rewriter, mut out) = (Rewriter::new(given(false)), Vec::new());
        rewriter.push(bom, &mut out);
        rewriter.push(html.as_bytes(), &mut out);
        rewriter.end(&mut out);
        assert_eq!(out.strip_prefix(bom).unwrap(), html.as_bytes());
    }
}

#[test]
fn a_tag_without_end_is_held_no_longer_than_it_may_be() {
    let html = format!(
        "<form method=post id=f></form><button {}",
        "x".repeat(HELD + 10)
    );
    let (mut rewriter, mut out) = (Rewriter::new(given(false)), Vec::new());
    for piece in html.as_bytes().chunks(1000) {
        rewriter.push(piece, &mut out);
        assert!(rewriter.held.len() <= HELD);
    }
    rewriter.push(
        b"x form=f formaction=//evil.example><form method=post></form>",
        &mut out,
    );
    rewriter.end(&mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("<form method=post id=f>[T]</form><button disabled=\"disabled\" xxx"),
        "{}",
        &out[..80]
    );
    assert!(out.ends_with("<form method=post></form>"));
}

const SOUP: &[&str] = &[
    "<form method=post>",
    "<form>",
    "</form>",
    "<form method=post action=//evil.example>",
    "<form id=a method=post action=x>",
    "<button form=a formaction=//evil.example>",
    "<button formaction=/y>",
    "<input",
    "<base href=/>",
    "<base href=//evil>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<textarea>",
    "</textarea>",
    "<svg>",
    "</svg>",
    "<select>",
    "</select>",
    "<template>",
    "</template>",
    "<style>",
    "</style>",
    "<head>",
    "</head>",
    "<table>",
    "<tr>",
    "\"",
    "'",
    "<",
    ">",
    "/",
    "=",
    "a",
    " ",
    "&lt;",
    "<![CDATA[",
    "]]>",
    "<!",
    "<?",
    "</",
    "\u{e9}",
    "\0",
];

proptest! {
    /// However it is cut, the same comes out; and without what was given it is what came in.
    #[test]
    fn nothing_but_what_is_given_changes(
        soup in proptest::collection::vec(proptest::sample::select(SOUP), 0..40),
        cuts in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let html = soup.concat();
        let whole = in_pieces(given(false), [html.as_bytes()]);
        let (mut rewriter, mut out, mut rest) = (Rewriter::new(given(false)), Vec::new(), html.as_bytes());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            rewriter.push(piece, &mut out);
            rest = after;
        }
        rewriter.push(rest, &mut out);
        rewriter.end(&mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), whole.clone());
        let mut plain = whole;
        for given in [FORM, HEAD, " disabled=\"disabled\"", " href=\"\""] {
            plain = plain.replace(given, "");
        }
        prop_assert_eq!(plain, html);
    }
}
