//! Secrets: from references to values. Values never reach a fault, an event or the policy's hash.

mod provider;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::faults::Faults;
use crate::fault::Path;
use crate::settings::Secret;
use crate::settings::secret::{About, Provided, Wanted};
use crate::sources::{Sources, Unprovided};
use crate::spec::{self, Source};
use crate::yaml::suggest;

/// Longest secret, bytes: a private key in PEM fits many times.
const MOST_BYTES: usize = 64 << 10;

/// A secret's values while a policy serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// The value that is used for what is new.
    current: Option<Secret>,
    /// Still accepted.
    previous: Option<Secret>,
    /// Accepted until these Unix milliseconds: values that were replaced.
    replaced: Vec<(Secret, u64)>,
    /// When the current one was made, where that is known.
    made: Option<u64>,
    /// When this process first had it.
    since: u64,
    about: Described,
}

/// What may be told about it.
#[derive(Debug, Clone, Default)]
struct Described {
    provider: &'static str,
    place: String,
    rotate_after: Option<std::time::Duration>,
    fetched: bool,
}

/// All secrets of a policy, by name.
pub(crate) type Vault = BTreeMap<String, Held>;

/// When the first replaced value stops being accepted.
pub(crate) fn expires(vault: &Vault) -> Option<u64> {
    vault
        .values()
        .flat_map(|held| &held.replaced)
        .map(|(_, until)| *until)
        .min()
}

/// What may be told about each.
pub(crate) fn about(vault: &Vault) -> Vec<About> {
    let told = |(name, held): (&String, &Held)| {
        let replaced = held.replaced.iter().map(|(_, until)| *until);
        About {
            name: name.clone(),
            provider: held.about.provider,
            place: held.about.place.clone(),
            made: held.made.unwrap_or(held.since),
            rotate_after: held.about.rotate_after,
            accepted: replaced
                .chain(held.previous.iter().map(|_| u64::MAX))
                .collect(),
            fetched: held.about.fetched,
        }
    };
    vault.iter().map(told).collect()
}

/// What reading secrets depends on.
pub(super) struct Reading<'r> {
    pub(super) sources: &'r mut dyn Sources,
    pub(super) now: u64,
    /// The vault of the policy that this one replaces.
    pub(super) before: Option<&'r Vault>,
    /// Whom servers of providers are believed by where nothing nearer says it: a PEM file.
    pub(super) ca: Option<&'r String>,
    /// Whether a value is made up where the sources ask no provider, so that all else can be looked at.
    pub(super) invent: bool,
}

/// Every value, and the names of those that are needed to get at others.
pub(super) fn read(
    specs: &[(String, spec::Secret)],
    reading: &mut Reading<'_>,
    faults: &mut Faults,
) -> (Vault, BTreeSet<String>) {
    let mut vault = Vault::new();
    for (name, spec) in specs {
        if let Some(held) = reading.near(name, spec, faults) {
            vault.insert(name.clone(), held);
        }
    }
    let mut used = BTreeSet::new();
    let mut asked = Vec::new();
    for (name, spec) in specs.iter().filter(|(name, _)| !vault.contains_key(name)) {
        let mut keeper = Keeper {
            vault: &vault,
            used,
        };
        let wanted = provider::wanted(name, spec, reading, &mut keeper, faults);
        used = keeper.used;
        asked.push((name, spec, wanted));
    }
    let wanted: Vec<_> = asked.iter().filter_map(|(.., one)| one.clone()).collect();
    let mut given = reading.sources.provide(&wanted).into_iter();
    for (name, spec, wanted) in asked {
        let given = wanted.and_then(|wanted| Some((wanted, given.next()?)));
        let held = reading.far(name, spec, given, faults);
        vault.insert(name.clone(), held);
    }
    (vault, used)
}

/// Leaves these alone, and what is needed to get at them.
pub(super) fn only(specs: &mut Vec<(String, spec::Secret)>, names: &[String]) {
    let wanted = |name: &String| names.contains(name);
    let named = specs.iter().filter(|(name, _)| wanted(name));
    let needed: Vec<String> = named
        .flat_map(|(_, spec)| provider::credentials(spec))
        .map(|(_, name)| name.clone())
        .collect();
    specs.retain(|(name, _)| wanted(name) || needed.contains(name));
}

impl Reading<'_> {
    /// One that is in the environment or in a file; `None`: it is neither.
    fn near(&mut self, name: &str, spec: &spec::Secret, faults: &mut Faults) -> Option<Held> {
        let at = at(name);
        let source = Source {
            env: spec.env.clone(),
            file: spec.file.clone(),
        };
        let far = [
            spec.command.is_some(),
            spec.vault.is_some(),
            spec.azure.is_some(),
        ];
        let near = [source.env.is_some(), source.file.is_some()];
        let named = far.iter().chain(&near).filter(|named| **named).count();
        if named != 1 {
            let why = "a secret is a reference: exactly one of `env`, `file`, `command`, `vault` and `azure`";
            faults.error(at, why);
            return Some(Held::default());
        }
        if far.contains(&true) {
            return None;
        }
        provider::only_for_providers(spec, &at, faults);
        let current = value(&source, &at, self.sources, faults);
        let file = source.file.as_deref();
        let provided = current.map(|value| Provided {
            value,
            made: file.and_then(|file| self.sources.written(file)),
            previous: None,
        });
        let about = Described {
            provider: if file.is_some() { "file" } else { "env" },
            place: source.file.or(source.env).unwrap_or_default(),
            rotate_after: provider::rotate_after(spec, &at, faults),
            fetched: false,
        };
        Some(self.held(name, spec, provided, about, faults))
    }

    /// One that a provider was asked for.
    fn far(
        &mut self,
        name: &str,
        spec: &spec::Secret,
        given: Option<(Wanted, Result<Provided, Unprovided>)>,
        faults: &mut Faults,
    ) -> Held {
        let Some((wanted, given)) = given else {
            return Held::default();
        };
        let at = at(name).key(wanted.provider.word());
        let provided = match given {
            Ok(provided) => faults.take(&at, sound(provided)),
            Err(Unprovided::NotAsked) if self.invent => {
                let why = format!(
                    "{} was not asked: all else was looked at with an invented value",
                    wanted.provider
                );
                faults.warning(at, why);
                invented()
            }
            Err(Unprovided::NotAsked) => None,
            Err(Unprovided::Failed(why)) => {
                faults.error(at, format!("no value from {}: {why}", wanted.provider));
                None
            }
        };
        let about = Described {
            provider: wanted.provider.word(),
            place: wanted.provider.to_string(),
            rotate_after: provider::rotate_after(spec, &self::at(name), faults),
            fetched: true,
        };
        self.held(name, spec, provided, about, faults)
    }

    fn held(
        &mut self,
        name: &str,
        spec: &spec::Secret,
        provided: Option<Provided>,
        about: Described,
        faults: &mut Faults,
    ) -> Held {
        let at = at(name).key("previous");
        let previous = spec.previous.as_ref();
        let previous = previous.and_then(|source| value(source, &at, self.sources, faults));
        let mut held = Held {
            made: provided.as_ref().and_then(|provided| provided.made),
            previous,
            about,
            ..Held::default()
        };
        let old = self.before.and_then(|before| before.get(name));
        if let (Some(old), Some(given)) = (old.and_then(|old| old.current.as_ref()), &provided) {
            faults.take(&self::at(name), given.value.replaces(old));
        }
        if let (Some(keep), Some(provided)) = (spec.previous_for, &provided) {
            held.replaced = replaced(old, provided, keep.millis(), self.now);
        }
        let known =
            |old: &&Held| old.current.as_ref() == provided.as_ref().map(|given| &given.value);
        held.since = old.filter(known).map_or(self.now, |old| old.since);
        held.current = provided.map(|provided| provided.value);
        held
    }
}

fn at(name: &str) -> Path {
    Path::default().key("secrets").key(name)
}

/// What is still accepted: values that this process used, for `keep` since it stopped, and the one before the current
/// one as the provider has it, for `keep` since the current one was made.
fn replaced(old: Option<&Held>, given: &Provided, keep: u64, now: u64) -> Vec<(Secret, u64)> {
    let other = |one: &Secret| *given.value.0 != *one.0;
    let going = old.and_then(|old| old.current.as_ref());
    let going = going.map(|one| (one.clone(), now.saturating_add(keep)));
    let gone = old.iter().flat_map(|old| old.replaced.iter().cloned());
    let made = given.made.map(|made| made.saturating_add(keep));
    let known = given.previous.clone().zip(made);
    let all = going.into_iter().chain(gone).chain(known);
    let mut kept: Vec<(Secret, u64)> = Vec::new();
    for (one, until) in all.filter(|(one, until)| *until > now && other(one)) {
        if kept.iter().all(|(known, _)| *known.0 != *one.0) {
            kept.push((one, until));
        }
    }
    kept
}

fn value(
    source: &Source,
    at: &Path,
    sources: &mut dyn Sources,
    faults: &mut Faults,
) -> Option<Secret> {
    let bytes = match (&source.env, &source.file) {
        (Some(name), None) => match sources.env(name) {
            Some(text) => Zeroizing::new(text.into_bytes()),
            None => {
                faults.error(
                    at.key("env"),
                    format!("the environment variable {name} is not set"),
                );
                return None;
            }
        },
        (None, Some(file)) => match sources.read(file) {
            Ok(bytes) => Zeroizing::new(trimmed(&bytes).to_vec()),
            Err(why) => {
                faults.error(at.key("file"), format!("cannot read {file}: {why}"));
                return None;
            }
        },
        _ => {
            let why = "a secret is a reference: exactly one of `env` and `file`";
            faults.error(at.clone(), why);
            return None;
        }
    };
    faults.take(at, fitting(Secret(bytes)))
}

/// What a provider gave, in the same form as what a file holds.
fn sound(provided: Provided) -> Result<Provided, String> {
    let bare = |secret: &Secret| Secret(Zeroizing::new(trimmed(&secret.0).to_vec()));
    Ok(Provided {
        value: fitting(bare(&provided.value))?,
        // One that could not be used before is none.
        previous: provided
            .previous
            .and_then(|previous| fitting(bare(&previous)).ok()),
        ..provided
    })
}

fn fitting(secret: Secret) -> Result<Secret, String> {
    let length = secret.0.len();
    if length == 0 || length > MOST_BYTES {
        let why = format!("a secret has from 1 to {MOST_BYTES} bytes, this one {length}");
        return Err(why);
    }
    Ok(secret)
}

/// Nobody knows it: should it ever serve, it lets nobody in.
fn invented() -> Option<Provided> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).ok()?;
    Some(Provided {
        value: Secret(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes).into_bytes())),
        made: None,
        previous: None,
    })
}

/// Editors end files with a line end that nobody means.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Hands secrets to checks and remembers which were asked for.
pub(super) struct Keeper<'v> {
    pub(super) vault: &'v Vault,
    pub(super) used: BTreeSet<String>,
}

impl crate::context::Secrets for Keeper<'_> {
    fn secret(&mut self, name: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
        let Some(held) = self.vault.get(name) else {
            let hint = suggest::hint(name, self.vault.keys().map(String::as_str));
            return Err(format!("there is no secret `{name}`{hint}"));
        };
        self.used.insert(name.to_owned());
        let values = held.current.iter().chain(&held.previous);
        let values = values.chain(held.replaced.iter().map(|(value, _)| value));
        let values: Vec<_> = values.map(|secret| secret.0.clone()).collect();
        if held.current.is_none() {
            return Err(format!("the secret `{name}` could not be read"));
        }
        Ok(values)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
