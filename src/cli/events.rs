//! `bowline events`: what happens, one line each, as it happens.

use bowline_api::v1::{Event, EventKind};
use bowline_core::{Code, Error, Result};

use crate::exit;
use crate::io::Io;
use crate::screen::{clean, json_line};
use crate::session::Session;
use crate::time::rfc3339;

/// Ends well when its reader leaves, and badly when the daemon does.
pub(crate) fn execute(session: &Session, io: &mut Io<'_>) -> Result<u8> {
    for event in session.client.events()? {
        let event = event?;
        let text = match session.json {
            true => json_line(&event),
            false => line(&event),
        };
        if io.stream(&text)?.is_break() {
            return Ok(exit::OK);
        }
    }
    Err(Error::new(Code::Unreachable, "the daemon ended the stream of events")
        .fix("see whether it runs again: bowline system info"))
}

fn line(event: &Event) -> String {
    let mut line = format!("{}  {}", rfc3339(event.time_unix_ms), kind(event.kind));
    for (key, value) in [("network", &event.network), ("endpoint", &event.endpoint)] {
        if let Some(value) = value {
            line.push_str(&format!("  {key}={}", clean(value)));
        }
    }
    if let Some(detail) = &event.detail {
        line.push_str(&format!("  {}", clean(detail)));
    }
    line.push('\n');
    line
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::NetworkCreated => "network-created",
        EventKind::NetworkUpdated => "network-updated",
        EventKind::NetworkRemoved => "network-removed",
        EventKind::EndpointCreated => "endpoint-created",
        EventKind::EndpointRemoved => "endpoint-removed",
        EventKind::EndpointStopped => "endpoint-stopped",
        EventKind::Connected => "connected",
        EventKind::Disconnected => "disconnected",
        EventKind::Published => "published",
        EventKind::Unpublished => "unpublished",
        EventKind::ParentChanged => "parent-changed",
        EventKind::Leased => "leased",
        EventKind::LeaseLost => "lease-lost",
        EventKind::Healed => "healed",
        EventKind::Missed => "missed",
    }
}
