//! Azure Key Vault's REST API, and the tokens that it asks for: an application's, or a machine's.
//! <https://learn.microsoft.com/rest/api/keyvault/secrets/>

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use policy::settings::Secret;
use policy::settings::secret::{Azure, AzureAccess, Provided};
use serde_json::Value;
use zeroize::Zeroizing;

use super::fetch::{Pass, World, in_grace};
use super::question::{Answer, Question, ask, hidden};
use crate::remote::Client;

const API: &str = "api-version=7.4";
/// Pages of the list of versions that are read, newest or not.
const MOST_PAGES: usize = 20;

/// One Key Vault, with who asks.
struct Asked<'a> {
    world: &'a World,
    client: Client,
    place: &'a Azure,
}

/// A version in the list.
struct Version {
    id: String,
    made: u64,
}

pub(super) async fn value(
    world: &World,
    place: &Azure,
    keep: Option<Duration>,
) -> Result<Provided, String> {
    let client = world.client(place.ca.as_ref())?;
    let asked = Asked {
        world,
        client,
        place,
    };
    let Azure {
        vault_url,
        name,
        version,
        ..
    } = place;
    let url = match version {
        Some(version) => format!("{vault_url}/secrets/{name}/{version}?{API}"),
        None => format!("{vault_url}/secrets/{name}?{API}"),
    };
    let answer = asked.get(&url).await?;
    let made = answer.number("/attributes/created");
    let made = made.map(|seconds| seconds.saturating_mul(1_000));
    let current = answer.text("/id").and_then(last_segment);
    let previous = match current {
        Some(current) if version.is_none() && in_grace(made, keep) => {
            asked.before(current, made.unwrap_or(0)).await
        }
        Some(_) | None => None,
    };
    Ok(Provided {
        value: of(&answer)?,
        made,
        previous,
    })
}

fn of(answer: &Answer) -> Result<Secret, String> {
    let text = answer.text("/value");
    let text = text.ok_or_else(|| "the answer has no value".to_owned())?;
    Ok(Secret(Zeroizing::new(text.as_bytes().to_vec())))
}

impl Asked<'_> {
    /// The newest enabled version that is older than the current one. What cannot be had is not accepted.
    async fn before(&self, current: &str, made: u64) -> Option<Secret> {
        let Azure {
            vault_url, name, ..
        } = self.place;
        let mut url = format!("{vault_url}/secrets/{name}/versions?{API}&maxresults=25");
        let mut best: Option<Version> = None;
        for _ in 0..MOST_PAGES {
            let page = self.get(&url).await.ok()?;
            let listed = page.value("/value").and_then(Value::as_array);
            let known = listed.into_iter().flatten().filter_map(enabled);
            for version in known.filter(|one| one.id != current && one.made <= made) {
                if best.as_ref().is_none_or(|best| version.made > best.made) {
                    best = Some(version);
                }
            }
            // The token goes to no other server than the one that the policy names.
            let next = page.text("/nextLink").filter(|next| !next.is_empty());
            let Some(next) = next else { break };
            if !next.starts_with(&format!("{vault_url}/")) {
                return None;
            }
            next.clone_into(&mut url);
        }
        let best = best?;
        let url = format!("{vault_url}/secrets/{name}/{}?{API}", best.id);
        of(&self.get(&url).await.ok()?).ok()
    }

    async fn get(&self, url: &str) -> Result<Answer, String> {
        let mut answer = self.once(url).await?;
        if answer.status == 401 {
            // The token may have been called back: another one, once.
            self.world.forget(&self.whom());
            answer = self.once(url).await?;
        }
        if answer.status == 200 {
            Ok(answer)
        } else {
            Err(answer.refusal())
        }
    }

    async fn once(&self, url: &str) -> Result<Answer, String> {
        let token = self.token().await?;
        let mut bearer = Zeroizing::new(b"Bearer ".to_vec());
        bearer.extend_from_slice(&token.0);
        let question = Question {
            url,
            headers: vec![hidden("authorization", &bearer)?],
            body: None,
        };
        ask(&self.client, question).await
    }

    fn whom(&self) -> String {
        let resource = &self.place.resource;
        match &self.place.access {
            AzureAccess::Client {
                authority,
                client_id,
                ..
            } => {
                format!("application {authority} {client_id} {resource}")
            }
            AzureAccess::Managed {
                endpoint,
                client_id,
            } => {
                format!("machine {endpoint} {client_id:?} {resource}")
            }
        }
    }

    async fn token(&self) -> Result<Secret, String> {
        if let Some(pass) = self.world.pass(&self.whom()) {
            return Ok(pass.token);
        }
        let answer = match &self.place.access {
            AzureAccess::Client {
                authority,
                client_id,
                client_secret,
            } => {
                self.application(authority, client_id, client_secret)
                    .await?
            }
            AzureAccess::Managed {
                endpoint,
                client_id,
            } => self.machine(endpoint, client_id.as_deref()).await?,
        };
        let token = answer
            .text("/access_token")
            .filter(|_| answer.status == 200);
        let token = token.ok_or_else(|| format!("no token to ask with: {}", answer.refusal()))?;
        let token = Secret(Zeroizing::new(token.as_bytes().to_vec()));
        let lasts = Duration::from_secs(answer.number("/expires_in").unwrap_or(0).min(86_400));
        let pass = Pass {
            token: token.clone(),
            until: Instant::now() + lasts * 4 / 5,
        };
        self.world.keep(self.whom(), pass);
        Ok(token)
    }

    /// RFC 6749, 4.4.
    async fn application(
        &self,
        authority: &str,
        client_id: &str,
        secret: &Secret,
    ) -> Result<Answer, String> {
        let scope = format!("{}/.default", self.place.resource);
        let secret = Zeroizing::new(String::from_utf8_lossy(&secret.0).into_owned());
        let body = pairs(&[
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", &secret),
            ("scope", &scope),
        ]);
        let question = Question {
            url: &format!("{authority}/oauth2/v2.0/token"),
            headers: Vec::new(),
            body: Some((
                "application/x-www-form-urlencoded",
                Zeroizing::new(body.into_bytes()),
            )),
        };
        ask(&self.client, question).await
    }

    async fn machine(&self, endpoint: &str, client_id: Option<&str>) -> Result<Answer, String> {
        let mut query = vec![
            ("api-version", "2018-02-01"),
            ("resource", self.place.resource.as_str()),
        ];
        query.extend(client_id.map(|client_id| ("client_id", client_id)));
        let question = Question {
            url: &format!("{endpoint}?{}", pairs(&query)),
            // Without it nobody is let in: what a page makes a browser send cannot have it.
            headers: vec![(
                HeaderName::from_static("metadata"),
                HeaderValue::from_static("true"),
            )],
            body: None,
        };
        ask(&self.client, question).await
    }
}

fn pairs(pairs: &[(&str, &str)]) -> String {
    // As long as it can become, or nearly: growing would leave copies behind.
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(4096));
    form.extend_pairs(pairs).finish()
}

fn enabled(listed: &Value) -> Option<Version> {
    let attributes = listed.get("attributes")?;
    let on = attributes.get("enabled").and_then(Value::as_bool) == Some(true);
    let id = listed
        .get("id")
        .and_then(Value::as_str)
        .and_then(last_segment)?;
    let made = attributes.get("created").and_then(Value::as_u64)?;
    on.then(|| Version {
        id: id.to_owned(),
        made: made.saturating_mul(1_000),
    })
}

/// `…/secrets/NAME/VERSION`: the version.
fn last_segment(id: &str) -> Option<&str> {
    let (_, version) = id.rsplit_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric();
    (!version.is_empty() && version.chars().all(plain)).then_some(version)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_disabled_version_is_none() {
        let listed = |enabled: bool| json!({"id": "https://v/secrets/jwt/abc", "attributes": {"enabled": enabled, "created": 7}});
        assert_eq!(enabled(&listed(true)).unwrap().made, 7_000);
        assert!(enabled(&listed(false)).is_none());
        assert_eq!(last_segment("https://v/secrets/jwt/a?b"), None);
    }
}
