//! What CNI is told of a failure: a number from its list, what was tried, and why.

use std::fmt;

use bowline_api::Error;

use crate::json::{Json, object};

/// CNI's own numbers, and from 100 ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    Version = 1,
    Unsupported = 2,
    UnknownContainer = 3,
    Environment = 4,
    Io = 5,
    Decode = 6,
    Config = 7,
    Netns = 8,
    TryAgain = 11,
    Unavailable = 50,
    Denied = 100,
    Full = 101,
    AddressTaken = 102,
    PortTaken = 103,
    NoParent = 104,
    Kernel = 105,
    Exists = 106,
    Otherwise = 107,
    Internal = 999,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub msg: String,
    pub details: String,
}

impl Failure {
    pub(crate) fn new(code: Code, msg: impl Into<String>) -> Failure {
        Failure { code, msg: msg.into(), details: String::new() }
    }

    pub(crate) fn because(self, details: impl fmt::Display) -> Failure {
        let join = if self.details.is_empty() { "" } else { "; " };
        Failure { details: format!("{}{join}{details}", self.details), ..self }
    }

    pub(crate) fn json(&self, version: &str) -> Json {
        let mut json = object([
            ("cniVersion", Json::text(version)),
            ("code", Json::Number((self.code as u32).into())),
            ("msg", Json::text(&self.msg)),
        ]);
        if !self.details.is_empty() {
            json.set("details", Json::text(&self.details));
        }
        json
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let why = error.cause();
        let said = [why, error.fix.map(|fix| format!("fix: {fix}")), Some(error.code.to_string())];
        let details: Vec<String> = said.into_iter().flatten().collect();
        Failure { code: code(error.code), msg: error.what, details: details.join("; ") }
    }
}

fn code(of: bowline_api::Code) -> Code {
    use bowline_api::Code as Ours;
    match of {
        Ours::InvalidName
        | Ours::ReservedName
        | Ours::InvalidSubnet
        | Ours::InvalidGateway
        | Ours::InvalidRange
        | Ours::InvalidAddress
        | Ours::SubnetOverlap
        | Ours::InvalidMac
        | Ours::InvalidMtu
        | Ours::InvalidOption
        | Ours::InvalidPort
        | Ours::InvalidRate
        | Ours::InvalidDns
        | Ours::InvalidRules
        | Ours::InvalidVlan
        | Ours::InvalidMode
        | Ours::NetworkNotFound
        | Ours::NetworkExists
        | Ours::NetworkInUse => Code::Config,
        Ours::InvalidInterface => Code::Environment,
        Ours::InvalidNetns | Ours::NetnsGone | Ours::NetnsIsHost => Code::Netns,
        Ours::EndpointNotFound => Code::UnknownContainer,
        Ours::Unreachable | Ours::Timeout | Ours::Busy => Code::TryAgain,
        Ours::Denied => Code::Denied,
        Ours::SubnetFull | Ours::PoolsExhausted | Ours::BridgeFull | Ours::NoLease => Code::Full,
        Ours::AddressTaken | Ours::MacTaken => Code::AddressTaken,
        Ours::InvalidParent | Ours::ParentTaken => Code::NoParent,
        Ours::PortTaken => Code::PortTaken,
        Ours::Unsupported | Ours::Kernel => Code::Kernel,
        Ours::EndpointExists | Ours::AlreadyConnected | Ours::InterfaceTaken | Ours::LinkExists => {
            Code::Exists
        }
        Ours::InvalidRequest
        | Ours::TooLarge
        | Ours::TooDeep
        | Ours::NoSuchPath
        | Ours::NotConnected
        | Ours::NotPublished
        | Ours::NoResolver
        | Ours::NotRunning
        | Ours::StillRunning
        | Ours::NotStarted
        | Ours::DaemonRunning
        | Ours::InvalidSocket
        | Ours::StateUnwritable
        | Ours::StateCorrupt
        | Ours::StateNewer
        | Ours::InvalidConfig
        | Ours::Internal => Code::Internal,
    }
}
