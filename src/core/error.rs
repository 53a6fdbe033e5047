//! One error type for all of bowline: what was tried, why it failed, what to do, and a [`Code`] from one closed list.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was tried and on what, the causes from near to far, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub what: String,
    pub causes: Vec<String>,
    pub fix: Option<String>,
}

impl Error {
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Error { code, what: what.into(), causes: Vec::new(), fix: None }
    }

    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// What to do about it: a sentence, or better a command to paste.
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same failure, seen from one level up.
    pub fn context(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.what, what.into());
        self.causes.insert(0, inner);
        self
    }

    /// All causes in one line, or nothing.
    pub fn cause(&self) -> Option<String> {
        if self.causes.is_empty() { None } else { Some(self.causes.join(": ")) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Error {}

/// `result.context(|| format!("attach {endpoint} to {network}"))?`
pub trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.context(what()))
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal;)*) => {
        /// Why something failed. The list is closed: frontends match on it without `_`, and docs/errors.md has a page for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            pub fn number(self) -> u16 {
                match self { $(Code::$name => $number),* }
            }

            /// The heading of the code's page in docs/errors.md.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),* }
            }
        }
    };
}

codes! {
    InvalidRequest = 1001, "the request is not understood";
    TooLarge = 1002, "the request is too large";
    TooDeep = 1003, "the JSON is nested too deeply";
    NoSuchPath = 1004, "the API has no such path";
    InvalidName = 1101, "the name is not allowed";
    ReservedName = 1102, "the name is reserved";
    InvalidSubnet = 1103, "the subnet is not usable";
    InvalidGateway = 1104, "the gateway does not fit the subnet";
    InvalidRange = 1105, "the address range does not fit the subnet";
    InvalidAddress = 1106, "the address does not fit the network";
    SubnetOverlap = 1107, "the subnet overlaps something on this host";
    InvalidMac = 1108, "the MAC address is not usable";
    InvalidMtu = 1109, "the MTU is not usable";
    InvalidInterface = 1110, "the interface name is not usable";
    InvalidOption = 1111, "the options do not go together";
    InvalidPort = 1112, "the port is not usable";
    InvalidRate = 1113, "the rate is not usable";
    InvalidDns = 1114, "the DNS setting is not usable";
    InvalidParent = 1115, "the parent is not usable";
    InvalidVlan = 1116, "the VLAN is not usable";
    InvalidMode = 1117, "the mode is not known";
    NetworkNotFound = 1201, "there is no such network";
    EndpointNotFound = 1202, "there is no such endpoint";
    NetworkExists = 1203, "the network exists already";
    EndpointExists = 1204, "the endpoint exists already";
    NetworkInUse = 1205, "the network has endpoints";
    AddressTaken = 1206, "the address is taken";
    SubnetFull = 1207, "the subnet has no free address";
    PoolsExhausted = 1208, "the default pools have no free subnet";
    AlreadyConnected = 1209, "the endpoint is on the network already";
    NotConnected = 1210, "the endpoint is not on the network";
    BridgeFull = 1211, "the bridge has no free port";
    InterfaceTaken = 1212, "the interface name is taken in the namespace";
    LinkExists = 1213, "what is there already is not ours";
    PortTaken = 1214, "the port is taken";
    NotPublished = 1215, "the port is not published";
    NoResolver = 1216, "the endpoint has no resolver";
    ParentTaken = 1217, "the parent is in use";
    MacTaken = 1218, "the MAC address is taken";
    NoLease = 1219, "no DHCP server gave an address";
    InvalidNetns = 1301, "that is not a network namespace";
    NetnsGone = 1302, "the network namespace is gone";
    NetnsIsHost = 1303, "the network namespace is the host's own";
    NotRunning = 1304, "the command is not running";
    StillRunning = 1305, "the command is still running";
    NotStarted = 1306, "the command could not be started";
    Unsupported = 2001, "this kernel cannot do that";
    Denied = 3001, "permission denied";
    Unreachable = 3002, "the daemon does not answer";
    DaemonRunning = 3003, "a daemon runs here already";
    InvalidSocket = 3004, "the socket path is not usable";
    StateUnwritable = 3005, "the state directory cannot be written";
    StateCorrupt = 3006, "the state is damaged";
    StateNewer = 3007, "the state is from a newer version";
    InvalidConfig = 3008, "the configuration is not valid";
    Busy = 3009, "busy, try again";
    InvalidRules = 3010, "a file of the administrator's rules is not understood";
    Kernel = 4001, "the kernel refused";
    Timeout = 4002, "it took too long";
    Internal = 5001, "a mistake of ours";
}

impl Code {
    pub fn parse(text: &str) -> Option<Code> {
        let digits = text.trim().trim_start_matches("BWL-").trim_start_matches("bwl-");
        let number: u16 = digits.parse().ok()?;
        Code::ALL.iter().copied().find(|code| code.number() == number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BWL-{:04}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_code_fix_and_order_of_causes() {
        let error = Error::new(Code::Kernel, "add bl-front")
            .because("EPERM")
            .fix("run as root")
            .context("create front");
        assert_eq!(error.to_string(), "create front: add bl-front: EPERM");
        assert_eq!((error.code, error.fix.as_deref()), (Code::Kernel, Some("run as root")));
    }

    #[test]
    fn every_code_reads_back() {
        for &code in Code::ALL {
            assert_eq!(Code::parse(&code.to_string()), Some(code));
        }
        assert_eq!(Code::parse("BWL-9999"), None);
    }
}
