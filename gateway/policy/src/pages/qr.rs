//! A QR code as SVG inside the page: no picture is fetched, so the secret in it is nowhere but here.

use qrcode::{Color, EcLevel, QrCode};

use super::html::Html;

/// Light modules around the code, as readers need them (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// The code, always dark on light whatever the page's colours; `None` when the text is too long for any.
pub(crate) fn svg(text: &str, label: &str) -> Option<Html> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let mut path = String::with_capacity(colors.len() * 6);
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|one, next| one == next) {
            if run.first() == Some(&Color::Dark) {
                let (left, top, long) = (x + QUIET, y + QUIET, run.len());
                path.push_str(&format!("M{left} {top}h{long}v1h-{long}z"));
            }
            x += run.len();
        }
    }
    let whole = (width + 2 * QUIET).to_string();
    let mut svg = Html::default();
    svg.put(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{}v{}H0z\"/><path d=\"{}\"/></svg>\n",
        &[label, &whole, &whole, &whole, &whole, &path],
    );
    Some(svg)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn draws_every_dark_module_once() {
        let text = "otpauth://totp/Shop:ann?secret=AAAA";
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let dark = code
            .to_colors()
            .into_iter()
            .filter(|color| *color == Color::Dark);
        let drawn = svg(text, "a \"label\"").unwrap().into_string();
        let runs = drawn.match_indices("h-");
        let area: usize = runs
            .map(|(at, _)| drawn[at + 2..].split('z').next().unwrap())
            .map(|long| long.parse::<usize>().unwrap())
            .sum();
        assert_eq!(area, dark.count());
        assert!(drawn.contains("aria-label=\"a &quot;label&quot;\""));
        assert!(svg(&"x".repeat(4000), "").is_none());
    }
}
