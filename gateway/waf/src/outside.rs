//! What a ruleset uses that is not rules: the store of collections, a lookup of places, fixed values. The caller lends
//! them; without them rules that ask find nothing.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use crate::collections::Collections;

/// Tells where an address is. The caller implements it over a database it has opened.
pub trait Geography: Send + Sync + fmt::Debug {
    /// What is known of the address; `None` when nothing is.
    fn place(&self, address: IpAddr) -> Option<Place>;
}

/// Where an address is. What is not known is empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Place {
    /// `DE`: two letters (ISO 3166-1).
    pub country_code: String,
    /// `DEU`.
    pub country_code3: String,
    /// `Germany`.
    pub country_name: String,
    /// `EU`: two letters.
    pub continent: String,
    /// `BY`: the subdivision's code.
    pub region: String,
    /// `Munich`.
    pub city: String,
    /// `80331`.
    pub postal_code: String,
    /// Degrees north.
    pub latitude: String,
    /// Degrees east.
    pub longitude: String,
}

impl Place {
    /// The members of GEO.
    pub(crate) fn members(&self) -> [(&'static [u8], &str); 9] {
        [
            (b"country_code", &self.country_code),
            (b"country_code3", &self.country_code3),
            (b"country_name", &self.country_name),
            (b"country_continent", &self.continent),
            (b"region", &self.region),
            (b"city", &self.city),
            (b"postal_code", &self.postal_code),
            (b"latitude", &self.latitude),
            (b"longitude", &self.longitude),
        ]
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// Made when it is first asked for: until then another may take its place.
    pub(crate) collections: OnceLock<Arc<Collections>>,
    pub(crate) geography: Option<Arc<dyn Geography>>,
    pub(crate) settings: Settings,
}

impl Outside {
    pub(crate) fn collections(&self) -> &Arc<Collections> {
        self.collections.get_or_init(Arc::default)
    }
}

/// What directives fix for every request.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// SecCollectionTimeout, in milliseconds.
    pub(crate) timeout: u64,
    /// SecWebAppId.
    pub(crate) application: Box<str>,
    /// SecArgumentSeparator.
    pub(crate) separator: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: 3_600_000,
            application: "default".into(),
            separator: b'&',
        }
    }
}
