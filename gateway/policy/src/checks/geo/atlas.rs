//! A database as the rule engine asks it (`@geoLookup`): codes from every shape of file, names and coordinates from
//! those that have them in MaxMind's shape.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::database::Database;

/// A verified database.
#[derive(Debug)]
pub(crate) struct Atlas(Database);

impl Atlas {
    pub(super) fn new(database: Database) -> Self {
        Self(database)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct City {
    city: Named,
    country: Named,
    subdivisions: Vec<Named>,
    postal: Postal,
    location: Location,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    iso_code: String,
    names: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postal {
    code: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Named {
    fn english(&mut self) -> String {
        self.names.remove("en").unwrap_or_default()
    }
}

impl waf::Geography for Atlas {
    fn place(&self, address: IpAddr) -> Option<waf::Place> {
        let known = self.0.place(address);
        let code = |code: Option<[u8; 2]>| code.map(|code| String::from_utf8_lossy(&code).into_owned()).unwrap_or_default();
        let (country_code, continent) = (code(known.country), code(known.continent));
        // Files of another shape have nothing more to say.
        let mut city: City = self.0.decode(address).unwrap_or_default();
        let degrees = |degrees: Option<f64>| degrees.map(|degrees| degrees.to_string()).unwrap_or_default();
        let place = waf::Place {
            country_code,
            continent,
            country_name: city.country.english(),
            region: city.subdivisions.into_iter().next().unwrap_or_default().iso_code,
            city: city.city.english(),
            postal_code: city.postal.code,
            latitude: degrees(city.location.latitude),
            longitude: degrees(city.location.longitude),
            ..waf::Place::default()
        };
        (place != waf::Place::default()).then_some(place)
    }
}
