//! Load for the side-by-side runs: requests from a file over kept connections, new connections, HTTP/2 or as WebSocket
//! messages. Closed loop (each connection asks again at once) or open loop (`--rate`): there a request is due at its
//! time whatever the answers before it do, and its latency counts from that time. Prints one line of JSON.
//!
//! `load echo ADDRESS` is the WebSocket server behind the proxies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};

mod echo;
mod h1;
mod h2;
mod histogram;
mod tally;
mod wire;
mod work;
mod ws;

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// HTTP/1.1 over kept connections.
    Kept,
    /// HTTP/1.1, each request on a connection of its own.
    New,
    /// HTTP/2, several streams on each connection.
    H2,
    /// Messages of a WebSocket that come back; the first request of the file opens it.
    Ws,
}

#[derive(Debug, Parser)]
struct Options {
    /// Where the proxy listens, or the word `echo`.
    #[arg(value_name = "ADDRESS|echo")]
    target: String,
    /// For `echo`: where to listen.
    address: Option<SocketAddr>,
    /// A file of requests: a line with the length in bytes, then the request, and so on.
    #[arg(long)]
    requests: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "kept")]
    kind: Kind,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Streams at once on each HTTP/2 connection.
    #[arg(long, default_value_t = 8)]
    streams: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Requests a second, as open loop.
    #[arg(long)]
    rate: Option<f64>,
    /// TLS, believing this authority; the name asked for is `localhost`.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Resume TLS sessions on new connections.
    #[arg(long)]
    resume: bool,
    /// Bytes of a WebSocket message.
    #[arg(long, default_value_t = 128)]
    message: usize,
}

fn main() -> Result<(), String> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|fault| fault.to_string())?;
    if options.target == "echo" {
        let address = options.address.ok_or("echo: where to listen?")?;
        let served = runtime.block_on(echo::serve(address));
        return served.map_err(|fault| fault.to_string());
    }
    runtime.block_on(load(&options))
}

async fn load(options: &Options) -> Result<(), String> {
    let target = options
        .target
        .parse()
        .map_err(|fault| format!("{}: {fault}", options.target))?;
    let file = options.requests.as_ref().ok_or("which --requests?")?;
    let requests = work::read(file)?;
    let alpn: &[u8] = if options.kind == Kind::H2 {
        b"h2"
    } else {
        b"http/1.1"
    };
    let tls = match &options.ca {
        Some(ca) => Some(wire::tls(ca, alpn, options.resume)?),
        None => None,
    };
    let dial = Arc::new(wire::Dial { target, tls });
    let tally = Arc::new(tally::Tally::default());
    let work = work::Work::begin(requests, options.rate, options.seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..options.connections {
        let (dial, tally, work) = (Arc::clone(&dial), Arc::clone(&tally), Arc::clone(&work));
        match options.kind {
            Kind::Kept => tasks.spawn(h1::run(dial, work, tally, true)),
            Kind::New => tasks.spawn(h1::run(dial, work, tally, false)),
            Kind::H2 => tasks.spawn(h2::run(dial, work, tally, options.streams)),
            Kind::Ws => tasks.spawn(ws::run(dial, work, tally, options.message)),
        };
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    let grace = Duration::from_secs_f64(options.seconds) + Duration::from_secs(5);
    // What has no answer five seconds after the end never gets one.
    let ended = tokio::time::timeout(grace, all).await.is_ok();
    println!("{}", tally.json(&work, ended));
    Ok(())
}
