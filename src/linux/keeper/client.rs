//! The daemon's side of our own keeper: started when there is something to keep, and again whenever it is found dead.
//!
//! Every kept socket has a second number in the daemon, or is shared with whoever uses it there, so that a keeper that died
//! can be given all anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bowline_core::{Code, Context, Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::line::{Line, Lost, Taken};
use super::wire::{self, Request};
use super::{Kept, Shared, Store};
use crate::hold;
use crate::process::{self, Ready, spawn_detached};

/// How long a keeper may take to be ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a keeper is started that ends at once.
const TRIES: u32 = 3;

/// After a keeper could not be had, so that not every attach waits for the next try.
const REST: Duration = Duration::from_secs(10);

/// A keeper that is ours, and what it keeps.
#[derive(Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run_dir: PathBuf,
    program: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing under a name, where it is not known yet what becomes of what was kept.
    kept: BTreeMap<String, Vec<Shared>>,
    line: Option<Line>,
    /// How many lines there have been.
    lines: u64,
    /// Why there is none, and since when that is known.
    failed: Option<(Instant, Error)>,
}

impl Client {
    /// With all that the directory's keeper has, if there is one. `program` is what is run as `bowline keeper`.
    pub fn open(run_dir: &Path, program: &Path) -> (Client, Kept) {
        let state = Mutex::new(State::default());
        let inner = Arc::new(Inner { run_dir: run_dir.into(), program: program.into(), state });
        let kept = inner.find().unwrap_or_else(|error| {
            tracing::warn!(code = %error.code, "{error}");
            Kept::new()
        });
        (Client(inner), kept)
    }

    pub(super) fn keep(&self, name: &str, sockets: &[BorrowedFd<'_>]) -> Result<()> {
        self.keep_shared(name, &copies(sockets)?)
    }

    pub(super) fn keep_shared(&self, name: &str, sockets: &[Shared]) -> Result<()> {
        wire::check(name, sockets.len())?;
        let mut state = self.0.state();
        state.kept.insert(name.to_string(), sockets.to_vec());
        let sockets: Vec<_> = sockets.iter().map(|socket| (**socket).as_fd()).collect();
        self.0
            .say(&mut state, Request::Keep(name), &sockets)
            .context(|| format!("keep the sockets of {name}"))
    }

    pub(super) fn has(&self, name: &str, sockets: Vec<Shared>) {
        if let Some(kept) = self.0.state().kept.get_mut(name) {
            *kept = sockets;
        }
    }

    pub(super) fn forget(&self, name: &str) -> Result<()> {
        let mut state = self.0.state();
        if state.kept.remove(name).is_none() {
            return Ok(());
        }
        if state.line.is_none() && state.kept.is_empty() && state.failed.is_none() {
            return Ok(());
        }
        self.0.say(&mut state, Request::Forget(name), &[]).context(|| format!("forget the sockets of {name}"))
    }

    /// Of what would be given to another keeper.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        self.0.state().kept.keys().cloned().collect()
    }

    pub(super) fn settle(&self) -> Result<()> {
        let mut state = self.0.state();
        if state.line.is_none() {
            if state.kept.is_empty() {
                return Ok(());
            }
            self.0.restore(&mut state)?;
        }
        let line = state.line.as_ref().expect("there was a line, or it was restored");
        match line.settle() {
            Ok(0) => Ok(()),
            Ok(refused) => Err(Error::new(Code::Kernel, "keep sockets")
                .because(format!("the keeper refused {refused} times; the log says why"))),
            Err(lost) => self.0.lost(&mut state, &lost),
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(self: &Arc<Inner>) -> Result<Kept> {
        let mut state = self.state();
        let Some(line) = Line::open(&self.run_dir)? else { return Ok(Kept::new()) };
        let Taken { mut kept, mut missed } = line.take_all().map_err(|lost| unreached(&lost))?;
        // What is taken is of no use without the copies for another keeper: it is let go of, which makes room for the next.
        kept.retain(|(name, sockets)| {
            // Those of ports are many, and are shared when it is known which they are.
            let copies = if hold::is_kept_name(name) { Ok(Vec::new()) } else { copies(sockets) };
            match copies {
                Ok(copies) => {
                    state.kept.insert(name.clone(), copies);
                    true
                }
                Err(error) => {
                    tracing::warn!(name, code = %error.code, "kept sockets are let go of: {error}");
                    missed.push(name.clone());
                    false
                }
            }
        });
        match missed.iter().try_for_each(|name| line.say(Request::Forget(name), &[])) {
            Ok(()) => self.connected(&mut state, line),
            Err(lost) => tracing::warn!("the keeper is lost: {lost}"),
        }
        Ok(kept)
    }

    /// Says something to the keeper that there is; or has one that knows it, with all else.
    fn say(
        self: &Arc<Inner>,
        state: &mut State,
        request: Request<'_>,
        files: &[BorrowedFd<'_>],
    ) -> Result<()> {
        let Some(line) = &state.line else { return self.restore(state) };
        match line.say(request, files) {
            Ok(()) => Ok(()),
            Err(lost) => self.lost(state, &lost),
        }
    }

    fn lost(self: &Arc<Inner>, state: &mut State, lost: &Lost) -> Result<()> {
        tracing::warn!("the keeper is lost: {lost}");
        state.line = None;
        self.restore(state)
    }

    /// Has a keeper that keeps what is to be kept, and nothing else.
    fn restore(self: &Arc<Inner>, state: &mut State) -> Result<()> {
        if let Some((_, error)) = state.failed.as_ref().filter(|(when, _)| when.elapsed() < REST) {
            return Err(error.clone());
        }
        let mut restored = self.try_to_restore(state);
        for _ in 1..TRIES {
            match &restored {
                // It ended under our hands, as one may that nobody needed any more. What hangs would hang again.
                Err(error) if error.code == Code::Kernel => restored = self.try_to_restore(state),
                Ok(()) | Err(_) => break,
            }
        }
        state.failed = restored.clone().err().map(|error| (Instant::now(), error));
        restored
    }

    fn try_to_restore(self: &Arc<Inner>, state: &mut State) -> Result<()> {
        let line = self.reach(&state.kept)?;
        hand_over(&line, &state.kept).map_err(|lost| unreached(&lost))?;
        self.connected(state, line);
        Ok(())
    }

    /// The keeper that there is, made to forget what is not to be kept; or a new one.
    fn reach(&self, kept: &BTreeMap<String, Vec<Shared>>) -> Result<Line> {
        if let Some(line) = Line::open(&self.run_dir)? {
            let there = line.take_all().map_err(|lost| unreached(&lost))?;
            let names = there.kept.iter().map(|(name, _)| name).chain(&there.missed);
            for name in names.filter(|name| !kept.contains_key(*name)) {
                line.say(Request::Forget(name), &[]).map_err(|lost| unreached(&lost))?;
            }
            return Ok(line);
        }
        start(&self.program, &self.run_dir)?;
        Line::open(&self.run_dir)?.ok_or_else(|| unreached(&Lost::Ended))
    }

    fn connected(self: &Arc<Inner>, state: &mut State, line: Line) {
        state.lines += 1;
        let (number, inner) = (state.lines, Arc::downgrade(self));
        let watching = line.as_fd().try_clone_to_owned().and_then(|again| {
            let thread = std::thread::Builder::new().name("bowline-keeper".into());
            thread.spawn(move || watch(&inner, &again, number))
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "the keeper is not watched: its end shows when it is next spoken to");
        }
        state.line = Some(line);
    }
}

/// Sleeps until that line ends. Where that was not the daemon's will there is a new keeper soon after, though nobody keeps
/// or forgets anything: until then a crash of the daemon would lose all.
fn watch(inner: &Weak<Inner>, line: &OwnedFd, number: u64) {
    let mut files = [PollFd::new(line.as_fd(), PollFlags::empty())];
    while poll(&mut files, PollTimeout::NONE) == Err(Errno::EINTR) {}
    while let Some(inner) = inner.upgrade() {
        let mut state = inner.state();
        if state.lines != number {
            return;
        }
        state.line = None;
        if state.kept.is_empty() {
            return;
        }
        tracing::warn!("the keeper has ended; another is started");
        match inner.restore(&mut state) {
            Ok(()) => return,
            Err(error) => tracing::warn!(code = %error.code, "{error}"),
        }
        drop(state);
        drop(inner);
        std::thread::sleep(REST);
    }
}

/// All that a keeper of ours has, given to systemd; the keeper ends. Where systemd does not take all, it goes on.
pub(super) fn hand_to(store: &Store, run_dir: &Path) -> Kept {
    let taken = || -> Result<Option<(Line, Kept)>> {
        let Some(line) = Line::open(run_dir)? else { return Ok(None) };
        let taken = line.take_all().map_err(|lost| unreached(&lost))?;
        Ok(Some((line, taken.kept)))
    };
    let given = |line: &Line, kept: &Kept| -> Result<()> {
        for (name, sockets) in kept {
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            store.keep(name, &sockets)?;
        }
        store.settle()?;
        line.quit().map_err(|lost| unreached(&lost))
    };
    let warn = |error: &Error| tracing::warn!(code = %error.code, "{error}");
    match taken() {
        Ok(None) => Kept::new(),
        Ok(Some((line, kept))) => {
            given(&line, &kept).unwrap_or_else(|error| warn(&error));
            kept
        }
        Err(error) => {
            warn(&error);
            Kept::new()
        }
    }
}

fn hand_over(line: &Line, kept: &BTreeMap<String, Vec<Shared>>) -> std::result::Result<(), Lost> {
    for (name, sockets) in kept.iter().filter(|(_, sockets)| !sockets.is_empty()) {
        let sockets: Vec<_> = sockets.iter().map(|socket| (**socket).as_fd()).collect();
        line.say(Request::Keep(name), &sockets)?;
    }
    Ok(())
}

fn copies(sockets: &[impl AsFd]) -> Result<Vec<Shared>> {
    let copy = |socket: &_| AsFd::as_fd(socket).try_clone_to_owned().map(|copy| Arc::new(copy) as Shared);
    let copies = sockets.iter().map(copy).collect::<std::io::Result<_>>();
    copies.map_err(|e| Error::new(Code::Kernel, "duplicate a socket").because(e))
}

fn unreached(lost: &Lost) -> Error {
    Error::new(Code::Kernel, "talk to the keeper").because(lost)
}

/// Returns once it can be reached.
fn start(program: &Path, run_dir: &Path) -> Result<()> {
    let run_dir = std::path::absolute(run_dir).unwrap_or_else(|_| run_dir.to_path_buf());
    // The format is said because the environment may hold another.
    let words = ["bowline", "keeper", "--ready-fd", "3", "--format", "table", "--run-dir"];
    let argv: Vec<_> = words.iter().map(Into::into).chain([run_dir.clone().into()]).collect();
    let failed = || format!("start a keeper for {}", run_dir.display());
    let pipe = spawn_detached(program, &argv, Path::new("/dev/null"), Ready::Pipe)
        .map_err(Error::from)
        .context(failed)?
        .expect("a pipe was asked for");
    let mut files = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).expect("3 s are within its bounds");
    let said = loop {
        match poll(&mut files, patience) {
            Err(Errno::EINTR) => (),
            outcome => break outcome,
        }
    };
    match said {
        Ok(0) => {
            Err(Error::new(Code::Timeout, failed()).because(format!("it is not ready after {PATIENCE:?}")))
        }
        Ok(_) if matches!(File::from(pipe).read(&mut [0]), Ok(1)) => {
            tracing::info!("started a keeper");
            Ok(())
        }
        Ok(_) => Err(Error::new(Code::Kernel, failed())
            .because("it ended at once")
            .fix(format!("see why: bowline keeper --run-dir {}", run_dir.display()))),
        Err(errno) => Err(Error::new(Code::Kernel, failed()).because(errno.desc())),
    }
}

pub(super) fn open(run_dir: &Path) -> (Client, Kept) {
    Client::open(run_dir, Path::new(process::OWN_PROGRAM))
}
