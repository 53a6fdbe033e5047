//! Which plugin this program is called as. Under the name of one of the reference plugins it takes that one's
//! configuration and does what that one does.

use std::ffi::OsStr;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All in one: `type: bowline`.
    Bowline,
    Bridge,
    Macvlan,
    Ipvlan,
    Ptp,
    Loopback,
    HostLocal,
    Static,
    Portmap,
    Firewall,
    Tuning,
    Bandwidth,
}

/// The version of the reference plugins that these behave like. Some runtimes want to read one.
pub(crate) const LIKE: &str = "1.9.1";

impl Role {
    pub const ALL: [Role; 12] = [
        Role::Bowline,
        Role::Bridge,
        Role::Macvlan,
        Role::Ipvlan,
        Role::Ptp,
        Role::Loopback,
        Role::HostLocal,
        Role::Static,
        Role::Portmap,
        Role::Firewall,
        Role::Tuning,
        Role::Bandwidth,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Role::Bowline => "bowline",
            Role::Bridge => "bridge",
            Role::Macvlan => "macvlan",
            Role::Ipvlan => "ipvlan",
            Role::Ptp => "ptp",
            Role::Loopback => "loopback",
            Role::HostLocal => "host-local",
            Role::Static => "static",
            Role::Portmap => "portmap",
            Role::Firewall => "firewall",
            Role::Tuning => "tuning",
            Role::Bandwidth => "bandwidth",
        }
    }

    /// None where it is called as what it is for people. Under its own name it is a plugin where a runtime says so.
    pub fn of(called: Option<&OsStr>, has_command: bool) -> Option<Role> {
        let name = Path::new(called?).file_name()?.to_str()?;
        match name {
            "bowline" => has_command.then_some(Role::Bowline),
            "bowline-cni" => Some(Role::Bowline),
            _ => Role::ALL.into_iter().find(|role| role.name() == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_known_by_the_name_it_is_called_by() {
        let of = |name: &str, has_command| Role::of(Some(OsStr::new(name)), has_command);
        assert_eq!(of("/opt/cni/bin/bridge", true), Some(Role::Bridge));
        assert_eq!(of("host-local", false), Some(Role::HostLocal));
        assert_eq!(of("/opt/cni/bin/bowline-cni", false), Some(Role::Bowline));
        assert_eq!(of("/usr/bin/bowline", false), None);
        assert_eq!(of("/usr/bin/bowline", true), Some(Role::Bowline));
        assert_eq!(of("/usr/bin/bowline.bak", true), None);
        assert_eq!(Role::of(None, true), None);
    }
}
