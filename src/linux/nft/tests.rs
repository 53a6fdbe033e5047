//! The tables in real namespaces, with `nft` as the witness.

mod elements;
mod frame;
mod frames;
mod hooks;
mod owner;
mod ports;
mod published;
mod senders;
mod space;
mod speed;
mod traffic;
mod world;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bowline_core::family::Family;
use bowline_core::firewall::{Element, Table};
use bowline_core::mac::Mac;
use bowline_core::name::LinkName;
use bowline_core::port::{At, Ports, Protocol};

use super::Nft;

/// Runs the body in a network namespace of its own, which goes with it.
fn in_namespace(body: impl FnOnce() + Send + 'static) {
    space::Space::new().run(body);
}

/// Runs a program in the calling thread's namespace.
fn output(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

fn run(program: &str, args: &[&str]) -> String {
    let out = output(program, args);
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program} {args:?}: {stderr}");
    stdout.into_owned()
}

/// What `nft` shows of our tables, without blanks and without who owns them.
fn listing() -> String {
    let text = ["inet", "bridge"].map(|family| run("nft", &["list", "table", family, "bowline"])).concat();
    let lines = text.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("flags owner"))
        .map(|l| format!("{l}\n"))
        .collect()
}

fn network(name: &str) -> Element {
    Element::Network(name.parse().unwrap())
}

fn net(text: &str) -> Element {
    Element::Masquerade(text.parse().unwrap())
}

fn link(name: &str) -> LinkName {
    name.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// At 0.0.0.0 and ::, of all of the host's addresses.
fn port(at: &str, protocol: Protocol, port: u16, to: &str, to_port: u16) -> Element {
    Element::Port { at: At::of(ip(at)), protocol, port, to: ip(to), to_port }
}

fn span(at: &str, protocol: Protocol, first: u16, last: u16, to: &str) -> Element {
    Element::Span { at: At::of(ip(at)), protocol, ports: Ports::new(first, last).unwrap(), to: ip(to) }
}

/// Some of each, as they read back.
pub(super) fn every_kind() -> BTreeSet<Element> {
    let card = link("fifteen-letters");
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let mut all: BTreeSet<Element> = [
        Element::Network(card.clone()),
        Element::Within(card.clone()),
        Element::Apart(card.clone()),
        Element::Internal(card.clone()),
        Element::Strict(card.clone()),
        Element::Guarded(card.clone()),
        Element::Trusted { from: card.clone(), to: link("b") },
        Element::Trusted { from: card.clone(), to: card.clone() },
    ]
    .into();
    for family in Family::BOTH {
        all.extend([Element::Open(family, card.clone()), Element::Routed(family, link("b"))]);
    }
    let of_a_family =
        [("0.0.0.0", "192.0.2.1", "10.9.0.2", "10.9.0.0/24"), ("::", "2001:db8::1", "fd00::2", "fd00::/64")];
    for (any, here, to, subnet) in of_a_family {
        all.insert(net(subnet));
        all.insert(Element::Source { port: card.clone(), mac, address: ip(to) });
        for &protocol in Protocol::ALL {
            all.extend([
                Element::Reachable { address: ip(to), protocol, port: 80 },
                Element::Shut { at: At::of(ip(any)), protocol, port: 8080 },
                Element::Shut { at: At::One(ip(here)), protocol, port: 8080 },
                port(any, protocol, 8080, to, 80),
                port(here, protocol, 65535, to, 1),
                span(any, protocol, 9000, 9100, to),
                span(here, protocol, 1, 0xfff, to),
                span(here, protocol, 10_000, 65535, to),
                span(here, protocol, 0x1000, 0x1000, to),
            ]);
        }
    }
    all
}

/// Closes the socket, waits until the kernel has let go of its tables, and returns another one: other tests start
/// processes, and one that was forked meanwhile holds our sockets open until it runs its program.
fn abandon(nft: Nft) -> Nft {
    // One for all of the looking, for a socket may have the number of one whose end is only now dealt with.
    let mut next = Nft::open().unwrap();
    drop(nft);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Table::ALL.iter().any(|&of| next.table(of).unwrap().is_some_and(|table| table.owner.is_some())) {
        assert!(Instant::now() < deadline, "the tables still have an owner");
        std::thread::yield_now();
    }
    next
}

fn put(elements: &[Element]) -> Nft {
    let mut nft = Nft::open().unwrap();
    nft.put_frame(&elements.iter().cloned().collect()).unwrap();
    nft
}

fn seen(nft: &mut Nft) -> BTreeSet<Element> {
    nft.elements().unwrap().unwrap()
}

/// As many networks as asked for, each with a card, and a subnet of its own that touches the one before.
fn many(networks: u32) -> BTreeSet<Element> {
    let subnet = |i: u32| format!("{}/24", Ipv4Addr::from_bits(0x0a00_0000 + (i << 8)));
    (0..networks)
        .flat_map(|i| {
            let card = link(&format!("bl-{i}"));
            let cards = [
                Element::Network(card.clone()),
                Element::Within(card.clone()),
                Element::Open(Family::V4, card),
            ];
            cards.into_iter().chain([net(&subnet(i)), net(&format!("fd00:0:0:{i:x}::/64"))])
        })
        .collect()
}
