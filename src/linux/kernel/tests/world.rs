//! A world of its own for each test: a fresh namespace as the host, another as a container, and `ip` as a witness
//! that knows nothing of our code.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use bowline_core::Error;
use bowline_core::firewall::Element;
use bowline_core::kernel::{Kernel as _, Scope};
use bowline_core::name::{Id, LinkName};
use bowline_core::place::{Door, Place};
use bowline_core::plan::{Change, diff};
use bowline_core::state::{Addr, Kind, Link, LinkKey, Master, Route, State};
use serde_json::Value;

use crate::kernel::{Kernel, Options};
use crate::netns;

pub(super) const BRIDGE: &str = "bl-front";
pub(super) const CARD: &str = "eth0";

pub(super) struct World {
    pub(super) kernel: Kernel,
    pub(super) host: Place,
}

/// A container's namespace, open.
pub(super) struct Container {
    pub(super) ns: OwnedFd,
    pub(super) place: Place,
}

/// Runs a test on a thread of its own whose namespace is the host of an empty world.
pub(super) fn world(test: impl FnOnce(&World) + Send) {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    let ns = netns::create().unwrap();
    netns::run(&ns, || {
        let kernel = Kernel::new(Options::default()).unwrap();
        let host = kernel.host();
        test(&World { kernel, host });
    })
    .expect("the test panicked");
}

impl World {
    pub(super) fn container(&self) -> Container {
        let ns = netns::create().unwrap();
        let place = self.kernel.open(&door(&ns)).unwrap();
        Container { ns, place }
    }

    /// Makes it so, and checks that nothing is left to do.
    pub(super) fn reach(&self, wanted: &State) {
        let plan = diff(&self.seen(wanted), wanted);
        self.apply(&plan).unwrap_or_else(|e| panic!("{e}\n{}", shown(&plan)));
        self.assert_holds(wanted);
    }

    pub(super) fn assert_holds(&self, wanted: &State) {
        let seen = self.seen(wanted);
        let rest = diff(&seen, wanted);
        assert!(rest.is_empty(), "left to do:\n{}\nseen:\n{seen}", shown(&rest));
    }

    pub(super) fn apply(&self, plan: &[Change]) -> Result<(), Error> {
        self.kernel.apply(plan)
    }

    /// The host, and every card that is wanted.
    pub(super) fn seen(&self, wanted: &State) -> State {
        let mut seen = self.kernel.observe(&Scope::Host(self.host)).unwrap();
        for (key, link) in &wanted.links {
            if matches!(link.kind, Kind::Card { .. }) {
                seen.extend(self.kernel.observe(&Scope::Card(key.place, key.name.clone())).unwrap());
            }
        }
        seen
    }

    pub(super) fn key(&self, text: &str) -> LinkKey {
        LinkKey::new(self.host, name(text))
    }

    pub(super) fn bridge(&self) -> Link {
        let mac = Some("02:62:00:00:00:01".parse().unwrap());
        Link { owner: Some(Id(1)), up: true, mac, ..Link::new(Kind::Bridge, 1500) }
    }

    /// The table, and a network with an IPv4 gateway.
    pub(super) fn network(&self) -> State {
        let mut state = State::default();
        state.frames.insert(self.host);
        state.elements.insert((self.host, Element::Network(name(BRIDGE))));
        state.elements.insert((self.host, Element::Masquerade("10.9.0.0/24".parse().unwrap())));
        state.links.insert(self.key(BRIDGE), self.bridge());
        state.addrs.insert(Addr { link: self.key(BRIDGE), net: "10.9.0.1/24".parse().unwrap() });
        state.set_sysctl(self.host, "net/ipv4/ip_forward", "1");
        for (leaf, value) in [("disable_ipv6", "1"), ("accept_ra", "0"), ("accept_dad", "0")] {
            state.set_sysctl(self.host, format!("net/ipv6/conf/{BRIDGE}/{leaf}"), value);
        }
        state.set_sysctl(self.host, format!("net/ipv4/conf/{BRIDGE}/route_localnet"), "0");
        state
    }

    /// An endpoint with an IPv4 address and default route, its port named `bl<n>`.
    pub(super) fn endpoint(&self, n: u32, container: &Container) -> State {
        let port = self.key(&format!("bl{n}"));
        let card = LinkKey::new(container.place, name(CARD));
        let mut state = State::default();
        let link = Link {
            owner: Some(Id(100 + u128::from(n))),
            up: true,
            master: Some(Master::ours(name(BRIDGE))),
            ..Link::new(Kind::Port { card: card.clone() }, 1500)
        };
        state.links.insert(port.clone(), link);
        let mac = Some(bowline_core::mac::Mac::local(u64::from(n)));
        state.links.insert(card.clone(), Link { up: true, mac, ..Link::new(Kind::Card { port }, 1500) });
        state.links.insert(LinkKey::loopback(container.place), Link::loopback());
        let [.., high, low] = (n + 2).to_be_bytes();
        let net = format!("10.9.{high}.{low}/24").parse().unwrap();
        state.addrs.insert(Addr { link: card.clone(), net });
        let via = Some("10.9.0.1".parse().unwrap());
        state.routes.insert(Route::new(card, "0.0.0.0/0".parse().unwrap(), via));
        state.set_sysctl(container.place, format!("net/ipv6/conf/{CARD}/disable_ipv6"), "1");
        state
    }

    /// Gives IPv6 to a network and an endpoint made as above.
    pub(super) fn add_ipv6(&self, state: &mut State, container: &Container) {
        let card = LinkKey::new(container.place, name(CARD));
        state.set_sysctl(self.host, "net/ipv6/conf/all/forwarding", "1");
        state.set_sysctl(self.host, format!("net/ipv6/conf/{BRIDGE}/disable_ipv6"), "0");
        for (leaf, value) in [("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")] {
            state.set_sysctl(container.place, format!("net/ipv6/conf/{CARD}/{leaf}"), value);
        }
        state.addrs.insert(Addr { link: self.key(BRIDGE), net: "fd00:9::1/64".parse().unwrap() });
        state.addrs.insert(Addr { link: card.clone(), net: "fd00:9::2/64".parse().unwrap() });
        let via = Some("fd00:9::1".parse().unwrap());
        state.routes.insert(Route::new(card.clone(), "::/0".parse().unwrap(), via));
        state.routes.insert(Route::new(card, "fd00:8::/64".parse().unwrap(), None));
    }
}

impl Container {
    /// `ip` inside.
    pub(super) fn ip(&self, arguments: &str) -> Value {
        netns::run(&self.ns, || ip(arguments)).unwrap()
    }
}

pub(super) fn door(ns: &OwnedFd) -> Door {
    Door::Fd { pid: std::process::id(), fd: ns.as_raw_fd() as u32 }
}

pub(super) fn name(text: &str) -> LinkName {
    text.parse().unwrap()
}

/// `ip -j` in this thread's namespace, which must succeed.
pub(super) fn ip(arguments: &str) -> Value {
    let output =
        Command::new("ip").args(["-j", "-d"]).args(arguments.split_ascii_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).unwrap() }
}

/// The link of that name as `ip` shows it, if there is one.
pub(super) fn link(name: &str) -> Option<Value> {
    let all = ip("link show");
    all.as_array().unwrap().iter().find(|link| link["ifname"] == name).cloned()
}

pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}

pub(super) fn shown(plan: &[Change]) -> String {
    plan.iter().map(|change| format!("  {change}\n")).collect()
}
