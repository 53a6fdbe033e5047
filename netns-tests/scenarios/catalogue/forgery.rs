//! What a member forges: 100,000 frames of each kind, of which nobody gets one. The same kinds from a member that is
//! not guarded arrive and do their harm, so the forgeries are good ones.

use serde_json::Value;

use super::frames::{Gate, mac, port, sends, sends_past};
use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

const MANY: u64 = 100_000;
const FEW: u64 = 20;

struct Town<'w> {
    web: Place<'w>,
    app: Place<'w>,
    /// Guarded, as everybody is who does not ask for something else.
    mallory: Place<'w>,
    rogue: Place<'w>,
}

fn town(w: &World) -> Town<'_> {
    w.bowline("network create front --subnet 10.9.0.0/16 --subnet fd00:9::/64");
    let town = Town {
        web: w.attach("web", "front", ""),
        app: w.attach("app", "front", ""),
        mallory: w.attach("mallory", "front", ""),
        rogue: w.attach("rogue", "front", "--no-antispoof"),
    };
    for address in ["10.9.0.2", "fd00:9::2"] {
        town.app.reaches(address);
        w.host().reaches(address);
    }
    town
}

/// Who is where, as somebody believes: addresses and MACs, without how sure he is of it. Link-local addresses, which
/// nobody claims here, come to be known by themselves.
fn neighbours(place: Place<'_>) -> Vec<String> {
    let known = place.ip("neigh");
    let local = |entry: &Value| entry["dst"].as_str().is_some_and(|address| address.starts_with("fe80"));
    let sure = known.iter().filter(|&entry| entry["lladdr"].is_string() && !local(entry));
    let mut all: Vec<String> = sure.map(|entry| format!("{} {}", entry["dst"], entry["lladdr"])).collect();
    all.sort();
    all
}

/// Which MAC the bridge looks for at which port.
fn forwarding(w: &World) -> Vec<String> {
    w.host().run("bridge fdb show br bl-front").lines().map(str::to_string).collect()
}

/// An entry may be forgotten meanwhile, but none is new or leads elsewhere.
#[track_caller]
fn has_learned_nothing(kind: &str, before: &[String], now: &[String]) {
    let learned: Vec<&String> = now.iter().filter(|entry| !before.contains(entry)).collect();
    assert!(learned.is_empty(), "{kind}: {learned:?}");
}

/// T-15. web is 10.9.0.2, app 10.9.0.3, the forger 10.9.0.4 or 10.9.0.5.
pub(crate) fn no_forged_frame_is_delivered(w: &World) {
    let town = town(w);
    let (web, app) = (mac(town.web, "eth0"), mac(town.app, "eth0"));
    let kinds = |own: &str| {
        let everybody = "ff:ff:ff:ff:ff:ff";
        let as_web = "udp('10.9.0.2', '10.9.0.3', 999, 999)";
        [
            (
                "answer to ARP",
                format!("ether('{app}', mine, 0x0806, arp(2, mine, '10.9.0.2', '{app}', '10.9.0.3'))"),
            ),
            (
                "gratuitous ARP",
                format!(
                    "ether('{everybody}', mine, 0x0806, arp(1, mine, '10.9.0.2', '00:00:00:00:00:00', '10.9.0.2'))"
                ),
            ),
            (
                "neighbour advertisement",
                format!(
                    "ether('{app}', mine, 0x86dd, advertised_neighbour('fd00:9::2', 'fd00:9::3', 'fd00:9::2', mine))"
                ),
            ),
            (
                "MAC of another",
                format!("ether('{app}', '{web}', 0x0800, udp('{own}', '10.9.0.3', 999, 999))"),
            ),
            ("IPv4 of another", format!("ether('{app}', mine, 0x0800, {as_web})")),
            (
                "IPv6 of another",
                format!("ether('{app}', mine, 0x86dd, udp('fd00:9::2', 'fd00:9::3', 999, 999))"),
            ),
            ("IPv4 of another in a VLAN", format!("tagged(ether('{app}', mine, 0x0800, {as_web}), 5)")),
            (
                "offer of DHCP",
                format!("ether('{everybody}', mine, 0x0800, udp('{own}', '255.255.255.255', 67, 68))"),
            ),
            (
                "BPDU",
                "ether('01:80:c2:00:00:00', mine, 104, bytes.fromhex('424203') + b'\\0' * 35)".to_string(),
            ),
        ]
    };
    let sent = Gate::at(w.host(), &port(w, town.mallory));
    let received = Gate::at(town.app, "eth0");
    let look = || [neighbours(town.app), neighbours(w.host()), forwarding(w)].concat();
    let before = look();
    for (kind, frame) in kinds("10.9.0.4") {
        sends_past(sent, town.mallory, MANY, &frame);
        assert_eq!(received.arrived(), 0, "{kind}");
        has_learned_nothing(kind, &before, &look());
    }
    town.app.reaches("10.9.0.2");
    sent.lift();

    for (kind, frame) in kinds("10.9.0.5") {
        let so_far = received.arrived();
        eventually(kind, || {
            sends(town.rogue, "eth0", FEW, &frame);
            only_if(received.arrived() > so_far, received.arrived())
        });
    }
    // What they are for: app is told that web is where the rogue is, and the bridge that web's MAC is.
    let rogue = mac(town.rogue, "eth0");
    let misled = ["10.9.0.2", "fd00:9::2"].map(|address| format!("\"{address}\" \"{rogue}\""));
    eventually("app falls for it where nobody guards it", || {
        for (_, frame) in &kinds("10.9.0.5")[..3] {
            sends(town.rogue, "eth0", FEW, frame);
        }
        let known = neighbours(town.app);
        only_if(misled.iter().all(|lie| known.contains(lie)), known)
    });
    eventually("the bridge falls for it where nobody guards it", || {
        sends(town.rogue, "eth0", FEW, &kinds("10.9.0.5")[3].1);
        let table = forwarding(w);
        let lie = format!("{web} dev {}", port(w, town.rogue));
        only_if(table.iter().any(|entry| entry.starts_with(&lie)), table)
    });
}

/// T-14. Nobody learns a route or an address from a member.
pub(crate) fn a_flood_of_advertisements_and_redirects_reaches_nobody(w: &World) {
    let town = town(w);
    let local = |place: Place<'_>| {
        let all = place.ip("-6 addr show dev eth0 scope link");
        all[0]["addr_info"][0]["local"].as_str().expect("it has a link-local address").to_string()
    };
    let kinds = |own: &str| {
        let every_node = "33:33:00:00:00:01";
        [
            (
                "advertisement",
                format!("ether('{every_node}', mine, 0x86dd, advertised_router('{own}', '2001:db8:bad::'))"),
            ),
            (
                "redirect",
                format!(
                    "ether('{every_node}', mine, 0x86dd, redirected('{own}', 'ff02::1', '{own}', '2001:db8::2'))"
                ),
            ),
        ]
    };
    let sent = Gate::at(w.host(), &port(w, town.mallory));
    let received = Gate::at(town.app, "eth0");
    let look = |place: Place<'_>| [place.run("ip -6 route show table all"), place.run("ip -6 -o addr")];
    let before = (look(town.app), look(w.host()));
    for (kind, frame) in kinds(&local(town.mallory)) {
        sends_past(sent, town.mallory, MANY, &frame);
        assert_eq!(received.arrived(), 0, "{kind}");
    }
    sent.lift();
    for (kind, frame) in kinds(&local(town.rogue)) {
        let so_far = received.arrived();
        eventually(kind, || {
            sends(town.rogue, "eth0", FEW, &frame);
            only_if(received.arrived() > so_far, received.arrived())
        });
    }
    // Those that did arrive came to nothing either: nobody of ours listens to them.
    assert_eq!((look(town.app), look(w.host())), before);
}

/// T-17. Senders that do not exist, each asking the host who it is: each would be an entry in its table.
pub(crate) fn made_up_senders_take_no_room_in_the_hosts_table(w: &World) {
    let town = town(w);
    let gateway = mac(w.host(), "bl-front");
    let (four, six) = (
        "'10.9.%d.%d' % (1 + number // 200 % 250, 20 + number % 200)",
        "'fd00:9::%x' % (32 + number % 65000)",
    );
    let arp = format!("arp(1, mine, {four}, '00:00:00:00:00:00', '10.9.0.1')");
    let asks = format!("ether('{gateway}', mine, 0x0806, {arp})");
    let solicitation = format!("asked_neighbour({six}, 'fd00:9::1', 'fd00:9::1', mine)");
    let asks6 = format!("ether('{gateway}', mine, 0x86dd, {solicitation})");
    let sent = Gate::at(w.host(), &port(w, town.mallory));
    let before = neighbours(w.host());
    for frame in [&asks, &asks6] {
        sends_past(sent, town.mallory, MANY, frame);
        has_learned_nothing("made-up senders", &before, &neighbours(w.host()));
    }
    let fresh = w.attach("fresh", "front", "");
    for address in ["10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"] {
        fresh.reaches(address);
    }
    sent.lift();
    eventually("the host takes note of them where nobody guards it", || {
        sends(town.rogue, "eth0", FEW, &asks);
        sends(town.rogue, "eth0", FEW, &asks6);
        let now = neighbours(w.host());
        let made_up = now.iter().filter(|entry| !before.contains(entry)).count();
        only_if(made_up > 10, now)
    });
}
