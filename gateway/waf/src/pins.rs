//! Transaction variables that the caller fixes: set before any rule is asked, and no rule changes them. So a setting
//! of the caller holds whatever the rule files say, and is known when the rules are compiled.

use std::collections::HashSet;

use crate::{
    rule::{Action, Link, Name, Rule},
    text::{Names, Part, Text},
    variable::Variable,
};

/// A transaction variable and its value, as decimal digits or plain letters.
pub type Pin<'a> = (&'a str, &'a str);

/// The SecLang that sets them; it must be read before everything else, and its rule is the first.
pub(crate) fn text(pins: &[Pin<'_>]) -> String {
    let set = pins
        .iter()
        .map(|(name, value)| format!(",setvar:'tx.{name}={value}'"));
    format!(
        "SecAction \"id:0,phase:1,pass,nolog{}\"",
        set.collect::<String>()
    )
}

/// Takes away what other rules would set them to. Names put together from macros are left: CRS makes none of these.
pub(crate) fn hold(pins: &[Pin<'_>], names: &Names, rules: &mut [Rule]) {
    let pinned: HashSet<u16> = pins
        .iter()
        .filter_map(|(name, _)| names.known(Variable::Tx, name.to_ascii_lowercase().as_bytes()))
        .collect();
    let changes = |action: &Action| matches!(action, Action::Set(Name::Slot(slot), _) if pinned.contains(slot));
    for link in rules.iter_mut().skip(1).flat_map(|rule| &mut rule.links) {
        link.actions.retain(|action| !changes(action));
    }
}

/// Whether any rule asks for the variable, by name or in a macro of its operator.
pub(crate) fn is_read(name: &str, names: &Names, rules: &[Rule]) -> bool {
    let Some(slot) = names.known(Variable::Tx, name.to_ascii_lowercase().as_bytes()) else {
        return false;
    };
    let holds = |text: &Text| {
        let mut parts = text.parts().iter();
        parts.any(|part| matches!(part, Part::Tx(own) if *own == slot))
    };
    let asks = |link: &Link| {
        link.targets.iter().any(|target| target.slot == Some(slot))
            || link
                .tests
                .iter()
                .any(|test| test.operator.operand().is_some_and(holds))
    };
    rules.iter().flat_map(|rule| &rule.links).any(asks)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::{Options, Request, Ruleset, Scratch, Source, seclang};

    const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1"
SecRule &TX:level "@eq 0" "id:2,phase:1,pass,nolog,setvar:tx.level=1"
SecRule TX:level "@ge 3" "id:3,phase:1,pass,msg:'high'"
SecRule REQUEST_METHOD "@streq %{tx.wanted}" "id:4,phase:1,pass,msg:'wanted'"
SecAction "id:5,phase:1,pass,nolog,setvar:tx.unread=1"
"#;

    fn matched(pins: &[(&str, &str)]) -> Vec<u32> {
        let source = Source::SecLang(seclang::Source {
            name: "t",
            text: RULES,
        });
        let rules = Ruleset::load_with(&[source], &seclang::NoFiles, pins).unwrap();
        let tuning = rules.tune(&Options::default()).unwrap();
        let mut transaction = rules.transaction(&tuning, Scratch::default());
        let headers: [(&str, &str); 0] = [];
        transaction.evaluate_headers(&Request {
            method: b"GET",
            target: b"/",
            path: b"/",
            query: b"",
            protocol: b"HTTP/1.1",
            headers: &headers,
            client: [192, 0, 2, 7].into(),
            around: crate::Surroundings::default(),
        });
        let (verdict, _) = transaction.finish();
        verdict.matches.iter().map(|found| found.id).collect()
    }

    #[test]
    fn no_rule_changes_what_is_pinned() {
        assert!(matched(&[]).is_empty());
        assert_eq!(matched(&[("level", "3")]), [3]);
        assert_eq!(matched(&[("wanted", "GET")]), [4]);
    }

    #[test]
    fn what_nobody_reads_is_told() {
        let source = Source::SecLang(seclang::Source {
            name: "t",
            text: RULES,
        });
        let rules = Ruleset::load(&[source], &seclang::NoFiles).unwrap();
        assert!(rules.reads("Level") && rules.reads("wanted"));
        assert!(!rules.reads("unread") && !rules.reads("never"));
    }
}
