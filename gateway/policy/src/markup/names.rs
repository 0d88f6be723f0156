//! Names that change how a page is read, as the HTML standard lists them.

/// Whether a declaration in the page changes what ASCII bytes mean.
pub(super) fn foils(declared: &[u8]) -> bool {
    let lower = declared.to_ascii_lowercase();
    let names: [&[u8]; 4] = [b"iso-2022", b"csiso2022", b"hz-gb", b"utf-7"];
    names
        .iter()
        .any(|name| memchr::memmem::find(&lower, name).is_some())
}

/// HTML, 13.2.6.1: text and HTML integration points.
pub(super) fn is_island(name: &str) -> bool {
    matches!(
        name,
        "foreignobject" | "desc" | "title" | "annotation-xml" | "mi" | "mo" | "mn" | "ms" | "mtext"
    )
}

/// HTML, 13.2.6.5: start tags that end SVG and MathML.
pub(super) fn breaks_out(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "b",
        "big",
        "blockquote",
        "body",
        "br",
        "center",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "embed",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "hr",
        "i",
        "img",
        "li",
        "listing",
        "menu",
        "meta",
        "nobr",
        "ol",
        "p",
        "pre",
        "ruby",
        "s",
        "small",
        "span",
        "strong",
        "strike",
        "sub",
        "sup",
        "table",
        "tt",
        "u",
        "ul",
        "var",
    ];
    NAMES.contains(&name)
}
