//! Starts and stops the traffic side: listeners, health checks, draining, hand-over of sockets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::downstream::listen::Open;
use crate::handover;
use crate::proxy::{App, Proxy};
use crate::snapshot::Shared;
use crate::upstream::background;

/// How often certificates are looked at on disk.
const RENEW: Duration = Duration::from_secs(2);
/// Attempts of one request over all; groups allow fewer.
const ATTEMPTS: usize = 16;

/// How to serve, beyond what the policy says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Relative paths of certificates and sockets start here: the policy's folder.
    pub base: PathBuf,
    /// Private folder (0700) through which a running gateway hands its listening sockets to this one.
    pub upgrade_folder: Option<PathBuf>,
    /// Take the sockets from the gateway that runs now instead of binding.
    pub upgrade: bool,
}

/// What every connection's task needs.
pub(crate) struct Running {
    pub shared: Arc<Shared>,
    pub app: Arc<App>,
    pub draining: ShutdownWatch,
}

/// What ends a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGTERM: requests in flight are ended.
    Terminate,
    /// SIGINT: the same.
    Interrupt,
    /// SIGQUIT: the sockets are handed over first.
    HandOver,
}

impl End {
    /// The signal's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::HandOver => "SIGQUIT",
        }
    }
}

/// The signals that end a gateway.
pub struct Ends {
    term: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Ends {
    /// Listens from now on, so that one which comes while the gateway starts is not lost. Inside a tokio runtime.
    ///
    /// # Errors
    /// When the signals cannot be heard.
    pub fn hear() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> End {
        tokio::select! {
            biased;
            _ = self.term.recv() => End::Terminate,
            _ = self.interrupt.recv() => End::Interrupt,
            _ = self.quit.recv() => End::HandOver,
        }
    }
}

/// What [`serve`] tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Requests are taken.
    Started,
    /// No more connections are taken; those that are open are waited for next.
    Ending(End),
}

/// Serves until a signal ends it; one that comes before it serves ends it at once, and takes no sockets of another gateway
/// with it. Runs inside a tokio runtime of the caller; SIGHUP and SIGUSR1 are the caller's.
///
/// # Errors
/// A sentence when a listener cannot be opened or a certificate cannot be used.
pub async fn serve(
    shared: Arc<Shared>,
    options: Options,
    mut ends: Ends,
    told: impl Fn(Moment),
) -> Result<(), String> {
    let listeners = tokio::select! {
        biased;
        end = ends.next() => {
            told(Moment::Ending(end));
            return Ok(());
        }
        opened = prepare(&shared, &options) => opened?,
    };
    let (drain, draining) = watch::channel(false);
    let running = Arc::new(Running {
        app: Arc::new(app(&shared)),
        shared,
        draining,
    });
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(background::run(Arc::clone(&running.shared)));
    tasks.spawn(renew(listeners.iter().map(Arc::downgrade).collect()));
    for listener in &listeners {
        let (listener, running) = (Arc::clone(listener), Arc::clone(&running));
        tasks.spawn(async move { listener.run(&running).await });
    }
    running.shared.set_ready(true);
    told(Moment::Started);
    let end = until_signal(ends, &listeners, options.upgrade_folder.as_deref()).await;
    running.shared.set_ready(false);
    // Nobody listens any more only when every connection is gone already.
    let _ = drain.send(true);
    // A socket that stayed open would go on taking connections in the kernel that nobody serves.
    drop(listeners);
    told(Moment::Ending(end));
    finish(&running).await;
    tasks.shutdown().await;
    Ok(())
}

/// Everything that may take a while before the first request.
async fn prepare(shared: &Shared, options: &Options) -> Result<Vec<Arc<Open>>, String> {
    shared.store().reached().await;
    background::resolve_all(shared).await;
    open(shared, options).await
}

async fn open(shared: &Shared, options: &Options) -> Result<Vec<Arc<Open>>, String> {
    let snapshot = shared.load();
    let mut received = match (&options.upgrade_folder, options.upgrade) {
        (Some(folder), true) => {
            let taken = handover::take(folder).await;
            Some(taken.map_err(|why| format!("no sockets from the running gateway: {why}"))?)
        }
        (None, true) => {
            return Err("--upgrade asks for a folder to meet the running gateway in".to_owned());
        }
        (_, false) => None,
    };
    let mut listeners = Vec::new();
    for settings in &snapshot.policy.settings().listeners {
        let name = settings.address.to_string();
        let inherited = received.as_mut().and_then(|received| {
            let at = received
                .sockets
                .iter()
                .position(|(known, _)| *known == name)?;
            Some(received.sockets.swap_remove(at).1)
        });
        let listener = Open::new(settings, &options.base, inherited)?;
        match listener.local() {
            Some(local) => log::info!("listening on {local}"),
            None => log::info!("listening on {name}"),
        }
        listeners.push(Arc::new(listener));
    }
    if let Some(received) = received {
        received.confirm();
    }
    Ok(listeners)
}

fn app(shared: &Arc<Shared>) -> App {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let snapshot = shared.load();
    let upstreams = snapshot.policy.settings().upstreams.iter();
    let kept: usize = upstreams
        .map(|group| group.keepalive.saturating_mul(group.servers.len()))
        .sum();
    let conf = ServerConf {
        threads,
        max_retries: ATTEMPTS,
        // Pingora counts per thread.
        upstream_keepalive_pool_size: kept.clamp(1, 100_000).div_ceil(threads),
        ..ServerConf::default()
    };
    let proxy = Proxy {
        shared: Arc::clone(shared),
    };
    pingora_proxy::http_proxy(&Arc::new(conf), proxy)
}

/// What ends the gateway. A hand-over that fails leaves it running.
async fn until_signal(mut ends: Ends, listeners: &[Arc<Open>], folder: Option<&Path>) -> End {
    loop {
        let end = ends.next().await;
        if end != End::HandOver {
            return end;
        }
        match hand_over(listeners, folder).await {
            Ok(()) => return end,
            Err(why) => log::error!("sockets were not handed over, serving on: {why}"),
        }
    }
}

async fn hand_over(listeners: &[Arc<Open>], folder: Option<&Path>) -> Result<(), String> {
    let Some(folder) = folder.map(Path::to_owned) else {
        return Err("no upgrade folder was named".to_owned());
    };
    let listeners = listeners.to_vec();
    let given = tokio::task::spawn_blocking(move || {
        let sockets: Vec<_> = listeners
            .iter()
            .map(|open| (open.name(), open.descriptor()))
            .collect();
        handover::give(&folder, &sockets)
    });
    given
        .await
        .map_err(|why| why.to_string())?
        .map_err(|why| why.to_string())
}

/// Waits for requests in flight, as long as the policy allows.
async fn finish(running: &Running) {
    let patience = running.shared.load().policy.settings().limits.drain;
    let gone = async {
        while running.shared.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(patience, gone).await.is_err() {
        log::warn!(
            "{} connections were cut off after {patience:?}",
            running.shared.connections()
        );
    }
}

/// Serves certificates that were replaced on disk.
async fn renew(listeners: Vec<Weak<Open>>) {
    loop {
        tokio::time::sleep(RENEW).await;
        let open: Vec<_> = listeners.iter().filter_map(Weak::upgrade).collect();
        for terminator in open.iter().filter_map(|open| open.terminator()) {
            match terminator.renew() {
                Ok(true) => log::info!("certificates were replaced"),
                Ok(false) => {}
                Err(why) => log::warn!("new certificates cannot be used, the old ones stay: {why}"),
            }
        }
    }
}
