//! The socket: made so that nobody slips in between, accepted from within bounds, and gone when the daemon ends well.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use bowline_core::{Code, Error, Result};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

use crate::manager::Caller;

/// Connections at once; one more waits.
pub(crate) const MOST: usize = 512;

/// How long a client may take for a request's head.
const HEAD: Duration = Duration::from_secs(10);

/// sun_path less the final NUL (unix(7)).
const LONGEST: usize = 107;

#[derive(Debug)]
pub(crate) struct Socket {
    listener: StdListener,
}

impl Socket {
    /// Binds in place of a socket that nobody answers; a daemon that answers keeps it.
    pub(crate) fn bind(path: &Path, group: &str) -> Result<Socket> {
        let what = || format!("listen at {}", path.display());
        let length = path.as_os_str().len();
        if length > LONGEST {
            return Err(Error::new(Code::InvalidSocket, what())
                .because(format!("the path has {length} bytes, and {LONGEST} are the most"))
                .fix("choose a shorter one: --socket /run/bowline/bowline.sock"));
        }
        if StdStream::connect(path).is_ok() {
            return Err(Error::new(Code::DaemonRunning, what())
                .because("a daemon answers there")
                .fix("stop it first, or choose another: --socket F --run-dir D --state-dir D"));
        }
        if let Some(dir) = path.parent() {
            crate::dirs::make(dir, 0o755)?;
        }
        let failed = |error: io::Error| {
            let (code, fix) = match error.kind() {
                io::ErrorKind::PermissionDenied => (Code::Denied, "run the daemon as root"),
                _ => (Code::InvalidSocket, "choose a path in a directory that can be written: --socket F"),
            };
            Error::new(code, what()).because(error).fix(fix)
        };
        match fs::symlink_metadata(path) {
            Ok(there) if !std::os::unix::fs::FileTypeExt::is_socket(&there.file_type()) => {
                return Err(Error::new(Code::InvalidSocket, what())
                    .because("something that is not a socket is there")
                    .fix("choose another path: --socket F"));
            }
            Ok(_) => fs::remove_file(path).map_err(failed)?,
            Err(_) => (),
        }
        // Bound under another name and moved when its owner is right: there is no moment at which others may connect.
        let fresh = path.with_extension(format!("{}", std::process::id()));
        let fresh = if fresh.as_os_str().len() > LONGEST { path.to_path_buf() } else { fresh };
        drop(fs::remove_file(&fresh));
        let listener = StdListener::bind(&fresh).map_err(failed)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        if let Some(gid) = group_id(group) {
            chown(&fresh, None, Some(gid)).map_err(failed)?;
        }
        fs::rename(&fresh, path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Socket { listener })
    }

    pub(crate) fn remove(path: &Path) {
        drop(fs::remove_file(path));
    }
}

/// Accepts until the task is dropped.
pub(crate) async fn serve(socket: Socket, router: Router) -> Result<()> {
    let listener = UnixListener::from_std(socket.listener)
        .map_err(|e| Error::new(Code::Internal, "listen on the socket").because(e))?;
    let places = Arc::new(Semaphore::new(MOST));
    let crowded = Arc::new(Notify::new());
    loop {
        let place = match places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                // Those who ask for nothing give way; those who are being answered leave after their answer.
                crowded.notify_waiters();
                places.clone().acquire_owned().await.expect("the semaphore is never closed")
            }
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: those who leave make room.
                tracing::warn!("accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, crowded) = (router.clone(), crowded.clone());
        tokio::spawn(async move {
            answer(stream, router, &crowded).await;
            drop(place);
        });
    }
}

async fn answer(stream: UnixStream, router: Router, crowded: &Notify) {
    let pid = stream.peer_cred().ok().and_then(|cred| cred.pid()).and_then(|pid| u32::try_from(pid).ok());
    let service = TowerToHyperService::new(router.layer(Extension(Caller { pid })));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = crowded.notified() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client left early, or spoke no HTTP: {error}");
    }
}

/// From /etc/group by hand: a static binary has no name service. A group that is not there leaves the socket root's.
fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}
