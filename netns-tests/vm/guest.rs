//! The guest itself: booted under qemu, watched, and ended where it says nothing more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed};
use tempfile::TempDir;

use super::archive::Archive;
use super::{Equipment, report};

const INIT: &str = include_str!("init.sh");

/// The only part of the guest's folder that it sees.
const SHARED: &str = "shared";

const GLANCE: Duration = Duration::from_millis(50);

/// How much of what the guest's console said is shown with what it did not tell.
const TAIL: usize = 40;

pub(super) struct Guest {
    folder: TempDir,
    state: Arc<State>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Why nothing more will come.
    end: Mutex<Option<String>>,
    enough: AtomicBool,
}

impl Guest {
    /// Starts it, to tell these stories. If nothing is heard of any for so long, it has hung.
    pub(super) fn boot(equipment: &Equipment, stories: &[&str], patience: Duration) -> Result<Guest, String> {
        let folder = tempfile::tempdir().map_err(|e| format!("make a folder to share: {e}"))?;
        let path = folder.path();
        let shared = path.join(SHARED);
        fs::create_dir(&shared).map_err(|e| format!("make a folder to share: {e}"))?;
        report::ask(&shared, stories).map_err(|e| format!("write the list of stories: {e}"))?;
        let initrd = first_root(equipment, &shared)?;
        fs::write(path.join("initrd"), initrd).map_err(|e| format!("write the first root: {e}"))?;
        let console = File::create(path.join("console")).map_err(|e| format!("make the console: {e}"))?;
        let mut command = qemu(equipment, path);
        let errors = console.try_clone().map_err(|e| format!("make the console: {e}"))?;
        command.stdin(Stdio::null()).stdout(console).stderr(errors);
        let state = Arc::new(State::default());
        // It is tied to the thread that starts it, which therefore has to be one that stays.
        let watch = {
            let (state, results, count) = (Arc::clone(&state), shared, stories.len());
            move || {
                let end = match command.spawn() {
                    Ok(child) => watch_until_its_end(child, &results, count, patience, &state.enough),
                    Err(error) => format!("start qemu: {error}"),
                };
                *state.end.lock().expect("nobody panics with it") = Some(end);
            }
        };
        let watcher = thread::Builder::new().name("guest".into()).spawn(watch);
        let watcher = watcher.map_err(|e| format!("start a thread: {e}"))?;
        Ok(Guest { folder, state, watcher: Some(watcher) })
    }

    /// Waits for what came of a story. What the guest did not tell before its end has failed.
    pub(super) fn waits_for(&self, story: &str) -> Result<Completion, Failed> {
        let results = self.folder.path().join(SHARED);
        loop {
            // The end is looked at first: what it told is there before it ends.
            let end = self.state.end.lock().expect("nobody panics with it").clone();
            if let Some(outcome) = report::read(&results, story) {
                return outcome;
            }
            if let Some(end) = end {
                let console = fs::read(self.folder.path().join("console")).unwrap_or_default();
                let console = String::from_utf8_lossy(&console);
                return Err(Failed::from(format!(
                    "the guest did not tell: {end}; last on its console:\n{}",
                    tail(&console)
                )));
            }
            thread::sleep(GLANCE);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.state.enough.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            drop(watcher.join());
        }
    }
}

/// Until it ends, is no longer needed, or has not told anything for long.
fn watch_until_its_end(
    mut child: Child,
    results: &Path,
    stories: usize,
    patience: Duration,
    enough: &AtomicBool,
) -> String {
    let (mut told, mut heard) = (0, Instant::now());
    let why = loop {
        match child.try_wait() {
            Ok(None) => (),
            Ok(Some(status)) => return format!("it ended ({status})"),
            Err(error) => break format!("wait for qemu: {error}"),
        }
        let now = report::count(results);
        if now > told {
            (told, heard) = (now, Instant::now());
        }
        if enough.load(Ordering::Relaxed) {
            break "it was no longer needed".into();
        }
        if heard.elapsed() > patience {
            break format!("nothing was heard for {patience:?}, after {told} of {stories} stories");
        }
        thread::sleep(GLANCE);
    };
    drop(child.kill());
    drop(child.wait());
    why
}

/// No KVM: it is slower, and works everywhere alike. It dies with us.
fn qemu(equipment: &Equipment, path: &Path) -> Command {
    let share = |path: &Path, tag: &str| {
        // A comma would begin the next option, but for its twin.
        let path = path.display().to_string().replace(',', ",,");
        format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap")
    };
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(&equipment.qemu);
    let processors = available_parallelism().map_or(2, usize::from).min(8).to_string();
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", &processors, "-m", "4096"]);
    command.args(["-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(&equipment.kernel.image).arg("-initrd").arg(path.join("initrd"));
    command.args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable"]);
    command.args(["-virtfs", &format!("{},readonly=on", share(Path::new("/"), "root"))]);
    command.args(["-virtfs", &share(&path.join(SHARED), "folder")]);
    command
}

fn first_root(equipment: &Equipment, shared: &Path) -> Result<Vec<u8>, String> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("read {}: {e}", path.display()));
    let own = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let modules = real(&equipment.kernel.modules)?;
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules", "new", "proc", "root", "written"] {
        archive.folder(folder);
    }
    archive.file("bin/busybox", &read(&equipment.busybox)?);
    let mut order = String::new();
    for module in &equipment.kernel.first {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("modules/{name}"), &read(module)?);
        order.push_str(&format!("{name}\n"));
    }
    archive.file("order", order.as_bytes());
    archive.file(
        "settings",
        settings(&[("program", &own), ("modules", &modules), ("folder", shared)]).as_bytes(),
    );
    archive.file("init", INIT.as_bytes());
    Ok(archive.finish())
}

/// For a shell.
fn settings(all: &[(&str, &Path)]) -> String {
    let line = |(name, path): &(&str, &Path)| {
        format!("{name}='{}'\n", path.display().to_string().replace('\'', r"'\''"))
    };
    all.iter().map(line).collect()
}

fn real(path: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|e| format!("find {}: {e}", path.display()))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
