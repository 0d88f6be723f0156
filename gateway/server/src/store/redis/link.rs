//! How the server is reached: one, the primary that sentinels name, or a cluster; over TCP, TLS or a Unix socket.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use policy::settings::{Reach, Redis as Settings};
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode, Value,
};

/// How long reaching the server may take, name look-up and TLS included.
const REACHING: Duration = Duration::from_secs(3);

/// A connection that all requests share; copies are cheap.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Commands that name a key go where that is.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.send_packed_command(command).await,
            Self::Cluster(connection) => {
                redis::aio::ConnectionLike::req_packed_command(connection, command).await
            }
        }?
        .extract_error()
    }

    /// Asks one node of a cluster: that of an address, or any primary.
    pub(super) async fn ask_node(
        &mut self,
        command: &Cmd,
        node: Option<&(String, u16)>,
    ) -> RedisResult<Value> {
        let Self::Cluster(connection) = self else {
            return self.ask(command).await;
        };
        let route = match node {
            Some((host, port)) => SingleNodeRoutingInfo::ByAddress {
                host: host.clone(),
                port: *port,
            },
            None => SingleNodeRoutingInfo::RandomPrimary,
        };
        let route = RoutingInfo::SingleNode(route);
        connection
            .route_command(command.clone(), route)
            .await?
            .extract_error()
    }

    /// Primaries of a cluster; one that is none for a single server.
    pub(super) async fn nodes(&mut self) -> RedisResult<Vec<Option<(String, u16)>>> {
        let Self::Cluster(_) = self else {
            return Ok(vec![None]);
        };
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let answer = self.ask_node(&command, None).await?;
        let Value::Array(ranges) = answer else {
            return Ok(Vec::new());
        };
        let mut nodes: Vec<_> = ranges.iter().filter_map(primary).map(Some).collect();
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }
}

/// The first node of a range of slots: `[from, to, [host, port, id], replicas…]`.
fn primary(range: &Value) -> Option<(String, u16)> {
    let Value::Array(parts) = range else {
        return None;
    };
    let Some(Value::Array(node)) = parts.get(2) else {
        return None;
    };
    match node.as_slice() {
        [Value::BulkString(host), Value::Int(port), ..] => Some((
            String::from_utf8_lossy(host).into_owned(),
            u16::try_from(*port).ok()?,
        )),
        _ => None,
    }
}

/// Connects; a sentence when that is not possible.
pub(super) async fn connect(settings: &Settings, base: &Path) -> Result<Connection, String> {
    let certificates = certificates(settings, base)?;
    let reaching = async {
        match &settings.reach {
            Reach::Cluster(nodes) => cluster(settings, nodes, certificates).await,
            Reach::Sentinel { service, sentinels } => {
                sentinel(settings, service, sentinels, certificates).await
            }
            Reach::Tcp(host, port) => {
                one(settings, address(settings, host, *port), certificates).await
            }
            Reach::Unix(path) => {
                let address = ConnectionAddr::Unix(base.join(path));
                one(settings, address, None).await
            }
        }
    };
    match tokio::time::timeout(REACHING, reaching).await {
        Ok(reached) => reached.map_err(|why| why.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn certificates(settings: &Settings, base: &Path) -> Result<Option<TlsCertificates>, String> {
    let Some(ca) = settings.ca.as_ref().filter(|_| settings.tls) else {
        return Ok(None);
    };
    let root = std::fs::read(base.join(ca)).map_err(|why| format!("cannot read {ca}: {why}"))?;
    Ok(Some(TlsCertificates {
        client_tls: None,
        root_cert: Some(root),
    }))
}

fn address(settings: &Settings, host: &str, port: u16) -> ConnectionAddr {
    if settings.tls {
        ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host.to_owned(), port)
    }
}

fn password(settings: &Settings) -> Option<String> {
    let password = settings.password.as_ref()?;
    Some(String::from_utf8_lossy(&password.0).into_owned())
}

fn tcp() -> redis::io::tcp::TcpSettings {
    redis::io::tcp::TcpSettings::default().set_nodelay(true)
}

/// Every operation has its timeout where it is asked.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REACHING))
        .set_response_timeout(None)
}

fn info(settings: &Settings, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
    let mut login = RedisConnectionInfo::default().set_db(settings.database);
    if let Some(user) = &settings.user {
        login = login.set_username(user);
    }
    if let Some(password) = password(settings) {
        login = login.set_password(password);
    }
    let info = address.into_connection_info()?;
    Ok(info.set_redis_settings(login).set_tcp_settings(tcp()))
}

async fn one(
    settings: &Settings,
    address: ConnectionAddr,
    certificates: Option<TlsCertificates>,
) -> RedisResult<Connection> {
    let info = info(settings, address)?;
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates)?,
        None => Client::open(info)?,
    };
    let config = config();
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.map(Connection::One)
}

async fn sentinel(
    settings: &Settings,
    service: &str,
    sentinels: &[(String, u16)],
    certificates: Option<TlsCertificates>,
) -> RedisResult<Connection> {
    let sentinels = sentinels
        .iter()
        .map(|(host, port)| address(settings, host, *port));
    let mut builder = SentinelClientBuilder::new(sentinels, service, SentinelServerType::Master)?
        .set_client_to_redis_db(settings.database)
        .set_client_to_redis_tcp_settings(tcp());
    if let Some(user) = &settings.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = password(settings) {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(password) = &settings.sentinel_password {
        let password = String::from_utf8_lossy(&password.0).into_owned();
        builder = builder.set_client_to_sentinel_password(password);
    }
    if settings.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        if let Some(certificates) = certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
    }
    let mut client = builder.build()?;
    let config = config();
    let connection = client.get_async_connection_with_config(&config);
    connection.await.map(Connection::One)
}

async fn cluster(
    settings: &Settings,
    nodes: &[(String, u16)],
    certificates: Option<TlsCertificates>,
) -> RedisResult<Connection> {
    let nodes: RedisResult<Vec<_>> = nodes
        .iter()
        .map(|(host, port)| info(settings, address(settings, host, *port)))
        .collect();
    let mut builder = redis::cluster::ClusterClientBuilder::new(nodes?)
        .connection_timeout(REACHING)
        // A request has one timeout for all; what is slow is not tried again behind its back.
        .response_timeout(REACHING)
        .retries(3)
        .tcp_settings(tcp());
    if let Some(once) = NonZeroUsize::new(1) {
        builder = builder.max_connection_attempts(once);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    let client = builder.build()?;
    let connection = client.get_async_connection();
    connection.await.map(Connection::Cluster)
}
