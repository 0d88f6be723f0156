//! Escapes of the data files.

/// `\n \r \t \0 \\ \xHH` and the rest as it stands.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.to_string().bytes());
            continue;
        }
        out.push(match chars.next().expect("an escape") {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => u8::from_str_radix(&chars.by_ref().take(2).collect::<String>(), 16)
                .expect("two digits"),
            other => panic!("unknown escape {other}"),
        });
    }
    out
}
