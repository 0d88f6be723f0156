//! Directives other than rules: what each does, which of them the gateway's own settings govern, which are refused.

use super::{Loader, Source, at, bodies, engine, lexer::Directive, rule, target, which};
use crate::{
    fault::Fault,
    rule::{Origin, Rule, Which},
};

/// Files included by included files.
const MAX_DEPTH: usize = 8;

/// Directives that concern what the gateway's own settings govern: bodies, logs, storage, limits. They are accepted, so
/// that a server's file loads, and change nothing.
pub(super) const GOVERNED: &[&str] = &[
    "seccomponentsignature",
    "secsensorid",
    "secserversignature",
    "secstatusengine",
    "secruleperftime",
    "secruleinheritance",
    "secdatadir",
    "sectmpdir",
    // Bodies are held in memory; what is too long is refused.
    "secrequestbodyinmemorylimit",
    "secstreaminbodyinspection",
    "secstreamoutbodyinspection",
    "secdisablebackendcompression",
    // Work: the engine's budget.
    "secpcrematchlimit",
    "secpcrematchlimitrecursion",
    "secinterceptonerror",
    "secrxprefilter",
    // Uploads are looked at and not stored.
    "secuploaddir",
    "secuploadkeepfiles",
    "secuploadfilemode",
    "secuploadfilelimit",
    "sectmpsaveuploadedfiles",
    // Events stand in the place of these logs.
    "secauditengine",
    "secauditlog",
    "secauditlog2",
    "secauditlogtype",
    "secauditlogparts",
    "secauditlogformat",
    "secauditlogprefix",
    "secauditlogrelevantstatus",
    "secauditlogstoragedir",
    "secauditlogdirmode",
    "secauditlogfilemode",
    "secdebuglog",
    "secdebugloglevel",
    "secguardianlog",
    // urlDecodeUni has its table built in.
    "secunicodemapfile",
    "secunicodecodepage",
    // Connections: the listener's limits.
    "secconnengine",
    "secconnreadstatelimit",
    "secconnwritestatelimit",
    "secreadstatelimit",
    "secwritestatelimit",
    // The policy names the database of places.
    "secgeolookupdb",
    "seccachetransformations",
    "secchrootdir",
];

/// Directives that there cannot be here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("secrulescript", "rules run no programs"),
    (
        "secremoterules",
        "rules are read from files: fetch them before",
    ),
    ("secremoterulesfailaction", "rules are read from files"),
    (
        "secignorerulecompilationerrors",
        "a rule that cannot be read is never passed over",
    ),
    (
        "secdataset",
        "lists are read from files: @pmFromFile, @ipMatchFromFile",
    ),
    ("secgsblookupdb", "rules ask nobody on the network"),
    ("sechashkey", "links are not signed"),
    ("sechashparam", "links are not signed"),
    ("sechashmethodrx", "links are not signed"),
    ("sechashmethodpm", "links are not signed"),
];

/// Directives whose default is all there is: `Off` says what happens anyway.
const OFF_ONLY: &[(&str, &str)] = &[
    ("seccontentinjection", "bodies are not changed"),
    ("sechashengine", "links are not signed"),
    ("secxmlexternalentity", "entities are never resolved"),
    ("secparsexmlintoargs", "read XML:/* and XML://@*"),
];

impl Loader<'_> {
    pub(super) fn directive(
        &mut self,
        directive: &Directive,
        origin: &Origin,
        rules: &mut Vec<Rule>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), String> {
        let argument = |at: usize| directive.arguments.get(at).map_or("", String::as_str);
        let name = directive.name.to_ascii_lowercase();
        if name.starts_with('<') {
            self.close(rules);
            return self.section(&name, argument(0));
        }
        if self.sections.contains(&false) {
            return Ok(());
        }
        if name != "secrule" {
            self.close(rules);
            self.broken = false;
        }
        match name.as_str() {
            "secrule" => self.sec_rule(origin, (argument(0), argument(1), argument(2)), rules)?,
            "secaction" => self.begin(origin, None, argument(0), rules)?,
            "secmarker" => self.markers.push((argument(0).to_owned(), rules.len())),
            "secdefaultaction" => {
                let (phase, defaults) = rule::defaults(argument(0), &mut self.names)?;
                if let Some(place) = self.defaults.get_mut(phase as usize) {
                    *place = defaults;
                }
            }
            "include" => self.include(origin, argument(0), false, rules, faults)?,
            "includeoptional" => self.include(origin, argument(0), true, rules, faults)?,
            "secruleupdateactionbyid" => {
                self.update_action(origin, argument(0), argument(1), rules)?
            }
            _ => match changed(&name, directive)? {
                Some(Changed::Removed(which)) => remove(&which, rules),
                Some(Changed::Targets(which)) => self.update_target(&which, argument(1), rules)?,
                None => self.setting(directive, &name, origin)?,
            },
        }
        Ok(())
    }

    /// What stands alone and changes no rule.
    fn setting(
        &mut self,
        directive: &Directive,
        name: &str,
        origin: &Origin,
    ) -> Result<(), String> {
        let value = directive.arguments.first().map_or("", String::as_str);
        let refused = |why: &str| {
            Err(format!(
                "the directive {} is not supported: {why}",
                directive.name
            ))
        };
        match name {
            "secruleengine" => self.engine = engine(value)?,
            "seccollectiontimeout" => {
                let seconds = value.parse::<u64>().ok().filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or_else(|| format!("seconds, not `{value}`"))?;
                self.settings.timeout = seconds.saturating_mul(1000);
            }
            "secwebappid" => self.settings.application = value.into(),
            "secargumentseparator" => {
                let [separator] = *value.as_bytes() else {
                    return Err(format!("one character, not `{value}`"));
                };
                self.settings.separator = separator;
            }
            "seccookieformat" if value == "0" => {}
            "seccookieformat" => return refused("only format 0, which is what browsers send"),
            "sechttpblkey" => {
                let message = "@rbl never matches: rules ask no name server".to_owned();
                self.warnings.push(at(origin, message));
            }
            "secrequestbodylimitaction" => {
                if let Some(message) = bodies::limit_action(value)? {
                    self.warnings.push(at(origin, message.to_owned()));
                }
            }
            _ if self.bodies.take(name, &directive.arguments)? => {}
            _ if GOVERNED.contains(&name) => {}
            _ => {
                if let Some((_, why)) = OFF_ONLY.iter().find(|(known, _)| *known == name) {
                    return if value.eq_ignore_ascii_case("off") {
                        Ok(())
                    } else {
                        refused(why)
                    };
                }
                return match REFUSED.iter().find(|(known, _)| *known == name) {
                    Some((_, why)) => refused(why),
                    None => Err(format!("the directive {} is not supported", directive.name)),
                };
            }
        }
        Ok(())
    }

    /// Sections of a web server's configuration. Conditions on ModSecurity itself hold; whom others are meant for is the
    /// policy's to say.
    fn section(&mut self, name: &str, argument: &str) -> Result<(), String> {
        let condition = argument.trim_end_matches('>').trim().to_ascii_lowercase();
        if name == "<ifmodule" {
            let (wanted, module) = match condition.strip_prefix('!') {
                Some(module) => (false, module),
                None => (true, condition.as_str()),
            };
            let ours = ["security", "unique_id"]
                .iter()
                .any(|part| module.contains(part));
            self.sections.push(ours == wanted);
            return Ok(());
        }
        if name.starts_with("</ifmodule") {
            return match self.sections.pop() {
                Some(_) => Ok(()),
                None => Err("a section ends that has not begun".to_owned()),
            };
        }
        Err(format!(
            "the section {name} is not supported: routes say where rules apply"
        ))
    }

    fn include(
        &mut self,
        origin: &Origin,
        pattern: &str,
        optional: bool,
        rules: &mut Vec<Rule>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!(
                "files include each other more than {MAX_DEPTH} deep"
            ));
        }
        let names = match self.files.list(&origin.source, pattern) {
            Ok(names) => names,
            Err(_) if optional => return Ok(()),
            Err(message) => return Err(message),
        };
        // Plugins may be there or not; a file that is named is meant.
        if names.is_empty() && !optional && !pattern.contains(['*', '?', '[']) {
            return Err(format!("no file fits {pattern}"));
        }
        for name in names {
            match self.files.read("", &name) {
                Ok(text) => {
                    self.depth += 1;
                    let source = Source {
                        name: &name,
                        text: &text,
                    };
                    self.read(&source, rules, faults);
                    self.depth -= 1;
                }
                Err(message) if optional => {
                    let message = format!("not included: {message}");
                    self.warnings.push(at(origin, message));
                }
                Err(message) => faults.push(at(origin, message)),
            }
        }
        Ok(())
    }

    fn update_target(
        &mut self,
        which: &Which,
        text: &str,
        rules: &mut [Rule],
    ) -> Result<(), String> {
        let (include, except) = target::targets(text, &mut self.names)?;
        let chosen = rules.iter_mut().filter(|rule| which.takes(rule));
        for link in chosen.filter_map(|rule| rule.links.first_mut()) {
            link.targets.extend(include.iter().cloned());
            link.except.extend(except.iter().cloned());
        }
        Ok(())
    }

    /// `942100` or, for a link of its chain, `942100:1`.
    fn update_action(
        &mut self,
        origin: &Origin,
        id: &str,
        actions: &str,
        rules: &mut [Rule],
    ) -> Result<(), String> {
        let (id, link) = id.split_once(':').unwrap_or((id, "0"));
        let link = link.parse().map_err(|_| format!("`{link}` is no link"))?;
        let which = Which::Ids(vec![rule::id_range(id)?]);
        let mut any = false;
        for rule in rules.iter_mut().filter(|rule| which.takes(rule)) {
            any = true;
            self.reading(origin, |reader| reader.update(rule, link, actions))?;
        }
        if any {
            Ok(())
        } else {
            Err(format!("there is no rule {id} above"))
        }
    }
}

/// Rules as a directive names them, and what it does to them.
enum Changed {
    Removed(Which),
    Targets(Which),
}

fn changed(name: &str, directive: &Directive) -> Result<Option<Changed>, String> {
    let first = directive.arguments.first().map_or("", String::as_str);
    Ok(Some(match name {
        "secruleremovebyid" => Changed::Removed(Which::Ids(ids(&directive.arguments)?)),
        "secruleremovebytag" => Changed::Removed(Which::Tag(which(first)?)),
        "secruleremovebymsg" => Changed::Removed(Which::Msg(which(first)?)),
        "secruleupdatetargetbyid" => Changed::Targets(Which::Ids(vec![rule::id_range(first)?])),
        "secruleupdatetargetbytag" => Changed::Targets(Which::Tag(which(first)?)),
        "secruleupdatetargetbymsg" => Changed::Targets(Which::Msg(which(first)?)),
        _ => return Ok(None),
    }))
}

/// Takes rules away. Their places stay: markers and jumps count on them.
fn remove(which: &Which, rules: &mut [Rule]) {
    for rule in rules.iter_mut().filter(|rule| which.takes(rule)) {
        rule.links.clear();
    }
}

fn ids(arguments: &[String]) -> Result<Vec<(u32, u32)>, String> {
    let pieces = arguments.iter().flat_map(|text| text.split([' ', ',']));
    pieces
        .filter(|text| !text.is_empty())
        .map(rule::id_range)
        .collect()
}
