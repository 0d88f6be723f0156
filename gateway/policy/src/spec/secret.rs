//! Secrets as operators write them: references, never values.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::scalar::Duration;

/// A secret: where it is found, and what else is accepted while it is replaced. Exactly one of `env`, `file`, `command`,
/// `vault` and `azure`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secret {
    /// Environment variable that holds it.
    pub(crate) env: Option<String>,
    /// File that holds it; one trailing line end is not part of it.
    pub(crate) file: Option<String>,
    /// Program that prints it, by its whole path, and its arguments. No shell; it sees of the environment only PATH,
    /// HOME, USER, LANG and what `environment` names, and what it writes to standard error goes nowhere.
    pub(crate) command: Option<Vec<String>>,
    /// command: variables of the gateway's environment that it sees as well.
    #[serde(default)]
    pub(crate) environment: Vec<String>,
    /// A HashiCorp Vault, or what speaks its language (OpenBao).
    pub(crate) vault: Option<Vault>,
    /// An Azure Key Vault.
    pub(crate) azure: Option<Azure>,
    /// The value before this one: accepted, never used to make anything new.
    pub(crate) previous: Option<Source>,
    /// After a change the value before is accepted for this long. A restart forgets it (name it as `previous` when that
    /// matters), except where the provider keeps versions: the one before is then accepted for this long after the
    /// current one was made.
    pub(crate) previous_for: Option<Duration>,
    /// command, vault, azure: how old the value may become before it is fetched again, ahead of time and in the
    /// background. Default: 5m, from 1s to 24h.
    pub(crate) cache: Option<Duration>,
    /// command, vault, azure: how long fetching it may take. Default: 5s, from 100ms to 1m.
    pub(crate) timeout: Option<Duration>,
    /// How old it should become at most: older, and an event and a metric say so. Default: any age.
    pub(crate) rotate_after: Option<Duration>,
}

/// Where a secret is found.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Environment variable that holds it.
    pub(crate) env: Option<String>,
    /// File that holds it.
    pub(crate) file: Option<String>,
}

/// A field of a secret in a Vault's key-value store.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "VaultSecret")]
pub(crate) struct Vault {
    /// Where it answers: `https://vault.internal:8200`. Plain HTTP to this machine only.
    pub(crate) address: String,
    /// Path of the secret below the mount: `shop/jwt`.
    pub(crate) path: String,
    /// Field of the secret that is the value. Default: value.
    pub(crate) field: Option<String>,
    /// Where the key-value store is mounted. Default: secret.
    pub(crate) mount: Option<String>,
    /// Version of the key-value store, 1 or 2; only 2 keeps versions. Default: 2.
    pub(crate) kv: Option<u8>,
    /// Namespace. Default: none.
    pub(crate) namespace: Option<String>,
    /// This version of the secret and no other. Default: the newest.
    pub(crate) version: Option<u64>,
    /// Name of the secret (env or file) that is its token; either this or `app_role`. A token that may be renewed is.
    pub(crate) token: Option<String>,
    /// Logs in as an application.
    pub(crate) app_role: Option<AppRole>,
    /// PEM file of the authorities that its certificate is believed by. Default: those of `remote`, else the system's.
    pub(crate) ca: Option<String>,
}

/// A log-in by role and secret.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppRole {
    /// Name of the secret (env or file) that is the role's id.
    pub(crate) role_id: String,
    /// Name of the secret (env or file) that is the secret id.
    pub(crate) secret_id: String,
    /// Where the method is mounted. Default: approle.
    pub(crate) mount: Option<String>,
}

/// A secret in an Azure Key Vault.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "AzureSecret")]
pub(crate) struct Azure {
    /// Where it answers: `https://shop.vault.azure.net`.
    pub(crate) vault_url: String,
    /// Name of the secret.
    pub(crate) name: String,
    /// This version of the secret and no other. Default: the newest.
    pub(crate) version: Option<String>,
    /// Directory in which the application is registered; with `client_id` and `client_secret`.
    pub(crate) tenant: Option<String>,
    /// The application's id; or that of the managed identity, where the machine has several.
    pub(crate) client_id: Option<String>,
    /// Name of the secret (env or file) that is the application's secret.
    pub(crate) client_secret: Option<String>,
    /// Who gives tokens to applications. Default: `https://login.microsoftonline.com`.
    pub(crate) authority: Option<String>,
    /// Whom tokens are for. Default: `https://vault.azure.net`.
    pub(crate) resource: Option<String>,
    /// Instead of an application: the managed identity of the machine.
    pub(crate) managed_identity: Option<ManagedIdentity>,
    /// PEM file of the authorities that certificates are believed by. Default: those of `remote`, else the system's.
    pub(crate) ca: Option<String>,
}

/// The identity of the machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagedIdentity {
    /// Who gives its tokens. Default: http://169.254.169.254/metadata/identity/oauth2/token.
    pub(crate) endpoint: Option<String>,
}
