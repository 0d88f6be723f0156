//! Hands the listening sockets to the next process, through a Unix socket in a folder that only its owner can enter.
//! The kernel passes the descriptors (SCM_RIGHTS), so no connection is refused in between.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sockets that fit into one message; the kernel's own limit is 253.
const MAX_SOCKETS: usize = 64;
const MAX_NAMES: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether the other one is there.
const PAUSE: Duration = Duration::from_millis(20);

/// Sockets by the address that they listen on.
pub(crate) type Sockets = Vec<(String, OwnedFd)>;

fn meeting_place(folder: &Path) -> PathBuf {
    folder.join("handover.sock")
}

/// Makes the folder, or refuses one that others can enter or that somebody else made.
fn secure(folder: &Path) -> io::Result<()> {
    let made = std::fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(folder);
    made?;
    let seen = std::fs::symlink_metadata(folder)?;
    let mine = seen.uid() == rustix::process::geteuid().as_raw();
    if !seen.is_dir() || !mine || seen.permissions().mode() & 0o077 != 0 {
        let why = format!(
            "{} must be a folder of this user with mode 0700",
            folder.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// Waits for the next process and gives it the sockets. Blocks for up to the patience.
pub(crate) fn give(folder: &Path, sockets: &[(String, BorrowedFd<'_>)]) -> io::Result<()> {
    secure(folder)?;
    let path = meeting_place(folder);
    match std::fs::remove_file(&path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let given = wait(&listener).and_then(|stream| send(&stream, sockets));
    // The file has served, or nobody came; either way nothing depends on it.
    let _ = std::fs::remove_file(&path);
    given
}

fn wait(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(why)
                if why.kind() == io::ErrorKind::WouldBlock
                    && std::time::Instant::now() < deadline =>
            {
                std::thread::sleep(PAUSE);
            }
            Err(why) => return Err(why),
        }
    }
}

fn send(stream: &UnixStream, sockets: &[(String, BorrowedFd<'_>)]) -> io::Result<()> {
    let names: Vec<_> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join("\n");
    let descriptors: Vec<_> = sockets.iter().map(|(_, descriptor)| *descriptor).collect();
    if descriptors.len() > MAX_SOCKETS || names.len() > MAX_NAMES {
        return Err(io::Error::other("too many sockets to hand over"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many sockets to hand over"));
    }
    sendmsg(
        stream,
        &[IoSlice::new(names.as_bytes())],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    // The next process says when it serves: only then may this one stop.
    let mut done = [0];
    io::Read::read_exact(&mut &*stream, &mut done)
}

/// Sockets that were received; telling the giver is the last step.
pub(crate) struct Received {
    /// The sockets.
    pub sockets: Sockets,
    stream: UnixStream,
}

impl Received {
    /// This process serves now: the other one may drain.
    pub(crate) fn confirm(self) {
        // When the giver is gone already there is nobody to tell.
        let _ = io::Write::write_all(&mut &self.stream, b"!");
    }
}

/// Takes the sockets of the process that runs now; waits for it to be asked (SIGQUIT). Who stops waiting has taken nothing.
pub(crate) async fn take(folder: &Path) -> io::Result<Received> {
    secure(folder)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    let stream = loop {
        match UnixStream::connect(meeting_place(folder)) {
            Ok(stream) => break stream,
            Err(_) if std::time::Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(why) => return Err(why),
        }
    };
    let received = tokio::task::spawn_blocking(move || receive(stream)).await;
    received.map_err(io::Error::other)?
}

fn receive(stream: UnixStream) -> io::Result<Received> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut names = vec![0; MAX_NAMES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut names)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("the sockets did not arrive whole"));
    }
    names.truncate(received.bytes);
    let names =
        String::from_utf8(names).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let sockets: Sockets = names
        .split('\n')
        .map(str::to_owned)
        .zip(descriptors.flatten())
        .collect();
    Ok(Received { sockets, stream })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[tokio::test]
    async fn hands_a_listening_socket_over() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("private");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let there = folder.clone();
        let giver = std::thread::spawn(move || {
            give(&there, &[("one".to_owned(), listener.as_fd())]).unwrap();
        });
        let mut received = take(&folder).await.unwrap();
        let names: Vec<_> = received.sockets.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["one"]);
        let socket = received.sockets.remove(0).1;
        received.confirm();
        giver.join().unwrap();
        let listener = std::net::TcpListener::from(socket);
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn refuses_a_folder_that_others_can_enter() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let why = give(folder.path(), &[]).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::PermissionDenied);
    }
}
