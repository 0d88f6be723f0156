//! A Redis of the test's own, and a proxy in front of it that fails on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::ports::Port;
use super::tools::program;
use super::until;

/// A Redis that keeps nothing on disk; killed when dropped.
pub(crate) struct Redis {
    child: Child,
    port: Port,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With more settings on its command line.
    pub(crate) fn with(more: &[&str]) -> Self {
        let port = Port::take();
        let child = program("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", "/tmp", "--port", &port.number.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { child, port };
        until("Redis answers", || {
            let stream = TcpStream::connect(redis.address()).ok()?;
            Some(stream)
        });
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The first line of what it answers.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        write!(stream, "{command}\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PASS: u8 = 0;
const STALL: u8 = 1;
const CUT: u8 = 2;
const DELAY: u8 = 3;
/// How much later each piece comes: far from any limit of the tests.
const LATE: Duration = Duration::from_millis(60);

/// Stands between a gateway and a server.
pub(crate) struct Between {
    pub(crate) address: SocketAddr,
    how: Arc<AtomicU8>,
}

impl Between {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let how = Arc::new(AtomicU8::new(PASS));
        let mode = Arc::clone(&how);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                if mode.load(Ordering::Relaxed) == CUT {
                    continue;
                }
                let pairs = [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ];
                for (from, to) in pairs {
                    let mode = Arc::clone(&mode);
                    std::thread::spawn(move || carry(from, to, &mode));
                }
            }
        });
        Self { address, how }
    }

    /// Everything passes.
    pub(crate) fn pass(&self) {
        self.how.store(PASS, Ordering::Relaxed);
    }

    /// Everything passes, each piece late.
    pub(crate) fn delay(&self) {
        self.how.store(DELAY, Ordering::Relaxed);
    }

    /// Nothing passes, and nothing breaks.
    pub(crate) fn stall(&self) {
        self.how.store(STALL, Ordering::Relaxed);
    }

    /// Connections break, and new ones at once.
    pub(crate) fn cut(&self) {
        self.how.store(CUT, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut buffer = [0; 16 << 10];
    let pause = Duration::from_millis(5);
    from.set_read_timeout(Some(pause * 4)).unwrap();
    loop {
        match mode.load(Ordering::Relaxed) {
            CUT => break,
            STALL => {
                std::thread::sleep(pause);
                continue;
            }
            _ => {}
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                if mode.load(Ordering::Relaxed) == DELAY {
                    std::thread::sleep(LATE);
                }
                // What was read while it was already to be held back is held back.
                while mode.load(Ordering::Relaxed) == STALL {
                    std::thread::sleep(pause);
                }
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(why)
                if matches!(
                    why.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
