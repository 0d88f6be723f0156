//! HashiCorp Vault's HTTP API, which OpenBao speaks as well: key-value stores of version 1 and 2, tokens, AppRole.
//! <https://developer.hashicorp.com/vault/api-docs>

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use policy::settings::Secret;
use policy::settings::secret::{Provided, Vault, VaultAccess};
use serde_json::json;
use zeroize::Zeroizing;

use super::fetch::{Pass, World, in_grace};
use super::question::{Answer, Question, ask, hidden, written};
use crate::remote::Client;

/// How long a token that could not be renewed is left alone.
const LATER: Duration = Duration::from_secs(3_600);

/// One Vault, with who asks.
struct Asked<'a> {
    world: &'a World,
    client: Client,
    place: &'a Vault,
}

pub(super) async fn value(
    world: &World,
    place: &Vault,
    keep: Option<Duration>,
) -> Result<Provided, String> {
    let client = world.client(place.ca.as_ref())?;
    let asked = Asked {
        world,
        client,
        place,
    };
    let answer = asked.read(place.version).await?;
    let value = asked.field(&answer)?;
    let made = answer.text("/data/metadata/created_time").and_then(moment);
    let newest = answer.number("/data/metadata/version");
    let before = newest.and_then(|newest| newest.checked_sub(1));
    let before = before.filter(|before| *before > 0 && place.version.is_none());
    let previous = match before.filter(|_| in_grace(made, keep)) {
        // Deleted, destroyed or without that field: then there is none.
        Some(version) => match asked.read(Some(version)).await {
            Ok(answer) => asked.field(&answer).ok(),
            Err(_) => None,
        },
        None => None,
    };
    asked.renew().await;
    Ok(Provided {
        value,
        made,
        previous,
    })
}

impl Asked<'_> {
    async fn read(&self, version: Option<u64>) -> Result<Answer, String> {
        let Vault {
            address,
            mount,
            path,
            ..
        } = self.place;
        let url = match (self.place.versioned, version) {
            (true, Some(version)) => format!("{address}/v1/{mount}/data/{path}?version={version}"),
            (true, None) => format!("{address}/v1/{mount}/data/{path}"),
            (false, _) => format!("{address}/v1/{mount}/{path}"),
        };
        let answer = self.ask(&url, Some(&self.token().await?), None).await?;
        if answer.status != 403 || !self.logs_in() {
            return good(answer);
        }
        // The token may have been called back: another one, once.
        self.world.forget(&self.whom());
        good(self.ask(&url, Some(&self.token().await?), None).await?)
    }

    fn field(&self, answer: &Answer) -> Result<Secret, String> {
        let Vault {
            field, versioned, ..
        } = self.place;
        let fields = if *versioned { "/data/data" } else { "/data" };
        let value = answer.value(fields).and_then(|fields| fields.get(field));
        let text = value.and_then(|value| value.as_str());
        let text = text.ok_or_else(|| format!("the secret has no field `{field}` that is text"))?;
        Ok(Secret(Zeroizing::new(text.as_bytes().to_vec())))
    }

    fn logs_in(&self) -> bool {
        matches!(self.place.access, VaultAccess::AppRole { .. })
    }

    fn whom(&self) -> String {
        let Vault {
            address,
            namespace,
            access,
            ..
        } = self.place;
        let namespace = namespace.as_deref().unwrap_or_default();
        match access {
            VaultAccess::Token(token) => format!("token {address} {namespace} {}", hash(token)),
            VaultAccess::AppRole { mount, role_id, .. } => {
                format!("role {address} {namespace} {mount} {}", hash(role_id))
            }
        }
    }

    async fn token(&self) -> Result<Secret, String> {
        let (mount, role_id, secret_id) = match &self.place.access {
            VaultAccess::Token(token) => return Ok(token.clone()),
            VaultAccess::AppRole {
                mount,
                role_id,
                secret_id,
            } => (mount, role_id, secret_id),
        };
        if let Some(pass) = self.world.pass(&self.whom()) {
            return Ok(pass.token);
        }
        let text = |secret: &Secret| String::from_utf8_lossy(&secret.0).into_owned();
        let body = written(json!({"role_id": text(role_id), "secret_id": text(secret_id)}));
        let url = format!("{}/v1/auth/{mount}/login", self.place.address);
        let answer = self.ask(&url, None, Some(body)).await?;
        let token = answer.text("/auth/client_token");
        let token = token.ok_or_else(|| format!("the log-in was refused: {}", answer.refusal()))?;
        let token = Secret(Zeroizing::new(token.as_bytes().to_vec()));
        let lease = answer.number("/auth/lease_duration").unwrap_or(0);
        let pass = Pass {
            token: token.clone(),
            until: Instant::now() + most_of(lease),
        };
        self.world.keep(self.whom(), pass);
        Ok(token)
    }

    /// A token that may be renewed is, when half of its time has passed; one that may not stays as it is.
    async fn renew(&self) {
        let VaultAccess::Token(token) = &self.place.access else {
            return;
        };
        if self.world.pass(&self.whom()).is_some() {
            return;
        }
        let url = format!("{}/v1/auth/token/renew-self", self.place.address);
        let body = Zeroizing::new(b"{}".to_vec());
        let answer = self.ask(&url, Some(token), Some(body)).await;
        let lease = answer
            .ok()
            .and_then(|answer| answer.number("/auth/lease_duration"));
        let lease = lease.filter(|lease| *lease > 0);
        let pass = Pass {
            token: Secret(Zeroizing::default()),
            until: Instant::now() + lease.map_or(LATER, |lease| most_of(lease) / 2),
        };
        self.world.keep(self.whom(), pass);
    }

    async fn ask(
        &self,
        url: &str,
        token: Option<&Secret>,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer, String> {
        let mut headers = vec![(
            HeaderName::from_static("x-vault-request"),
            HeaderValue::from_static("true"),
        )];
        if let Some(token) = token {
            headers.push(hidden("x-vault-token", &token.0)?);
        }
        if let Some(namespace) = &self.place.namespace {
            headers.push(hidden("x-vault-namespace", namespace.as_bytes())?);
        }
        let question = Question {
            url,
            headers,
            body: body.map(|body| ("application/json", body)),
        };
        ask(&self.client, question).await
    }
}

fn good(answer: Answer) -> Result<Answer, String> {
    if answer.status == 200 {
        Ok(answer)
    } else {
        Err(answer.refusal())
    }
}

fn most_of(lease: u64) -> Duration {
    Duration::from_secs(lease.min(365 * 86_400)) * 4 / 5
}

/// RFC 3339 to Unix milliseconds.
fn moment(text: &str) -> Option<u64> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

/// Tells credentials apart without keeping them.
fn hash(secret: &Secret) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(&*secret.0);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_that_a_vault_writes() {
        assert_eq!(
            moment("2026-11-30T09:11:12.30876562Z"),
            Some(1_796_029_872_308)
        );
        assert_eq!(moment("yesterday"), None);
    }
}
