//! Secrets of providers: from what was written to whom the server asks, and how. Asks nobody.

use std::time::Duration;

use bytes::Bytes;

use crate::compile::faults::Faults;
use crate::compile::gateway::{duration, seconds};
use crate::context::Secrets;
use crate::fault::Path;
use crate::settings::Secret;
use crate::settings::secret::{Azure, AzureAccess, Command, Provider, Vault, VaultAccess, Wanted};
use crate::sources::Sources;
use crate::spec::secret as spec;

use super::{Keeper, Reading};

/// Where a machine's identity has its tokens, on Azure's own machines.
const IDENTITY: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const RESOURCE: &str = "https://vault.azure.net";

const CACHE: Duration = seconds(300);
const TIMEOUT: Duration = seconds(5);

/// What to ask for; `None` when it is faulty, which has been said.
pub(super) fn wanted(
    name: &str,
    spec: &spec::Secret,
    reading: &mut Reading<'_>,
    keeper: &mut Keeper<'_>,
    faults: &mut Faults,
) -> Option<Wanted> {
    let at = super::at(name);
    let errors = faults.errors();
    let bounds = (seconds(1), seconds(86_400));
    let cache = duration(&at.key("cache"), spec.cache, CACHE, bounds, faults);
    let bounds = (Duration::from_millis(100), seconds(60));
    let timeout = duration(&at.key("timeout"), spec.timeout, TIMEOUT, bounds, faults);
    if spec.command.is_none() && !spec.environment.is_empty() {
        faults.error(at.key("environment"), "is for `command` alone");
    }
    let mut access = Access {
        at: &at,
        sources: reading.sources,
        ca: reading.ca,
        keeper,
        faults,
    };
    let provider = match (&spec.command, &spec.vault, &spec.azure) {
        (Some(words), ..) => access.command(words, &spec.environment),
        (_, Some(vault), _) => access.vault(vault),
        (.., Some(azure)) => access.azure(azure),
        (None, None, None) => None,
    };
    provider
        .filter(|_| faults.errors() == errors)
        .map(|provider| Wanted {
            name: name.to_owned(),
            provider,
            cache,
            timeout,
            previous_for: spec.previous_for.map(|keep| keep.0),
        })
}

/// Keys that mean nothing for a secret that is read anew with every load.
pub(super) fn only_for_providers(spec: &spec::Secret, at: &Path, faults: &mut Faults) {
    let given = [
        ("cache", spec.cache.is_some()),
        ("timeout", spec.timeout.is_some()),
        ("environment", !spec.environment.is_empty()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        let why = "is for `command`, `vault` and `azure`: a file is read when it changes";
        faults.error(at.key(key), why);
    }
}

pub(super) fn rotate_after(
    spec: &spec::Secret,
    at: &Path,
    faults: &mut Faults,
) -> Option<Duration> {
    let bounds = (seconds(1), seconds(10 * 365 * 86_400));
    let at = at.key("rotate_after");
    let given = spec.rotate_after?;
    Some(duration(&at, Some(given), given.0, bounds, faults))
}

/// Names of the secrets that let in, and the keys where they stand.
pub(super) fn credentials(spec: &spec::Secret) -> Vec<(&'static str, &String)> {
    let vault = spec.vault.as_ref();
    let role = vault.and_then(|vault| vault.app_role.as_ref());
    let azure = spec.azure.as_ref();
    [
        ("token", vault.and_then(|vault| vault.token.as_ref())),
        ("role_id", role.map(|role| &role.role_id)),
        ("secret_id", role.map(|role| &role.secret_id)),
        (
            "client_secret",
            azure.and_then(|azure| azure.client_secret.as_ref()),
        ),
    ]
    .into_iter()
    .filter_map(|(key, name)| Some((key, name?)))
    .collect()
}

/// One secret's provider, while it is compiled.
struct Access<'a, 'v> {
    at: &'a Path,
    sources: &'a mut dyn Sources,
    ca: Option<&'a String>,
    keeper: &'a mut Keeper<'v>,
    faults: &'a mut Faults,
}

impl Access<'_, '_> {
    fn command(&mut self, words: &[String], environment: &[String]) -> Option<Provider> {
        let at = self.at.key("command");
        let whole = |program: &&String| program.starts_with('/');
        let Some(program) = words.first().filter(whole) else {
            // A name would be looked up in whatever PATH the gateway happens to have.
            let why =
                "begins with the whole path of a program, such as [/usr/bin/pass, show, shop/jwt]";
            self.faults.error(at, why);
            return None;
        };
        if words
            .iter()
            .chain(environment)
            .any(|word| word.contains('\0'))
        {
            self.faults.error(at, "holds a zero byte");
            return None;
        }
        Some(Provider::Command(Command {
            program: program.clone(),
            arguments: words.iter().skip(1).cloned().collect(),
            environment: environment.to_vec(),
        }))
    }

    fn vault(&mut self, spec: &spec::Vault) -> Option<Provider> {
        let at = self.at.key("vault");
        let address = self.url(&at.key("address"), &spec.address);
        let mount = spec.mount.as_deref().unwrap_or("secret");
        let mount = self.path(&at.key("mount"), mount);
        let path = self.path(&at.key("path"), &spec.path);
        let versioned = match spec.kv {
            None | Some(2) => true,
            Some(1) => false,
            Some(other) => {
                let why = format!("{other} is no version of the key-value store: 1 or 2");
                self.faults.error(at.key("kv"), why);
                return None;
            }
        };
        if spec.version.is_some() && !versioned {
            self.faults
                .error(at.key("version"), "only `kv: 2` keeps versions");
        }
        let access = self.vault_access(spec, &at);
        Some(Provider::Vault(Vault {
            address: address?,
            namespace: spec.namespace.clone(),
            mount: mount?,
            path: path?,
            field: spec.field.clone().unwrap_or_else(|| "value".to_owned()),
            versioned,
            version: spec.version,
            ca: self.authorities(&at, spec.ca.as_ref())?,
            access: access?,
        }))
    }

    fn vault_access(&mut self, spec: &spec::Vault, at: &Path) -> Option<VaultAccess> {
        match (&spec.token, &spec.app_role) {
            (Some(token), None) => Some(VaultAccess::Token(
                self.credential(&at.key("token"), token)?,
            )),
            (None, Some(role)) => {
                let at = at.key("app_role");
                let mount = role.mount.as_deref().unwrap_or("approle");
                let mount = self.path(&at.key("mount"), mount);
                let role_id = self.credential(&at.key("role_id"), &role.role_id);
                let secret_id = self.credential(&at.key("secret_id"), &role.secret_id);
                Some(VaultAccess::AppRole {
                    mount: mount?,
                    role_id: role_id?,
                    secret_id: secret_id?,
                })
            }
            (Some(_), Some(_)) | (None, None) => {
                self.faults
                    .error(at.clone(), "needs exactly one of `token` and `app_role`");
                None
            }
        }
    }

    fn azure(&mut self, spec: &spec::Azure) -> Option<Provider> {
        let at = self.at.key("azure");
        let vault_url = self.url(&at.key("vault_url"), &spec.vault_url);
        let plain = |text: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !text.is_empty() && text.len() <= 127 && text.chars().all(known)
        };
        let version = spec.version.as_deref();
        for (key, text) in [("name", Some(spec.name.as_str())), ("version", version)] {
            if text.is_some_and(|text| !plain(text)) {
                let why = "up to 127 letters, digits and `-`";
                self.faults.error(at.key(key), why);
            }
        }
        let resource = spec.resource.as_deref().unwrap_or(RESOURCE);
        let resource = self.url(&at.key("resource"), resource);
        let access = self.azure_access(spec, &at);
        Some(Provider::Azure(Azure {
            vault_url: vault_url?,
            name: spec.name.clone(),
            version: spec.version.clone(),
            resource: resource?,
            ca: self.authorities(&at, spec.ca.as_ref())?,
            access: access?,
        }))
    }

    fn azure_access(&mut self, spec: &spec::Azure, at: &Path) -> Option<AzureAccess> {
        let application = (&spec.tenant, &spec.client_id, &spec.client_secret);
        match (application, &spec.managed_identity) {
            ((Some(tenant), Some(client_id), Some(secret)), None) => {
                let authority = spec.authority.as_deref().unwrap_or(AUTHORITY);
                let authority = self.url(&at.key("authority"), authority);
                let tenant = self.path(&at.key("tenant"), tenant);
                let client_secret = self.credential(&at.key("client_secret"), secret);
                Some(AzureAccess::Client {
                    authority: format!("{}/{}", authority?, tenant?),
                    client_id: client_id.clone(),
                    client_secret: client_secret?,
                })
            }
            ((None, client_id, None), Some(identity)) => {
                let endpoint = identity.endpoint.as_deref().unwrap_or(IDENTITY);
                let at = at.key("managed_identity").key("endpoint");
                Some(AzureAccess::Managed {
                    endpoint: self.url(&at, endpoint)?,
                    client_id: client_id.clone(),
                })
            }
            _ => {
                let why = "needs `tenant`, `client_id` and `client_secret`, or `managed_identity` (then `client_id` is optional)";
                self.faults.error(at.clone(), why);
                None
            }
        }
    }

    /// What lets in; itself in the environment or in a file, so that getting one never waits for another.
    fn credential(&mut self, at: &Path, name: &str) -> Option<Secret> {
        let near = |why| format!("{why}; what lets in must itself be `env` or `file`");
        let mut values = self
            .faults
            .take(at, self.keeper.secret(name).map_err(near))?;
        if values.is_empty() {
            return None;
        }
        Some(Secret(values.swap_remove(0)))
    }

    fn authorities(&mut self, at: &Path, file: Option<&String>) -> Option<Option<Bytes>> {
        let Some(file) = file.or(self.ca) else {
            return Some(None);
        };
        let read = self.sources.read(file);
        let read = read.map_err(|why| format!("cannot read {file}: {why}"));
        self.faults.take(&at.key("ca"), read).map(Some)
    }

    fn url(&mut self, at: &Path, text: &str) -> Option<String> {
        self.faults.take(at, base(text))
    }

    fn path(&mut self, at: &Path, text: &str) -> Option<String> {
        self.faults.take(at, segments(text))
    }
}

/// A URL that paths are put behind. Values come this way: in the open to this machine only.
fn base(text: &str) -> Result<String, String> {
    let parsed = text.parse::<http::Uri>().ok();
    let host = parsed.as_ref().and_then(http::Uri::host);
    let scheme = parsed.as_ref().and_then(http::Uri::scheme_str);
    let sound = !text.contains(['#', '@', '?']) && matches!(scheme, Some("http" | "https"));
    let Some(host) = host.filter(|host| sound && !host.is_empty()) else {
        return Err(format!(
            "`{text}` is no URL that can be asked: write one like https://vault.example.com:8200"
        ));
    };
    let near = ["localhost", "[::1]", "169.254.169.254"].contains(&host)
        || host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback());
    if scheme == Some("http") && !near {
        return Err(
            "plain HTTP to another machine: whoever is on the way reads the secret".to_owned(),
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Segments of a path that mean the same to every reader without being encoded.
fn segments(text: &str) -> Result<String, String> {
    let text = text.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~@=+:".contains(c);
    let sound = |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(plain);
    if text.split('/').all(sound) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no path: segments of letters, digits, `-`, `_`, `.`, `~`, `@`, `=`, `+` and `:`"
    ))
}

#[cfg(test)]
mod tests;
