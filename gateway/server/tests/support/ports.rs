//! Free ports on loopback that no other test process takes meanwhile: below the ephemeral range, each held by a
//! locked file for as long as the test uses it.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that is ours until this is dropped.
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ports");
        std::fs::create_dir_all(&folder).unwrap();
        let start = (std::process::id() % 20_000) as u16;
        for _ in 0..20_000 {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = 10_000 + (start.wrapping_mul(7).wrapping_add(step)) % 20_000;
            let lock = File::create(folder.join(number.to_string())).unwrap();
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(fault)) => panic!("lock of port {number}: {fault}"),
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}
