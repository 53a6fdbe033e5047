//! What a daemon is told while it serves: to stop, to look again, and by systemd to prove that it is alive.

use std::sync::Arc;
use std::time::Duration;

use bowline_core::{Code, Error, Result};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::manager::Manager;

/// Heard from early on: one that comes while the daemon starts ends it as soon as it has.
pub(super) struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// To be called within the runtime.
    pub(super) fn listen() -> Result<Signals> {
        Ok(Signals {
            term: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// SIGTERM and SIGINT end it; SIGHUP reads the configuration again, looks at the kernel, and puts it right.
pub(super) async fn until_told_to_stop(
    signals: Signals,
    manager: &Arc<Manager>,
    mut serving: JoinHandle<Result<()>>,
) -> Result<()> {
    let Signals { mut term, mut interrupt, mut hangup } = signals;
    let watchdog = sd_notify::watchdog_enabled();
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(manager).await,
            () = alive(watchdog, manager) => tell_systemd(&[NotifyState::Watchdog]),
            ended = &mut serving => {
                return ended.unwrap_or_else(|e| Err(Error::new(Code::Internal, "serve the socket").because(e)));
            }
        }
    }
    tell_systemd(&[NotifyState::Stopping]);
    serving.abort();
    Ok(())
}

async fn reload(manager: &Arc<Manager>) {
    // systemd wants both in one message (sd_notify(3), RELOADING=1).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell_systemd(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("read the clock: {error}"),
    }
    let manager = manager.clone();
    let looked = tokio::task::spawn_blocking(move || {
        // A file that is not valid changes nothing.
        if let Err(error) = manager.reload() {
            tracing::error!(code = %error.code, "read the configuration again: {error}");
        }
        manager.repair()
    });
    match looked.await {
        Ok(Ok(drift)) => tracing::info!(changes = drift.steps.len(), "looked at the kernel again"),
        Ok(Err(error)) => tracing::error!(code = %error.code, "look at the kernel again: {error}"),
        Err(panic) => tracing::error!("a look at the kernel panicked: {panic}"),
    }
    tell_systemd(&[NotifyState::Ready]);
}

/// Twice in each period, once the manager has answered: a daemon that hangs does not say that it lives.
async fn alive(period: Option<Duration>, manager: &Arc<Manager>) {
    let Some(period) = period else { return std::future::pending().await };
    tokio::time::sleep(period / 2).await;
    let manager = manager.clone();
    let asked = tokio::task::spawn_blocking(move || manager.networks().len()).await;
    if let Err(panic) = asked {
        tracing::error!("the manager panicked: {panic}");
        std::future::pending::<()>().await;
    }
}

pub(super) fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("tell systemd: {error}");
    }
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|e| Error::new(Code::Internal, "listen for signals").because(e))
}
