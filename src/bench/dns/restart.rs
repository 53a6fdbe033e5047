//! What a client notices when the daemon is restarted, and when it is killed.

use std::thread;
use std::time::Duration;

use bowline_core::Result;

use super::Options;
use super::goal;
use super::stage::{RESOLVER, Stage};
use super::steady::Steady;
use crate::figure::Report;

/// Between two of them, so that each is met by clients that had become quiet again.
const BETWEEN: Duration = Duration::from_millis(300);

pub(super) fn run(
    stage: &mut Stage,
    options: &Options,
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    tell(&format!("asking while the daemon is restarted and killed, {} times each", options.restarts));
    let names = stage.few.names.iter().map(|(name, _)| name.clone()).collect();
    let steady = Steady::start(&stage.few.insides[2], RESOLVER, names)?;
    for _ in 0..options.restarts {
        thread::sleep(BETWEEN);
        stage.rig.stop()?;
        stage.rig.start()?;
        thread::sleep(BETWEEN);
        stage.rig.kill()?;
        stage.rig.start()?;
    }
    thread::sleep(BETWEEN);
    let heard = steady.finish()?;
    report.samples.insert("restart", heard.latencies.len());
    goal::RESTART_P99.percentile(report, &heard.latencies, 0.99);
    goal::RESTART_WORST.percentile(report, &heard.latencies, 1.0);
    goal::RESTART_LOST.measured(report, heard.bad() as f64);
    Ok(())
}
