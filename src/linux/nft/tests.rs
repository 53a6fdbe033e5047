//! The table in real namespaces, with `nft` as the witness.

mod elements;
mod frame;
mod owner;
mod space;
mod speed;
mod traffic;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bowline_core::firewall::Element;
use bowline_core::name::LinkName;

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

/// What `nft` shows of our table, without blanks and without who owns it.
fn listing() -> String {
    let text = run("nft", &["list", "table", "inet", "bowline"]);
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

/// Closes the socket, and waits until the kernel has let go of its table: other tests start processes, and one that was
/// forked meanwhile holds our sockets open until it runs its program.
fn abandon(nft: Nft) {
    drop(nft);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Nft::open().unwrap().table().unwrap().is_some_and(|table| table.owner.is_some()) {
        assert!(Instant::now() < deadline, "the table still has an owner");
        std::thread::yield_now();
    }
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
            let card = |make: fn(LinkName) -> Element| make(format!("bl-{i}").parse().unwrap());
            let cards = [card(Element::Network), card(Element::Within), card(Element::Open)];
            cards.into_iter().chain([net(&subnet(i)), net(&format!("fd00:0:0:{i:x}::/64"))])
        })
        .collect()
}
