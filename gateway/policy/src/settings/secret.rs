//! Secrets that a provider must be asked for, as a policy says it, and what is told about secrets.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::Secret;

/// A secret that a provider must be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in the policy.
    pub name: String,
    /// Who has it.
    pub provider: Provider,
    /// How old a value may become before it is fetched again.
    pub cache: Duration,
    /// How long fetching may take.
    pub timeout: Duration,
    /// How long the value before stays good after the current one was made.
    pub previous_for: Option<Duration>,
}

/// Who has a secret, and how to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// A program that prints it.
    Command(Command),
    /// A HashiCorp Vault.
    Vault(Vault),
    /// An Azure Key Vault.
    Azure(Azure),
}

/// A program that prints a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables that it sees.
    pub environment: Vec<String>,
}

/// A field of a secret in a Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// Scheme, host, port and perhaps a path, without a slash at its end.
    pub address: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// Where the key-value store is mounted.
    pub mount: String,
    /// Path below the mount.
    pub path: String,
    /// Field of the secret.
    pub field: String,
    /// Whether the store keeps versions.
    pub versioned: bool,
    /// The one version that is asked for.
    pub version: Option<u64>,
    /// Authorities, PEM.
    pub ca: Option<Bytes>,
    /// How to come in.
    pub access: VaultAccess,
}

/// How a Vault lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAccess {
    /// By a token.
    Token(Secret),
    /// As an application.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// The role's id.
        role_id: Secret,
        /// What proves it.
        secret_id: Secret,
    },
}

/// A secret in an Azure Key Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Azure {
    /// Scheme, host and port, without a slash at its end.
    pub vault_url: String,
    /// Name of the secret.
    pub name: String,
    /// The one version that is asked for.
    pub version: Option<String>,
    /// Whom tokens are for.
    pub resource: String,
    /// Authorities, PEM.
    pub ca: Option<Bytes>,
    /// How to come in.
    pub access: AzureAccess,
}

/// How an Azure Key Vault lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureAccess {
    /// As an application.
    Client {
        /// Where its tokens come from, the tenant included.
        authority: String,
        /// Its id.
        client_id: String,
        /// What proves it.
        client_secret: Secret,
    },
    /// As the machine.
    Managed {
        /// Where its tokens come from.
        endpoint: String,
        /// Which of its identities.
        client_id: Option<String>,
    },
}

impl Wanted {
    /// Whether both ask for the same value, however they get in: a value stays good when a credential is replaced.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        let named = (&self.name, self.previous_for) == (&other.name, other.previous_for);
        named && self.provider.place() == other.provider.place()
    }
}

impl Provider {
    /// The word in the policy.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Vault(_) => "vault",
            Self::Azure(_) => "azure",
        }
    }

    /// The same without what lets in: equal ones have the same value.
    fn place(&self) -> Self {
        let mut place = self.clone();
        let nothing = || Secret(Vec::new().into());
        match &mut place {
            Self::Command(_) => {}
            Self::Vault(vault) => {
                vault.ca = None;
                vault.access = VaultAccess::Token(nothing());
            }
            Self::Azure(azure) => {
                azure.ca = None;
                azure.access = AzureAccess::Managed {
                    endpoint: String::new(),
                    client_id: None,
                };
            }
        }
        place
    }
}

/// Where it is, for operators.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Arguments may hold what nobody should read.
            Self::Command(command) => f.write_str(&command.program),
            Self::Vault(vault) => write!(
                f,
                "{}/{} {}#{}",
                vault.address, vault.mount, vault.path, vault.field
            ),
            Self::Azure(azure) => write!(f, "{} {}", azure.vault_url, azure.name),
        }
    }
}

/// What a provider gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The value.
    pub value: Secret,
    /// When it was made, Unix milliseconds, where the provider knows.
    pub made: Option<u64>,
    /// The value before it, where the provider keeps it.
    pub previous: Option<Secret>,
}

/// What is told about a secret of a policy. Never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// The word of its provider.
    pub provider: &'static str,
    /// Where it is.
    pub place: String,
    /// When its value was made, as far as anybody knows, else when this process first had it; Unix milliseconds.
    pub made: u64,
    /// How old it should become at most.
    pub rotate_after: Option<Duration>,
    /// Until when values before it are accepted, Unix milliseconds; `u64::MAX`: for as long as the policy says so.
    pub accepted: Vec<u64>,
    /// Whether a provider is asked for it.
    pub fetched: bool,
}
