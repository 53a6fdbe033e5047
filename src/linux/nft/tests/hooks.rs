//! The administrator's rules: as `nft` shows and sends them, kept through changes, and what they do to packets.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bowline_core::Code;
use bowline_core::firewall::Element;
use bowline_core::firewall::hooks::{HookChain, Hooks, Rule};
use bowline_core::port::Protocol::Udp;

use super::world::{
    HOST_OUTSIDE, HOST_OUTSIDE6, OUTSIDE, PORT, World, ip, listen, next, send, two_networks, was,
};
use super::{in_namespace, listing, network, port, put, run, seen};
use crate::nft::Nft;

/// Written as `nft` shows them, and sent as it sends them.
const RULES: &str = r#"
    iifname "eth0" accept
    iifname != "eth0" accept
    iifname "eth*" accept
    iifname != "eth*" accept
    oifname { "a", "fifteen-letters" } accept
    oifname != { "a", "b" } accept
    ip saddr 192.0.2.1 drop
    ip saddr != 192.0.2.1 drop
    ip saddr 192.0.2.0/24 drop
    ip daddr != 10.0.0.0/8 drop
    ip daddr != 192.0.0.0/20 drop
    ip saddr 192.0.2.1-192.0.2.9 drop
    ip saddr != 192.0.2.1-192.0.2.9 drop
    ip saddr { 192.0.2.1, 192.0.2.9 } drop
    ip saddr { 0.0.0.0/8, 10.0.0.0/8, 192.0.2.1, 192.0.2.5-192.0.2.9, 255.0.0.0/8 } drop
    ip saddr != { 10.0.0.0/8, 255.255.255.255 } drop
    ip saddr 0.0.0.0/0 ip daddr 192.0.2.1 drop
    ip6 daddr fd00::/8 counter log prefix "six: " drop
    ip6 saddr fd00::/20 return
    ip6 saddr { ::1, fd00::/20, ffff::/16 } return
    meta l4proto tcp accept
    meta l4proto != { icmp, udp, ipv6-icmp, 99 } accept
    meta l4proto { tcp, udp } th dport 53 accept
    ip protocol tcp accept
    ip protocol tcp tcp dport 22 accept
    ip saddr 192.0.2.0/24 tcp dport 22 drop
    tcp dport != 22 drop
    udp sport 0-1023 udp dport 53 drop
    tcp dport != 22-80 drop
    tcp dport { 80, 443, 8000-8100 } drop
    sctp dport != { 80, 443 } drop
    icmp type echo-request accept
    icmp type != 77 accept
    ip saddr 192.0.2.1 icmp type { echo-reply, echo-request } accept
    icmpv6 type { echo-request, nd-neighbor-solicit } accept
    ct state established,related accept
    ct state new limit rate over 10/minute burst 7 packets counter drop
    ct status dnat return
    ct original ip daddr 192.0.2.1 drop
    ct original ip6 saddr fd00::1 drop
    tcp dport 80 ct original proto-dst 8080 accept
    meta l4proto udp ct original proto-src != 1-1023 accept
    meta mark 0x00000001 accept
    meta mark != 0x00000001 accept
    meta mark & 0x000000ff == 0x00000010 accept
    meta mark & 0x000000ff != 0x00000010 accept
    fib daddr type local accept
    fib daddr type != local accept
    limit rate 100/day accept
    log
    log prefix "a" level info
    counter
    reject
"#;

/// `nft` 1.0.6 takes these, and makes of some of them what they do not say (a prefix of a connection, say).
const SHOWN_ONLY: &str = r#"
    ip6 daddr fd00::/8 reject
    tcp dport { 80-81, 82 } accept
    meta l4proto tcp ct original proto-dst { 80, 8000-8100 } accept
    ct original ip daddr { 192.0.2.1, 198.51.100.0/24 } drop
"#;

fn rules(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn chain(name: &str, rules: &str) -> String {
    format!("chain {name} {{\n{rules}\n}}\n")
}

fn forward(rules: &str) -> Hooks {
    Hooks::parse("test.nft", &chain("user-forward", rules)).unwrap()
}

fn prerouting(rules: &str) -> Hooks {
    Hooks::parse("test.nft", &chain("user-prerouting", rules)).unwrap()
}

/// The rules that `nft` shows, without what they counted.
fn shown(of: HookChain) -> Vec<String> {
    let text = run("nft", &["list", "chain", "inet", "bowline", of.name()]);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let rules = lines.skip(2).map(|line| line.replace(" packets 0 bytes 0", ""));
    rules.take_while(|line| line != "}").collect()
}

#[test]
fn nft_shows_what_was_written() {
    in_namespace(|| {
        let mut nft = put(&[]);
        let all = [RULES, SHOWN_ONLY].concat();
        nft.put_hooks(forward(&all)).unwrap();
        assert_eq!(shown(HookChain::Forward), rules(&all));
        assert_eq!(shown(HookChain::Prerouting), [""; 0]);

        nft.put_hooks(prerouting("iifname \"eth0\" tcp dport { 22, 80 } reject")).unwrap();
        assert_eq!(shown(HookChain::Forward), [""; 0]);
        assert_eq!(shown(HookChain::Prerouting), ["iifname \"eth0\" tcp dport { 22, 80 } reject"]);
    });
}

/// A chain's expressions, and before them the entries of all sets of its table. What sets are called, and what `nft`
/// notes beside an entry, is left out.
fn expressions(table: &str) -> Vec<Vec<String>> {
    let text = run("nft", &["--debug=netlink", "list", "chain", "inet", table, "user-forward"]);
    let mut all: Vec<Vec<String>> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("table")) {
        let line = line.trim().split("  userdata").next().unwrap_or_default();
        match line.strip_prefix("inet ") {
            Some(_) => all.push(Vec::new()),
            None if line.is_empty() => {}
            None => {
                let words = line.split(' ').map(|word| if word.starts_with("__set") { "set" } else { word });
                let words: Vec<&str> = words.collect();
                all.last_mut().expect("a rule or a set begins with its table").push(words.join(" "));
            }
        }
    }
    let is_set = |lines: &Vec<String>| lines.iter().any(|line| line.starts_with("element"));
    all.iter_mut().filter(|lines| is_set(lines)).for_each(|lines| lines.sort());
    all
}

#[test]
fn nft_sends_the_same_expressions_and_sets() {
    in_namespace(|| {
        let mut nft = put(&[]);
        let frame = expressions("bowline");
        for rule in rules(RULES) {
            nft.put_hooks(forward(rule)).unwrap();
            run("nft", &[&format!("table inet theirs {{ {} }}", chain("user-forward", rule))]);
            let (mut ours, theirs) = (expressions("bowline"), expressions("theirs"));
            ours.retain(|part| !frame.contains(part));
            assert!(!ours.is_empty() && ours == theirs, "{rule}\nours: {ours:#?}\ntheirs: {theirs:#?}");
            run("nft", &["delete table inet theirs"]);
        }
    });
}

#[test]
fn rules_are_replaced_and_stay_while_the_frame_is_put_anew() {
    in_namespace(|| {
        let mut nft = put(&[network("bl-a")]);
        let before = listing();
        let hooks = Hooks { prerouting: forward("tcp dport { 1, 2 } drop").forward, ..forward("accept") };
        for _ in 0..2 {
            nft.put_hooks(hooks.clone()).unwrap();
            assert_eq!(seen(&mut nft), [network("bl-a")].into(), "the frame is whole");
        }
        nft.put_frame(&[network("bl-b")].into()).unwrap();
        assert_eq!(seen(&mut nft), [network("bl-b")].into());
        assert_eq!(shown(HookChain::Forward), ["accept"]);
        assert_eq!(shown(HookChain::Prerouting), ["tcp dport { 1, 2 } drop"]);
        nft.put_hooks(Hooks::default()).unwrap();
        nft.put_frame(&[network("bl-a")].into()).unwrap();
        assert_eq!(listing(), before);

        // A socket that has put nothing yet takes the tables of an ended one.
        super::abandon(nft);
        let mut nft = Nft::open().unwrap();
        nft.put_hooks(forward("drop")).unwrap();
        assert_eq!(shown(HookChain::Forward), ["drop"]);
        assert_eq!(seen(&mut nft), [network("bl-a")].into());
    });
}

#[test]
fn where_there_are_no_tables_the_rules_wait_for_them() {
    in_namespace(|| {
        let mut nft = Nft::open().unwrap();
        nft.put_hooks(forward("accept")).unwrap();
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        nft.put_frame(&BTreeSet::new()).unwrap();
        assert_eq!(shown(HookChain::Forward), ["accept"]);
        nft.keep_hooks(forward("return"));
        assert_eq!(shown(HookChain::Forward), ["accept"]);
        nft.put_frame(&BTreeSet::new()).unwrap();
        assert_eq!(shown(HookChain::Forward), ["return"]);
    });
}

#[test]
fn rules_that_are_refused_change_nothing() {
    in_namespace(|| {
        let mut nft = Nft::open().unwrap();
        // A table of that name without our chains.
        run("nft", &["add table inet bowline; add chain inet bowline user-prerouting"]);
        let error = nft.put_hooks(forward("drop")).unwrap_err();
        assert_eq!(
            (error.code, error.to_string().as_str()),
            (Code::Kernel, "flush chain inet user-forward: ENOENT: and 1 more operations were refused")
        );
        nft.put_frame(&BTreeSet::new()).unwrap();
        assert_eq!(shown(HookChain::Forward), [""; 0], "they are not kept either");
    });
}

#[test]
fn the_longest_rules_and_the_largest_sets_fit() {
    in_namespace(|| {
        let mut nft = put(&[]);
        let masked = "ip6 saddr != fd00::/9 ".repeat(Rule::MOST_PARTS / 2);
        let logged = "log prefix \"123456789012345678901234567890\" ".repeat(Rule::MOST_PARTS / 4);
        let limited = "limit rate 1/day burst 65535 packets ".repeat(Rule::MOST_PARTS / 4);
        let longest = format!("{masked}{logged}{limited}accept");
        let ranges: Vec<String> = (1..3000).map(|i| format!("fd00:{i:x}::/32")).collect();
        let largest = format!("ip6 saddr {{ {} }} drop", ranges.join(", "));
        let many = format!("{longest}\n{largest}\n{}", "tcp dport { 80, 443 } drop\n".repeat(998));
        let hooks = forward(&many);
        assert_eq!(hooks.len(), Hooks::MOST_RULES);
        nft.put_hooks(hooks).unwrap();
        let rules = shown(HookChain::Forward);
        assert_eq!(rules[0], longest);
        assert!(rules.iter().map(String::as_str).collect::<String>().contains("fd00:1::/32"));
        nft.put_hooks(Hooks::default()).unwrap();
    });
}

impl World {
    fn hook(&self, hooks: Hooks) {
        self.with(move |nft| nft.put_hooks(hooks).unwrap());
    }

    /// Waits until a rule has counted so many packets.
    fn counted(&self, packets: u32) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let wanted = format!("counter packets {packets} ");
        self.host.run(move || {
            loop {
                let text = run("nft", &["list", "table", "inet", "bowline"]);
                if text.contains(&wanted) {
                    return;
                }
                assert!(Instant::now() < deadline, "no {wanted}in {text}");
                std::thread::yield_now();
            }
        });
    }
}

fn published() -> World {
    let ports = [port("0.0.0.0", Udp, PORT, "10.1.0.2", PORT), port("::", Udp, PORT, "fd01::2", PORT)];
    World::new(two_networks().into_iter().chain(ports).collect())
}

/// Every packet begins a flow, as each comes from a port of its own. What counts is for none but these packets: where
/// br_netfilter is loaded, what members say among themselves is forwarded too.
#[test]
fn a_drop_stops_a_published_port() {
    let world = published();
    let hears = listen(&world.a[0]);
    for hooks in [
        forward("ip saddr 192.0.2.0/24 udp dport 7 counter drop"),
        forward("iifname \"wan*\" oifname \"bl-a\" ct state new counter drop"),
        forward("udp dport 7 ip saddr { 192.0.2.2, 10.0.0.0/9, 10.200.0.0/16 } counter drop"),
        forward("udp dport 7 ip saddr != { 192.0.2.7, 10.0.0.0/9 } counter drop"),
        forward("ct status dnat meta l4proto udp ct original proto-dst 7 counter drop"),
        forward("ct original ip daddr 192.0.2.0/29 counter drop"),
        forward("ct original ip daddr { 192.0.2.0-192.0.2.4, 192.0.2.9 } counter drop"),
        prerouting("iifname \"wan0\" udp dport { 1-9, 100 } counter log prefix \"test: \" drop"),
        prerouting("udp dport 7 fib daddr type local counter reject"),
    ] {
        world.hook(hooks.clone());
        send(&world.outside, HOST_OUTSIDE, "stopped");
        world.counted(1);
        world.hook(Hooks::default());
        send(&world.outside, HOST_OUTSIDE, "passed");
        assert_eq!(next(&hears), was("passed", OUTSIDE), "{hooks}");
    }
}

#[test]
fn a_drop_stops_a_routed_port() {
    let member = Element::Reachable { address: super::ip("10.1.0.2"), protocol: Udp, port: PORT };
    let world = World::new(two_networks().into_iter().chain([member]).collect());
    let hears = listen(&world.a[0]);
    ip(&world.outside, format!("route add 10.1.0.0/24 via {HOST_OUTSIDE}"));
    world.hook(forward("ip daddr 10.1.0.0/24 counter drop"));
    send(&world.outside, "10.1.0.2", "stopped");
    world.counted(1);
    world.hook(forward("ip daddr 10.1.1.0/24 counter drop"));
    send(&world.outside, "10.1.0.2", "routed");
    assert_eq!(next(&hears), was("routed", OUTSIDE));
}

#[test]
fn a_limit_stops_what_is_beyond_it() {
    let world = published();
    let hears = listen(&world.a[0]);
    world.hook(forward("udp dport 7 limit rate over 1/day burst 2 packets counter drop"));
    for text in ["first", "second"] {
        send(&world.outside, HOST_OUTSIDE, text);
        assert_eq!(next(&hears), was(text, OUTSIDE));
    }
    send(&world.outside, HOST_OUTSIDE, "third");
    world.counted(1);
}

#[test]
fn a_reject_tells_the_sender_in_either_chain_and_family() {
    let world = published();
    for hooks in [forward("reject"), prerouting("udp dport 7 reject")] {
        world.hook(hooks.clone());
        for to in [HOST_OUTSIDE, HOST_OUTSIDE6] {
            let refused = world.outside.run(move || {
                let to = SocketAddr::new(super::ip(to), PORT);
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                socket.connect(to).unwrap();
                socket.send(b"anybody?").unwrap();
                socket.recv(&mut [0; 8]).unwrap_err().kind()
            });
            assert_eq!(refused, ErrorKind::ConnectionRefused, "{to} {hooks}");
        }
    }
}

#[test]
fn an_accept_opens_what_ours_would_drop_and_return_does_not() {
    let world = World::new(two_networks());
    let hears = listen(&world.b);
    for conditions in [
        "iifname \"bl-a\" oifname \"bl-b\" udp dport 7",
        "ip saddr 10.1.0.2-10.1.0.3 ip daddr 10.2.0.2",
        "ct state established,related,new ip protocol udp",
        "udp dport 7 oifname != { \"wan0\", \"bl-a\" } meta mark & 0xff == 0",
        "meta l4proto != { tcp, icmp, ipv6-icmp } th dport { 6-8, 80 }",
    ] {
        world.hook(forward(&format!("{conditions} counter return\naccept")));
        send(&world.a[0], "10.2.0.2", "returned");
        world.counted(1);
        world.hook(forward(&format!("{conditions} accept")));
        send(&world.a[0], "10.2.0.2", "open");
        assert_eq!(next(&hears), was("open", "10.1.0.2"), "{conditions}");
    }
}
