//! What SecLang says about bodies and their limits. The engine heeds none of it: bodies are held, cut and refused by the
//! caller, whose own settings may say otherwise.

/// Bodies as the directives want them; `None`: not said.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Bodies {
    /// SecRequestBodyAccess.
    pub request: Option<bool>,
    /// SecRequestBodyLimit, bytes.
    pub request_limit: Option<u64>,
    /// SecRequestBodyNoFilesLimit, bytes.
    pub no_files_limit: Option<u64>,
    /// SecArgumentsLimit.
    pub arguments: Option<u64>,
    /// SecRequestBodyJsonDepthLimit.
    pub depth: Option<u64>,
    /// SecResponseBodyAccess.
    pub response: Option<bool>,
    /// SecResponseBodyLimit, bytes.
    pub response_limit: Option<u64>,
    /// SecResponseBodyLimitAction: a longer answer is refused (`Reject`), or its beginning decides (`ProcessPartial`).
    pub response_refused: Option<bool>,
    /// SecResponseBodyMimeType, of all its lines.
    pub response_types: Option<Vec<String>>,
}

impl Bodies {
    /// Takes a directive; false when it is none of these. `name` is in lower case.
    pub(super) fn take(&mut self, name: &str, arguments: &[String]) -> Result<bool, String> {
        let value = arguments.first().map_or("", String::as_str);
        match name {
            "secrequestbodyaccess" => self.request = Some(switch(value)?),
            "secrequestbodylimit" => self.request_limit = Some(number(value)?),
            "secrequestbodynofileslimit" => self.no_files_limit = Some(number(value)?),
            "secargumentslimit" => self.arguments = Some(number(value)?),
            "secrequestbodyjsondepthlimit" => self.depth = Some(number(value)?),
            "secresponsebodyaccess" => self.response = Some(switch(value)?),
            "secresponsebodylimit" => self.response_limit = Some(number(value)?),
            "secresponsebodylimitaction" => {
                self.response_refused = Some(match value.to_ascii_lowercase().as_str() {
                    "reject" => true,
                    "processpartial" => false,
                    _ => return Err(format!("Reject or ProcessPartial, not `{value}`")),
                });
            }
            "secresponsebodymimetype" => {
                let types = self.response_types.get_or_insert_default();
                let each = arguments.iter().flat_map(|text| text.split_whitespace());
                // Other engines' word for an answer without a type, which is read in any case.
                types.extend(each.filter(|text| *text != "(null)").map(str::to_owned));
            }
            "secresponsebodymimetypesclear" => self.response_types = Some(Vec::new()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// SecRequestBodyLimitAction, and what to say of it. What lies past the part would reach the application unseen: that is
/// what an attacker pads for. Nor is the part what the rest makes of it: a value that the limit cuts in two, a document or
/// a part that does not end, is read by no parser. Bodies are held up to a limit that is the operator's to raise.
pub(super) fn limit_action(value: &str) -> Result<Option<&'static str>, String> {
    match value.to_ascii_lowercase().as_str() {
        "reject" => Ok(None),
        "processpartial" => Ok(Some(
            "ProcessPartial does nothing: a body over SecRequestBodyLimit is refused with 413, since its rest would pass \
             unseen. Raise the limit, or leave the check out on routes that take longer ones",
        )),
        _ => Err(format!("Reject or ProcessPartial, not `{value}`")),
    }
}

fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("On or Off, not `{value}`")),
    }
}

fn number(value: &str) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("a number above 0, not `{value}`"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::Bodies;

    #[test]
    fn directives_are_read_and_slips_refused() {
        let mut bodies = Bodies::default();
        let mut take = |name: &str, text: &str| {
            let arguments: Vec<String> = text.split(' ').map(str::to_owned).collect();
            bodies.take(name, &arguments)
        };
        assert_eq!(take("secrequestbodylimit", "13107200"), Ok(true));
        assert_eq!(take("secresponsebodyaccess", "Off"), Ok(true));
        assert_eq!(
            take("secresponsebodymimetype", "text/plain text/html"),
            Ok(true)
        );
        assert_eq!(take("secresponsebodymimetype", "(null) text/xml"), Ok(true));
        assert_eq!(take("secruleengine", "On"), Ok(false));
        for (name, text) in [
            ("secrequestbodylimit", "0"),
            ("secargumentslimit", "many"),
            ("secresponsebodyaccess", "1"),
            ("secresponsebodylimitaction", "Partial"),
        ] {
            assert!(take(name, text).is_err(), "{name} {text}");
        }
        assert_eq!(bodies.request_limit, Some(13_107_200));
        assert_eq!(
            bodies.response_types.unwrap(),
            ["text/plain", "text/html", "text/xml"]
        );
    }
}
