//! A running gateway: the traffic side with its events, metrics, admin listener and reload around it. `run` and `demo`
//! are this with different options.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use policy::Loaded;
use policy::settings::{ListenAddress, Settings, WhenFull};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, Admin};
use crate::events::{self, Event, Events, Kind, Target, unix_ms};
use crate::metrics::Metrics;
use crate::metrics::secrets::{Secret, Secrets};
use crate::observe::Watch;
use crate::policy_file::PolicyFile;
use crate::reload::{self, Reloader, Status, Trigger};
use crate::serve::{self, End, Ends, Moment};
use crate::snapshot::Shared;
use crate::sources::Seen;
use crate::store::Store;

/// Lines that may wait for the disk: at 500 bytes each, 8 MiB.
const WAITING_LINES: usize = 16 << 10;

/// How long the last lines may take at the end.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How to serve, beyond what the policy says.
#[derive(Debug)]
pub(crate) struct Options {
    /// Threads that serve; `None`: one per processor.
    pub(crate) threads: Option<usize>,
    /// Where events go instead; `-` is standard output.
    pub(crate) events: Option<PathBuf>,
    /// What a request does when events cannot be written fast enough; `None`: what the policy says.
    pub(crate) when_full: Option<WhenFull>,
    /// Where the admin listener is.
    pub(crate) admin: AdminAt,
    /// Take the sockets of the gateway that runs now.
    pub(crate) upgrade: bool,
    /// Private folder through which sockets are handed over.
    pub(crate) upgrade_folder: Option<PathBuf>,
}

/// Where the admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdminAt {
    /// Where the policy says.
    Policy,
    /// Here.
    Address(ListenAddress),
    /// Nowhere.
    Off,
}

/// Everything but the open listeners.
#[derive(Debug)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    reloader: Arc<Reloader>,
    folder: PathBuf,
    admin: Vec<admin::Listening>,
}

impl Gateway {
    /// Opens the events and the admin listener, and begins to watch the policy's files.
    ///
    /// # Errors
    /// A sentence when something cannot be opened or started.
    pub(crate) fn prepare(
        file: PolicyFile,
        (loaded, seen): (Loaded, Seen),
        store: Store,
        options: &Options,
    ) -> Result<Self, String> {
        let settings = loaded.policy.settings().clone();
        let metrics = Metrics::new().map_err(|why| why.to_string())?;
        let watch = Arc::new(watch(metrics, file.folder(), &settings, options)?);
        let status = Status {
            loaded_at: unix_ms(),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
            ..Status::default()
        };
        watch.expect(1, &loaded.policy);
        let hash = loaded.policy.hash().to_owned();
        let shared = Shared::over(store, loaded.policy, file.folder(), watch.clone())?;
        let metrics = &watch.metrics;
        admin::show_shared(metrics, &shared).map_err(|why| why.to_string())?;
        for collector in shared.store().collectors() {
            metrics.take(collector).map_err(|why| why.to_string())?;
        }
        metrics.policy_loaded(1, &hash, status.warnings.len(), false);
        let folder = file.folder().to_owned();
        let reloader = Reloader::new(file, shared.clone(), watch.clone(), status, seen);
        let mut gateway = Self {
            shared,
            watch,
            reloader: Arc::new(reloader),
            folder,
            admin: Vec::new(),
        };
        gateway.show_secrets().map_err(|why| why.to_string())?;
        gateway.admin = gateway.open_admin(&settings, options)?;
        reload::watch(Arc::clone(&gateway.reloader)).map_err(|why| why.to_string())?;
        Ok(gateway)
    }

    /// The traffic side: whether it is ready yet.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// How the secrets are, wherever metrics are read.
    fn show_secrets(&self) -> Result<(), prometheus::Error> {
        let reloader = Arc::clone(&self.reloader);
        let read = move || {
            let now = unix_ms();
            let secrets = reloader.secrets().into_iter();
            let seen: Vec<Secret> = secrets
                .map(|kept| Secret {
                    age: kept.age(now) as f64 / 1_000.0,
                    failing: kept.fault.is_some(),
                    overdue: kept.overdue(now),
                    name: kept.about.name,
                })
                .collect();
            seen
        };
        self.watch.metrics.take(Box::new(Secrets::new(read)?))
    }

    fn open_admin(
        &self,
        settings: &Settings,
        options: &Options,
    ) -> Result<Vec<admin::Listening>, String> {
        let written = settings.admin.as_ref();
        let (address, socket) = match &options.admin {
            AdminAt::Policy => (
                written.map(|admin| &admin.address),
                written.and_then(|admin| admin.socket.as_ref()),
            ),
            AdminAt::Address(address) => (Some(address), None),
            AdminAt::Off => (None, None),
        };
        let guarded = written.is_some_and(|admin| !admin.tokens.is_empty());
        let open = |address: &ListenAddress| {
            let admin = Admin {
                shared: Arc::clone(&self.shared),
                reloader: Arc::clone(&self.reloader),
                watch: Arc::clone(&self.watch),
                guarded: guarded || !address.is_local(),
                socket: matches!(address, ListenAddress::Unix(_)),
            };
            let listening = admin::start(address, &self.folder, admin, options.upgrade);
            listening.map_err(|why| format!("admin listener {address}: {why}"))
        };
        address.into_iter().chain(socket).map(open).collect()
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// A sentence when a listener cannot be opened or a certificate cannot be used.
    pub(crate) fn serve(self, options: Options) -> Result<(), String> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = options.threads {
            runtime.worker_threads(threads);
        }
        let runtime = runtime.enable_all().thread_name("serve").build();
        let runtime = runtime.map_err(|why| why.to_string())?;
        let _inside = runtime.enter();
        let ends = self
            .hear_signals()
            .map_err(|why| format!("signals: {why}"))?;
        self.shared.start_store();
        let options = serve::Options {
            base: self.folder.clone(),
            upgrade_folder: options.upgrade_folder,
            upgrade: options.upgrade,
        };
        let told = |moment| match moment {
            Moment::Started => tell(&self.shared, &self.watch, Kind::Started, &self.places()),
            Moment::Ending(end) => self.ending(end),
        };
        let served = serve::serve(Arc::clone(&self.shared), options, ends, told);
        let served = runtime.block_on(served);
        let detail = served.as_ref().err().map_or("ended", String::as_str);
        tell(&self.shared, &self.watch, Kind::Stopped, detail);
        self.watch.events.flush(LAST_LINES);
        served
    }

    /// The listeners' addresses, for the log.
    fn places(&self) -> String {
        let snapshot = self.shared.load();
        let listeners = snapshot.policy.settings().listeners.iter();
        let mut places: Vec<String> = listeners.map(|at| at.address.to_string()).collect();
        let admin = self.admin.iter();
        places.extend(admin.map(|admin| format!("admin {}", admin.address)));
        format!(
            "version {}, {}",
            env!("CARGO_PKG_VERSION"),
            places.join(", ")
        )
    }

    /// SIGHUP reads the policy again, SIGUSR1 opens the events file again; the traffic side acts on those that end it.
    fn hear_signals(&self) -> std::io::Result<Ends> {
        let mut reload = signal(SignalKind::hangup())?;
        let reloader = Arc::clone(&self.reloader);
        tokio::spawn(async move {
            while reload.recv().await.is_some() {
                let reloader = Arc::clone(&reloader);
                // Its faults are in the log and the events already.
                let attempt = move || drop(reloader.reload(Trigger::Signal));
                let _ = tokio::task::spawn_blocking(attempt).await;
            }
        });
        let mut reopen = signal(SignalKind::user_defined1())?;
        let events = Arc::clone(&self.watch.events);
        tokio::spawn(async move {
            while reopen.recv().await.is_some() {
                events.reopen();
            }
        });
        Ends::hear()
    }

    /// No more connections are taken.
    fn ending(&self, end: End) {
        if end == End::HandOver {
            self.admin.iter().for_each(|admin| admin.close());
        }
        let (signal, open) = (end.as_str(), self.shared.connections());
        log::info!("{signal}: no more connections, {open} to end");
        self.watch.events.emit(&Event {
            time: unix_ms(),
            kind: Kind::Stopping,
            detail: signal,
            ..Event::default()
        });
    }
}

fn tell(shared: &Shared, watch: &Watch, kind: Kind, detail: &str) {
    let snapshot = shared.load();
    log::info!("{}: {detail}", kind.as_str());
    watch.events.emit(&Event {
        time: unix_ms(),
        kind,
        policy_version: Some(snapshot.version),
        policy_hash: snapshot.policy.hash(),
        detail,
        ..Event::default()
    });
}

fn watch(
    metrics: Metrics,
    folder: &Path,
    settings: &Settings,
    options: &Options,
) -> Result<Watch, String> {
    let written = settings.events.file.as_ref().map(|file| folder.join(file));
    let target = match options.events.clone().or(written) {
        Some(file) if file == Path::new("-") => Target::Stdout,
        Some(file) => Target::File(file),
        None => Target::Stdout,
    };
    let options = events::Options {
        target,
        when_full: options.when_full.unwrap_or(settings.events.when_full),
        query: settings.events.query,
        values: settings.events.values,
        capacity: WAITING_LINES,
    };
    let place = options.target.clone();
    let events = Events::start(options, metrics.events_dropped.clone());
    let events = events.map_err(|why| format!("events to {place:?}: {why}"))?;
    Ok(Watch::new(Arc::new(events), Arc::new(metrics)))
}
