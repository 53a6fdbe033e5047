//! From options to a daemon that serves: directories, stores, the manager, the first look at the kernel, then the socket.

mod log;
mod signals;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bowline_core::kernel::Kernel;
use bowline_core::place::Door;
use bowline_core::{Code, Context, Error, Result};
use tokio::runtime::Runtime;

use crate::config::{self, Config, LogFormat};
use crate::kept::{Keeper, Kept, NoKeeper, Opening};
use crate::manager::{Manager, Paths};
use crate::ready::Ready;
use crate::resolver::{Resolver, Settings};
use crate::server::{self, Shared, Socket};
use crate::sockets::Sockets;
use crate::store::{Boot, Store};

pub const RUN_DIR: &str = "/run/bowline";
pub const STATE_DIR: &str = bowline_api::STATE_DIR;

/// What the command line says. What it leaves out has a default.
#[derive(Debug, Default)]
pub struct Options {
    pub config: Option<PathBuf>,
    pub socket: Option<PathBuf>,
    pub run_dir: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
    /// Written to, and closed, when the daemon is ready.
    pub ready: Option<fs::File>,
    /// Who keeps sockets while no daemon runs.
    pub keeper: Opening,
}

/// Serves until a signal ends it.
pub fn run(options: Options, kernel: Arc<dyn Kernel>, sockets: Arc<dyn Sockets>) -> Result<()> {
    let begun = Instant::now();
    let config = Config::load(options.config.as_deref())?;
    log::start(
        options.log.as_deref().unwrap_or(&config.log),
        options.log_format.unwrap_or(config.log_format),
    )?;
    let paths = Paths {
        config_given: options.config.is_some(),
        config: options.config.unwrap_or_else(|| config::PATH.into()),
        socket: options.socket.unwrap_or_else(|| bowline_api::SOCKET.into()),
        run_dir: options.run_dir.unwrap_or_else(|| RUN_DIR.into()),
        state_dir: options.state_dir.unwrap_or_else(|| STATE_DIR.into()),
    };

    let host = kernel.open(&Door::Own).context(|| "look at the host's namespace".into())?;
    let boot = Boot { boot_id: boot_id()?, host: host.0 };
    // The stores are locked for as long as they are open, so a second daemon ends here and has changed nothing.
    let store = Store::open(&paths.run_dir, &paths.state_dir, &boot)?;
    let socket = Socket::bind(&paths.socket, &config.group)?;
    let socket_path = paths.socket.clone();
    let pid_file = paths.run_dir.join("daemon.pid");
    let (keeper, kept) = options.keeper.open(&paths.run_dir).unwrap_or_else(|error| {
        // Worth less than a daemon that is there.
        tracing::warn!(code = %error.code, "nothing is kept over a restart: {error}");
        (Box::new(NoKeeper), Kept::new())
    });
    let resolver = resolver(&sockets, keeper, &config, &paths)?;
    let served = Manager::new(kernel, sockets, host, store, config, paths, resolver)
        .and_then(|manager| serve(&Arc::new(manager), kept, socket, &pid_file, options.ready, begun));
    // Nothing of the containers' is touched: they work on without us.
    Socket::remove(&socket_path);
    drop(fs::remove_file(&pid_file));
    served
}

fn resolver(
    sockets: &Arc<dyn Sockets>,
    keeper: Box<dyn Keeper>,
    config: &Config,
    paths: &Paths,
) -> Result<Arc<Resolver>> {
    let resolver = Resolver::start(sockets.clone(), keeper, Settings::of(config), &paths.run_dir)?;
    let resolver = Arc::new(resolver);
    let told = Arc::downgrade(&resolver);
    sockets.when_left_alone(Box::new(move |place| {
        if let Some(resolver) = told.upgrade() {
            resolver.let_die(place);
        }
    }))?;
    resolver.follow()?;
    Ok(resolver)
}

fn serve(
    manager: &Arc<Manager>,
    kept: Kept,
    socket: Socket,
    pid_file: &Path,
    tell: Option<fs::File>,
    begun: Instant,
) -> Result<()> {
    write_pid(pid_file)?;
    let runtime = runtime()?;
    let signals = runtime.block_on(async { signals::Signals::listen() })?;

    let ready = Ready::default();
    let hold = ready.hold("the first look at the kernel");
    manager.relay_on(runtime.handle().clone());
    let notices = manager.watch()?;
    let broken = manager.watch_resolvers();
    manager.recover(kept)?;
    manager.remove_spooled();
    let reaper = manager.clone();
    let reaping = spawn("bowline-reap", move || reaper.reap())?;
    let watched = Arc::downgrade(manager);
    spawn("bowline-heal", move || Manager::heal(&watched, &notices))?;
    let watched = Arc::downgrade(manager);
    spawn("bowline-ears", move || Manager::heal_resolvers(&watched, &broken))?;
    let leased = Arc::downgrade(manager);
    let leasing = spawn("bowline-lease", move || Manager::keep_leases(&leased))?;
    drop(hold);

    let shared = Shared { manager: manager.clone(), ready };
    let ended = runtime.block_on(async {
        let serving = tokio::spawn(server::serve(socket, server::router(shared)));
        tell_ready(tell);
        tracing::info!(took = ?begun.elapsed(), pid = std::process::id(), "ready");
        signals::until_told_to_stop(signals, manager, serving).await
    });
    manager.stop_reaping();
    manager.stop_leases();
    for (name, thread) in [("reaper", reaping), ("keeper of leases", leasing)] {
        if thread.join().is_err() {
            tracing::error!("the {name} panicked");
        }
    }
    runtime.shutdown_timeout(Duration::from_secs(2));
    tracing::info!("stopped");
    ended
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // One for each connection that may be served, so that those who wait for one network keep nobody else waiting;
        // and not for long, so that an idle daemon has no thread that wakes only to end.
        .max_blocking_threads(server::MOST + 16)
        .thread_keep_alive(Duration::from_millis(500))
        .thread_name("bowline-serve")
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::Internal, "start the runtime").because(e))
}

fn spawn(name: &str, act: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_string())
        .spawn(act)
        .map_err(|e| Error::new(Code::Internal, format!("start the thread {name}")).because(e))
}

fn boot_id() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(PATH)
        .map_err(|e| Error::new(Code::Internal, format!("read {PATH}")).because(e))?;
    Ok(id.trim().to_string())
}

fn write_pid(path: &Path) -> Result<()> {
    fs::write(path, format!("{}\n", std::process::id()))
        .map_err(|e| crate::store::unwritable(&format!("write {}", path.display()), &e))
}

fn tell_ready(ready: Option<fs::File>) {
    if let Some(mut pipe) = ready {
        // Whoever waited may have left; that is no failure of ours.
        drop(pipe.write_all(b"ready\n"));
    }
    signals::tell_systemd(&[sd_notify::NotifyState::Ready]);
}
