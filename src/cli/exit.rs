//! What the exit code of `bowline` says, so that a script can tell "not there" from "not allowed" without reading text.

use bowline_api::Code;

pub const OK: u8 = 0;
pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
pub const NOT_FOUND: u8 = 3;
pub const CONFLICT: u8 = 4;
pub const DENIED: u8 = 5;
pub const UNREACHABLE: u8 = 6;
/// A check was made, and it said no.
pub const NO: u8 = 7;
pub const UNSUPPORTED: u8 = 8;
/// As `timeout` has it.
pub const TIMEOUT: u8 = 124;

pub fn code(code: Code) -> u8 {
    match code {
        Code::InvalidRequest
        | Code::TooLarge
        | Code::TooDeep
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
        | Code::InvalidSocket
        | Code::InvalidConfig => USAGE,
        Code::NetworkNotFound
        | Code::EndpointNotFound
        | Code::NotConnected
        | Code::NotPublished
        | Code::NoResolver
        | Code::NetnsGone => NOT_FOUND,
        Code::SubnetOverlap
        | Code::NetworkExists
        | Code::EndpointExists
        | Code::NetworkInUse
        | Code::AddressTaken
        | Code::AlreadyConnected
        | Code::InterfaceTaken
        | Code::LinkExists
        | Code::PortTaken
        | Code::ParentTaken
        | Code::MacTaken
        | Code::NotRunning
        | Code::StillRunning
        | Code::DaemonRunning => CONFLICT,
        Code::Denied => DENIED,
        // A path that the daemon does not know is a daemon of another version.
        Code::Unreachable | Code::NoSuchPath | Code::StateNewer => UNREACHABLE,
        Code::Unsupported => UNSUPPORTED,
        Code::Timeout | Code::NoLease => TIMEOUT,
        Code::SubnetFull
        | Code::PoolsExhausted
        | Code::BridgeFull
        | Code::NotStarted
        | Code::StateUnwritable
        | Code::StateCorrupt
        | Code::Busy
        | Code::Kernel
        | Code::Internal => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::*;

    #[test]
    fn the_exit_code_of_every_error() {
        let mut table = String::new();
        for &each in Code::ALL {
            writeln!(table, "{:3} {each} {}", code(each), each.title()).unwrap();
        }
        expect![[r#"
              2 BWL-1001 the request is not understood
              2 BWL-1002 the request is too large
              2 BWL-1003 the JSON is nested too deeply
              6 BWL-1004 the API has no such path
              2 BWL-1101 the name is not allowed
              2 BWL-1102 the name is reserved
              2 BWL-1103 the subnet is not usable
              2 BWL-1104 the gateway does not fit the subnet
              2 BWL-1105 the address range does not fit the subnet
              2 BWL-1106 the address does not fit the network
              4 BWL-1107 the subnet overlaps something on this host
              2 BWL-1108 the MAC address is not usable
              2 BWL-1109 the MTU is not usable
              2 BWL-1110 the interface name is not usable
              2 BWL-1111 the options do not go together
              2 BWL-1112 the port is not usable
              2 BWL-1113 the rate is not usable
              2 BWL-1114 the DNS setting is not usable
              2 BWL-1115 the parent is not usable
              2 BWL-1116 the VLAN is not usable
              2 BWL-1117 the mode is not known
              3 BWL-1201 there is no such network
              3 BWL-1202 there is no such endpoint
              4 BWL-1203 the network exists already
              4 BWL-1204 the endpoint exists already
              4 BWL-1205 the network has endpoints
              4 BWL-1206 the address is taken
              1 BWL-1207 the subnet has no free address
              1 BWL-1208 the default pools have no free subnet
              4 BWL-1209 the endpoint is on the network already
              3 BWL-1210 the endpoint is not on the network
              1 BWL-1211 the bridge has no free port
              4 BWL-1212 the interface name is taken in the namespace
              4 BWL-1213 what is there already is not ours
              4 BWL-1214 the port is taken
              3 BWL-1215 the port is not published
              3 BWL-1216 the endpoint has no resolver
              4 BWL-1217 the parent is in use
              4 BWL-1218 the MAC address is taken
            124 BWL-1219 no DHCP server gave an address
              2 BWL-1301 that is not a network namespace
              3 BWL-1302 the network namespace is gone
              2 BWL-1303 the network namespace is the host's own
              4 BWL-1304 the command is not running
              4 BWL-1305 the command is still running
              1 BWL-1306 the command could not be started
              8 BWL-2001 this kernel cannot do that
              5 BWL-3001 permission denied
              6 BWL-3002 the daemon does not answer
              4 BWL-3003 a daemon runs here already
              2 BWL-3004 the socket path is not usable
              1 BWL-3005 the state directory cannot be written
              1 BWL-3006 the state is damaged
              6 BWL-3007 the state is from a newer version
              2 BWL-3008 the configuration is not valid
              1 BWL-3009 busy, try again
              2 BWL-3010 a file of the administrator's rules is not understood
              1 BWL-4001 the kernel refused
            124 BWL-4002 it took too long
              1 BWL-5001 a mistake of ours
        "#]]
        .assert_eq(&table);
    }
}
