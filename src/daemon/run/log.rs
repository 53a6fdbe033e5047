//! One line for each thing that changed or failed, on stderr: text for people, JSON for machines.

use bowline_core::{Code, Error, Result};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

pub(super) fn start(level: &str, format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|e| {
        Error::new(Code::InvalidConfig, format!("log level {level:?} is not valid")).because(e)
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(false).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Error::new(Code::Internal, "start the log").because(e))
}
