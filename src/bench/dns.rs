//! `bench dns`: how fast names are answered beside the fastest that there is, what a flood does to others, and what a restart
//! costs who asks. All of it is asked from inside containers, at 127.0.0.11, as their programs do.

use std::str::FromStr;
use std::time::Duration;

use bowline_core::{Code, Error, Result};

use crate::figure::Report;

mod aardvark;
mod dnsperf;
mod flood;
mod goal;
mod nsd;
mod pressure;
mod rates;
mod restart;
mod stage;
mod steady;
mod tools;
mod wire;

#[derive(Debug, Clone)]
pub struct Options {
    /// What is measured; all of it if empty.
    pub parts: Vec<Part>,
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn lasts, in whole seconds.
    pub stretch: Duration,
    /// How long each flood lasts.
    pub flood: Duration,
    /// How often the daemon is restarted, and how often it is killed.
    pub restarts: usize,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Owned,
    Forwarded,
    Flood,
    Restart,
}

impl Part {
    pub const ALL: [Part; 4] = [Part::Owned, Part::Forwarded, Part::Flood, Part::Restart];

    fn name(self) -> &'static str {
        match self {
            Part::Owned => "owned",
            Part::Forwarded => "forwarded",
            Part::Flood => "flood",
            Part::Restart => "restart",
        }
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Part> {
        Part::ALL.into_iter().find(|part| part.name() == text).ok_or_else(|| {
            Error::new(Code::InvalidRequest, format!("bench dns has no part {text:?}"))
                .fix(format!("one of {}", Part::ALL.map(Part::name).join(", ")))
        })
    }
}

impl Options {
    pub fn full() -> Options {
        Options {
            parts: Vec::new(),
            rounds: 5,
            stretch: Duration::from_secs(5),
            flood: Duration::from_secs(5),
            restarts: 10,
        }
    }

    pub fn quick() -> Options {
        Options {
            rounds: 3,
            stretch: Duration::from_secs(1),
            flood: Duration::from_secs(2),
            restarts: 2,
            ..Options::full()
        }
    }
}

pub fn run(options: &Options, tell: &dyn Fn(&str)) -> Result<Report> {
    let mut report = Report::new("dns");
    let tools = tools::Tools::here();
    tell("connecting two networks, of 20 names and of 10,000");
    let mut stage = stage::Stage::set()?;
    let parts = if options.parts.is_empty() { &Part::ALL[..] } else { &options.parts };
    for part in parts {
        match part {
            Part::Owned => rates::owned(&stage, &tools, options, &mut report, tell)?,
            Part::Forwarded => rates::forwarded(&stage, &tools, options, &mut report, tell)?,
            Part::Flood => pressure::run(&mut stage, &tools, options, &mut report, tell)?,
            Part::Restart => restart::run(&mut stage, options, &mut report, tell)?,
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
