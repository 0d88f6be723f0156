//! Where counters, leases and values live, as a policy says it.

use std::fmt;
use std::time::Duration;

use super::Secret;

/// Where counters, leases and values live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which kind of store.
    pub kind: StateKind,
    /// Most keys that are kept per store on this node; when full the oldest counters go first and a metric says so.
    pub max_keys: usize,
    /// What values at rest are sealed with: current first, then what is still opened. Empty: they are not.
    pub seal: Vec<Secret>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            kind: StateKind::Memory,
            max_keys: 1_000_000,
            seal: Vec::new(),
        }
    }
}

/// Kinds of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateKind {
    /// In this process: a restart empties it.
    Memory,
    /// Values in a file, counters and leases in this process.
    File {
        /// The file, relative to the policy's folder.
        path: String,
    },
    /// In Redis or Valkey.
    Redis(Box<Redis>),
}

/// A Redis or Valkey, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it is.
    pub reach: Reach,
    /// Whether it is reached over TLS.
    pub tls: bool,
    /// PEM file of the authorities that sign its certificate, relative to the policy's folder; `None`: the machine's.
    pub ca: Option<String>,
    /// User of its access lists.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Password of the sentinels.
    pub sentinel_password: Option<Secret>,
    /// Number of the database; always 0 in a cluster.
    pub database: i64,
    /// Every key begins with it.
    pub prefix: String,
    /// Longest that one operation may take.
    pub timeout: Duration,
    /// How often bans are fetched for new connections, and whether the server answers is looked at.
    pub sync: Duration,
    /// After how long the places of a gateway that crashed come free.
    pub lease: Duration,
}

/// Where a Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Host and port.
    Tcp(String, u16),
    /// Unix socket, relative to the policy's folder.
    Unix(String),
    /// The primary that sentinels name.
    Sentinel {
        /// Name of the primary.
        service: String,
        /// The sentinels.
        sentinels: Vec<(String, u16)>,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<(String, u16)>),
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, nodes: &[(String, u16)]| {
            nodes.iter().enumerate().try_for_each(|(at, (host, port))| {
                let comma = if at > 0 { "," } else { "" };
                write!(f, "{comma}{host}:{port}")
            })
        };
        match self {
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Sentinel { service, sentinels } => {
                write!(f, "{service} of sentinels ")?;
                list(f, sentinels)
            }
            Self::Cluster(nodes) => {
                f.write_str("cluster ")?;
                list(f, nodes)
            }
        }
    }
}
