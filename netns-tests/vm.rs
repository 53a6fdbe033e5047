//! The lane of the virtual machine: what this kernel lacks is told on another one, in a guest under qemu that has this
//! machine's own files, and each story's outcome there is its outcome here.

mod archive;
mod guest;
mod kernel;
pub(crate) mod report;

use std::convert::Infallible;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use libtest_mimic::{Completion, Failed};

use guest::Guest;
use kernel::GuestKernel;

/// Whether every story is to be told in the guest: `BOWLINE_TEST_VM=all`.
pub(crate) fn takes_all() -> bool {
    env::var_os("BOWLINE_TEST_VM").is_some_and(|value| value == "all")
}

/// What a guest is made of.
pub(crate) struct Equipment {
    qemu: PathBuf,
    busybox: PathBuf,
    kernel: GuestKernel,
}

impl Equipment {
    /// Looks for it, and says what is not there.
    pub(crate) fn find() -> Result<Equipment, String> {
        if !cfg!(target_arch = "x86_64") {
            return Err("guests are for x86-64 only".into());
        }
        Ok(Equipment {
            qemu: on_path("qemu-system-x86_64")?,
            busybox: static_one(on_path("busybox")?)?,
            kernel: GuestKernel::find()?,
        })
    }
}

fn on_path(program: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file()).ok_or_else(|| format!("{program} is not installed"))
}

/// It runs before there are any libraries. A program that needs them names its loader in its ELF header.
fn static_one(busybox: PathBuf) -> Result<PathBuf, String> {
    const INTERPRETER: u64 = 3;
    let bytes = fs::read(&busybox).map_err(|e| format!("read {}: {e}", busybox.display()))?;
    let number = |at: u64, len: usize| {
        let part = bytes.get(usize::try_from(at).ok()?..)?.get(..len)?;
        Some(part.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (number(32, 8), number(54, 2).unwrap_or(0), number(56, 2).unwrap_or(0));
    let kinds = (0..count).map(|n| number(table? + n * size, 4));
    match kinds.into_iter().any(|kind| kind == Some(INTERPRETER)) {
        true => Err("busybox is not the static one".into()),
        false => Ok(busybox),
    }
}

/// How long the longest story may take, and booting. Those that walk through every death of the daemon are not in the guest,
/// unless all are.
const PATIENCE: Duration = Duration::from_secs(300);

/// One guest for all stories that are told there. It is booted for the first one that asks, when all others have been
/// told: it takes every processor that there is, and would disturb those that look at the clock.
pub(crate) struct Lane {
    equipment: Result<Equipment, String>,
    stories: Vec<&'static str>,
    others: Mutex<Receiver<Infallible>>,
    guest: OnceLock<Result<Guest, String>>,
}

/// Whoever holds one is not to be disturbed by the guest.
#[derive(Clone)]
pub(crate) struct Quiet {
    _kept: Sender<Infallible>,
}

impl Lane {
    pub(crate) fn new(equipment: Result<Equipment, String>, stories: Vec<&'static str>) -> (Lane, Quiet) {
        let (kept, others) = channel();
        let lane = Lane { equipment, stories, others: Mutex::new(others), guest: OnceLock::new() };
        (lane, Quiet { _kept: kept })
    }

    /// What came of a story in the guest, once it is known.
    pub(crate) fn told(&self, story: &str) -> Result<Completion, Failed> {
        let guest = self.guest.get_or_init(|| {
            let others = self.others.lock().expect("it is locked here only, and once");
            // Nothing is ever sent: it is heard that the last one has let go.
            let Err(_) = others.recv();
            let patience = if takes_all() { PATIENCE * 4 } else { PATIENCE };
            Guest::boot(self.equipment.as_ref()?, &self.stories, patience)
        });
        match guest {
            Ok(guest) => guest.waits_for(story),
            Err(why) => Err(Failed::from(format!("no guest: {why}"))),
        }
    }
}
