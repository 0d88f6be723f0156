//! Throw-away certificates, made by `certs/make.sh` as an operator makes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// A folder with ca, server, other and client pairs of this test process.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            make(folder.path());
            folder
        })
        .path()
}

/// A whole new set in `folder`.
pub(crate) fn make(folder: &Path) {
    let script = root().join("certs/make.sh");
    let output = Command::new(&script).arg(folder).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn file(name: &str) -> String {
    folder().join(name).display().to_string()
}
