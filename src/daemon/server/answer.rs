//! Writing what a client gets: JSON, a failure with its status, or a stream of events.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bowline_api::v1::{Event, EventKind, Failure};
use bowline_core::{Code, Error};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

pub(super) fn json(value: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(value).expect("wire types have string keys only");
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

pub(super) fn failure(error: &Error) -> Response {
    (status(error.code), json(&Failure::from(error))).into_response()
}

/// One event a line, for as long as the client reads.
pub(super) fn events(from: broadcast::Receiver<Event>) -> Response {
    let lines = BroadcastStream::new(from).map(|event| {
        let event = event.unwrap_or_else(|BroadcastStreamRecvError::Lagged(count)| missed(count));
        let mut line = serde_json::to_vec(&event).expect("wire types have string keys only");
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    ([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response()
}

fn missed(count: u64) -> Event {
    let detail = Some(format!("{count} events are missing"));
    Event { time_unix_ms: 0, kind: EventKind::Missed, network: None, endpoint: None, detail }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest
        | Code::InvalidName
        | Code::ReservedName
        | Code::InvalidSubnet
        | Code::InvalidGateway
        | Code::InvalidRange
        | Code::InvalidAddress
        | Code::InvalidMac
        | Code::InvalidMtu
        | Code::InvalidInterface
        | Code::InvalidOption
        | Code::InvalidPort
        | Code::InvalidRate
        | Code::InvalidDns
        | Code::InvalidParent
        | Code::InvalidVlan
        | Code::InvalidMode
        | Code::InvalidRules
        | Code::InvalidNetns
        | Code::NetnsIsHost
        | Code::TooDeep
        | Code::InvalidSocket
        | Code::InvalidConfig => StatusCode::BAD_REQUEST,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NoSuchPath
        | Code::NetworkNotFound
        | Code::EndpointNotFound
        | Code::NotPublished
        | Code::NoResolver
        | Code::NetnsGone => StatusCode::NOT_FOUND,
        Code::SubnetOverlap
        | Code::NetworkExists
        | Code::EndpointExists
        | Code::NetworkInUse
        | Code::AddressTaken
        | Code::SubnetFull
        | Code::PoolsExhausted
        | Code::AlreadyConnected
        | Code::NotConnected
        | Code::BridgeFull
        | Code::InterfaceTaken
        | Code::LinkExists
        | Code::PortTaken
        | Code::ParentTaken
        | Code::MacTaken
        | Code::DaemonRunning
        | Code::NotRunning
        | Code::StillRunning => StatusCode::CONFLICT,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::Denied => StatusCode::FORBIDDEN,
        Code::Busy | Code::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout | Code::NoLease => StatusCode::GATEWAY_TIMEOUT,
        Code::StateUnwritable => StatusCode::INSUFFICIENT_STORAGE,
        Code::StateCorrupt | Code::StateNewer | Code::Kernel | Code::NotStarted | Code::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
