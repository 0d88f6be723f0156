//! Codes of countries and continents, which country lies where, and sets of places. It knows no addresses.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::Lists;
use crate::context::Context;
use crate::request::Place;

/// Every ISO 3166-1 code (and XK) by continent, as GeoNames and MaxMind place them.
const CONTINENTS: [([u8; 2], &str); 7] = [
    (*b"AF", "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA \
              NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW"),
    (*b"AN", "AQ BV GS HM TF"),
    (*b"AS", "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP \
              OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE"),
    (*b"EU", "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME \
              MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK"),
    (*b"NA", "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC \
              TT US VC VG VI"),
    (*b"OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
    (*b"SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// Two letters, upper-case.
pub(super) fn code(text: &str) -> Option<[u8; 2]> {
    let code: [u8; 2] = text.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_alphabetic).then(|| code.map(|letter| letter.to_ascii_uppercase()))
}

/// The continent of a country.
pub(super) fn continent(country: [u8; 2]) -> Option<[u8; 2]> {
    let place = place(country)?;
    let which = TABLE.get(place).copied().unwrap_or(0);
    CONTINENTS.get(usize::from(which).checked_sub(1)?).map(|(name, _)| *name)
}

/// By country: one more than the index in [`CONTINENTS`], zero for no country. Every request may ask.
static TABLE: [u8; 26 * 26] = table();

/// Where a pair of capitals stands in the table.
const fn place(code: [u8; 2]) -> Option<usize> {
    let [first, second] = code;
    if !first.is_ascii_uppercase() || !second.is_ascii_uppercase() {
        return None;
    }
    Some((first - b'A') as usize * 26 + (second - b'A') as usize)
}

#[expect(clippy::indexing_slicing, reason = "runs while this is compiled")]
const fn table() -> [u8; 26 * 26] {
    let mut table = [0; 26 * 26];
    let mut which = 0;
    while which < CONTINENTS.len() {
        let list = CONTINENTS[which].1.as_bytes();
        let mut at = 0;
        while at + 1 < list.len() {
            if let Some(place) = place([list[at], list[at + 1]]) {
                table[place] = which as u8 + 1;
            }
            at += 3;
        }
        which += 1;
    }
    table
}

/// The number of an autonomous system, written `64496` or `AS64496`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asn(pub(crate) u32);

impl<'de> Deserialize<'de> for Asn {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Asn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of an autonomous system, such as 64496 or AS64496")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Asn, E> {
                u32::try_from(number).map(Asn).map_err(|_| E::custom("no autonomous system has such a number"))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Asn, E> {
                u32::try_from(number).map(Asn).map_err(|_| E::custom("no autonomous system has such a number"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Asn, E> {
                asn(text).map(Asn).ok_or_else(|| E::custom(format!("`{text}` is not a number such as AS64496")))
            }
        }
        from.deserialize_any(Number)
    }
}

impl JsonSchema for Asn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Asn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "pattern": "^(AS)?[0-9]+$", "minimum": 0,
            "description": "Number of an autonomous system, such as 64496 or AS64496." })
    }
}

/// `AS64496` or `64496`.
pub(super) fn asn(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Places, sorted for look-up.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) countries: Vec<[u8; 2]>,
    pub(super) continents: Vec<[u8; 2]>,
    pub(super) asns: Vec<u32>,
}

impl Set {
    pub(super) fn compile(context: &mut Context<'_>, key: &str, lists: &Lists) -> Self {
        let at = context.at.key(key);
        let mut set = Self::default();
        for (index, text) in lists.countries.iter().enumerate() {
            let at = at.key("countries").index(index);
            match code(text) {
                Some(country) if continent(country).is_some() => set.countries.push(country),
                Some([b'U', b'K']) => context.error(at, "`UK` is not an ISO 3166-1 code: write GB"),
                Some(_) | None => context.error(at, format!("`{text}` is not an ISO 3166-1 alpha-2 code such as TW")),
            }
        }
        for (index, text) in lists.continents.iter().enumerate() {
            let known = |name: &[u8; 2]| CONTINENTS.iter().any(|(continent, _)| continent == name);
            match code(text).filter(known) {
                Some(name) => set.continents.push(name),
                None => {
                    let at = at.key("continents").index(index);
                    context.error(at, format!("`{text}` is not one of AF, AN, AS, EU, NA, OC, SA"));
                }
            }
        }
        set.asns = lists.asns.iter().map(|asn| asn.0).collect();
        set.countries.sort_unstable();
        set.asns.sort_unstable();
        if set.countries.is_empty() && set.continents.is_empty() && set.asns.is_empty() {
            context.error(at, "no list in it names anything");
        }
        set
    }

    /// Whether a place is in the set; `None`: what is known does not tell.
    pub(super) fn holds(&self, place: &Place) -> Option<bool> {
        let country = listed(&self.countries, place.country.as_ref());
        let continent = listed(&self.continents, place.continent.as_ref());
        let asn = listed(&self.asns, place.asn.as_ref());
        match [country, continent, asn] {
            answers if answers.contains(&Some(true)) => Some(true),
            answers if answers.contains(&None) => None,
            _ => Some(false),
        }
    }
}

fn listed<T: Ord>(list: &[T], value: Option<&T>) -> Option<bool> {
    match value {
        _ if list.is_empty() => Some(false),
        Some(value) => Some(list.contains(value)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_lies_on_one_continent() {
        let mut all: Vec<_> = CONTINENTS.iter().flat_map(|(_, list)| list.split_ascii_whitespace()).collect();
        assert_eq!(all.len(), 250);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 250);
        assert_eq!(TABLE.iter().filter(|&&which| which > 0).count(), 250);
        assert_eq!(continent(*b"TW"), Some(*b"AS"));
        assert_eq!(continent(*b"ZW"), Some(*b"AF"));
        assert_eq!(continent(*b"KE"), Some(*b"AF"));
        assert_eq!(continent(*b"UK"), None);
        assert_eq!(continent(*b"  "), None);
    }
}
