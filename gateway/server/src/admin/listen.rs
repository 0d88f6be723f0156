//! Where operators connect: TCP, or a Unix socket that only the gateway's own user can open. Owns binding and its
//! thread; who may ask what is `guard`'s.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::settings::ListenAddress;
use tokio::sync::Notify;

use super::{Admin, router, tokens};

/// How long the address may stay in use by a gateway that hands over.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// An admin listener that serves.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Where.
    pub(crate) address: ListenAddress,
    stop: Arc<Notify>,
}

impl Listening {
    /// Gives the address free, for the gateway that takes over.
    pub(crate) fn close(&self) {
        self.stop.notify_one();
    }
}

enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds, and serves from a thread of its own until the process ends. Relative paths of sockets start at `base`. With
/// `take_over` the address may still be in use by the gateway before this one: it is bound as soon as that lets go.
///
/// # Errors
/// When the address is taken, may not be used, or is reached by others although no token protects it.
pub(crate) fn start(
    address: &ListenAddress,
    base: &Path,
    admin: Admin,
    take_over: bool,
) -> io::Result<Listening> {
    if !address.is_local() && tokens(&admin.shared.load()).is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "not a loopback address, and no token is set (admin.token)",
        ));
    }
    let (bound, local) = match bind(address, base) {
        // Before the gateway before this one lets go, it may go on, if nothing comes of taking over.
        Err(why) if take_over && why.kind() == io::ErrorKind::AddrInUse => (None, address.clone()),
        bound => {
            let bound = bound?;
            let local = match &bound {
                Bound::Tcp(listener) => ListenAddress::Tcp(listener.local_addr()?),
                Bound::Unix(_) => address.clone(),
            };
            (Some(bound), local)
        }
    };
    let stop = Arc::new(Notify::new());
    let listening = Listening {
        address: local,
        stop: Arc::clone(&stop),
    };
    let (address, base) = (address.clone(), base.to_owned());
    let work = move || {
        let served = bound
            .map_or_else(|| wait_for(&address, &base), Ok)
            .and_then(|listener| serve(listener, admin, &stop));
        if let Err(why) = served {
            log::error!("admin listener {address}: {why}");
        }
    };
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(work)?;
    Ok(listening)
}

/// A socket of mode 0600 that never had another: it is made in a folder that nobody else can enter, and moved from
/// there. What a dead gateway left behind is replaced, one that still answers never.
fn private(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file of that name that is no socket",
            ));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(_) | Err(_) => {}
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    // No longer than `admin.sock`: a socket's path has a hundred bytes.
    let aside = tempfile::Builder::new()
        .prefix(".p")
        .tempdir_in(parent.unwrap_or_else(|| Path::new(".")))?;
    let made = aside.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    Ok(listener)
}

fn bind(address: &ListenAddress, base: &Path) -> io::Result<Bound> {
    match address {
        ListenAddress::Tcp(address) => TcpListener::bind(address).map(Bound::Tcp),
        ListenAddress::Unix(path) => private(&base.join(path)).map(Bound::Unix),
    }
}

fn wait_for(address: &ListenAddress, base: &Path) -> io::Result<Bound> {
    let begun = Instant::now();
    loop {
        match bind(address, base) {
            Err(_) if begun.elapsed() < TAKE_OVER => std::thread::sleep(Duration::from_millis(50)),
            bound => return bound,
        }
    }
}

fn serve(listener: Bound, admin: Admin, stop: &Notify) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let serving = async {
            match listener {
                Bound::Tcp(listener) => {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    axum::serve(listener, router(admin)).await
                }
                Bound::Unix(listener) => {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::UnixListener::from_std(listener)?;
                    axum::serve(listener, router(admin)).await
                }
            }
        };
        tokio::select! {
            served = serving => served,
            () = stop.notified() => Ok(()),
        }
    })
}
