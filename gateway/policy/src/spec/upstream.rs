//! Upstream groups, as operators write them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::gateway::yes;
use super::value::OneOrMany;
use crate::scalar::Duration;

/// A group of servers that serve the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// `host:port`, `unix:/path/to/socket`, or a map with `address` and `weight`.
    pub(crate) servers: Vec<Server>,
    /// Who is next. All honour weights. Default: round_robin.
    #[serde(default)]
    pub(crate) balance: Balance,
    /// Ask the servers whether they are well; those that are not get no requests.
    pub(crate) health: Option<Health>,
    /// Timeouts; every one has a default.
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    /// TLS towards the servers.
    pub(crate) tls: Option<Tls>,
    /// What is spoken. Default: h1.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// How often a request that no server has seen is tried on another one. Default: 1, at most 10.
    pub(crate) retries: Option<u64>,
    /// Idle connections kept per server. Default: 128, at most 10000.
    pub(crate) keepalive: Option<u64>,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) weight: u64,
}

/// A server written as a map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Server")]
struct ServerMap {
    /// `host:port` or `unix:/path/to/socket`.
    address: String,
    /// Share of requests against the others, 1 to 1000. Default: 1.
    #[serde(default = "one")]
    weight: u64,
}

fn one() -> u64 {
    1
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Server;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`host:port`, `unix:/path`, or a map with `address`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Server, E> {
                Ok(Server {
                    address: text.to_owned(),
                    weight: 1,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Server, A::Error> {
                let map = ServerMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Server {
                    address: map.address,
                    weight: map.weight,
                })
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for Server {
    fn schema_name() -> Cow<'static, str> {
        "ServerOrAddress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<ServerMap>();
        json_schema!({ "anyOf": [{ "type": "string" }, map] })
    }
}

/// Who is next.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// In turn, as often as the weights say: the same as `round_robin`, for readers who look for the word.
    Weighted,
    /// By chance.
    Random,
    /// The same key goes to the same server while it is well.
    ConsistentHash(ConsistentHash),
}

/// What the same server is chosen by.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistentHash {
    /// `client`, `path`, `user`, `header:NAME` or `cookie:NAME`.
    pub(crate) key: String,
}

/// Active health checks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// Path that is asked for with GET.
    pub(crate) path: String,
    /// Host header of the question. Default: the server's address.
    pub(crate) host: Option<String>,
    /// Time between questions. Default: 5s, from 100ms to 1h.
    pub(crate) every: Option<Duration>,
    /// Time for an answer. Default: 2s, at most 1m.
    pub(crate) timeout: Option<Duration>,
    /// Good answers in a row until a server is well again. Default: 2, at most 100.
    pub(crate) healthy_after: Option<u64>,
    /// Bad answers in a row until it is not. Default: 3, at most 100.
    pub(crate) unhealthy_after: Option<u64>,
    /// Good status: `200`, `2xx` or `200-299`. Default: 2xx.
    #[serde(default)]
    pub(crate) expect: OneOrMany<String>,
}

/// Timeouts towards the servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// For a connection, TLS included. Default: 2s, at most 5m.
    pub(crate) connect: Option<Duration>,
    /// Between two reads of an answer. Default: 60s, at most 24h.
    pub(crate) read: Option<Duration>,
    /// For a write. Default: 60s, at most 24h.
    pub(crate) write: Option<Duration>,
    /// How long an idle connection is kept. Default: 60s, at most 1h.
    pub(crate) idle: Option<Duration>,
}

/// TLS towards the servers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Server name that is asked for and verified. Default: the server's host.
    pub(crate) sni: Option<String>,
    /// Whether the certificate is verified. Default: true.
    #[serde(default = "yes")]
    pub(crate) verify: bool,
    /// PEM file of authorities. Default: the system's.
    pub(crate) ca: Option<String>,
    /// Certificate that the gateway shows.
    pub(crate) client: Option<ClientCertificate>,
}

/// What the gateway shows to the servers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificate {
    /// PEM file of the chain, leaf first.
    pub(crate) cert: String,
    /// PEM file of the private key.
    pub(crate) key: String,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 in plain text with prior knowledge, as gRPC servers speak it.
    H2c,
}
