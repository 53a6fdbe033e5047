//! Frames that claim whatever they like, sent from a member's card, and counters that see where they arrive.

use crate::world::World;
use crate::world::place::Place;
use crate::world::said::Said;

const FRAMES: &str = include_str!("frames.py");

/// Counts what bears the mark as it comes in by a card, before anybody could drop it there. Bytes 104 to 107 of each
/// frame are the mark.
const COUNT: &str = "nft -f - <<END
table netdev forged {
    counter arrived { }
    chain ingress {
        type filter hook ingress device CARD priority -500;
        @ll,832,32 0xb0b1b2b3 counter name arrived
    }
}
END";

#[derive(Clone, Copy)]
pub(super) struct Gate<'w>(Place<'w>);

impl<'w> Gate<'w> {
    #[track_caller]
    pub(super) fn at(place: Place<'w>, card: &str) -> Gate<'w> {
        place.shell(&COUNT.replace("CARD", card));
        Gate(place)
    }

    /// How many forged frames have come by since it was put there.
    #[track_caller]
    pub(super) fn arrived(self) -> u64 {
        let list = self.0.tries("nft -j list counter netdev forged arrived").well().json();
        let objects = list["nftables"].as_array().cloned().unwrap_or_default();
        let counter = objects.iter().find_map(|object| object["counter"]["packets"].as_u64());
        counter.unwrap_or_else(|| panic!("no counter in {list}"))
    }

    #[track_caller]
    pub(super) fn lift(self) {
        self.0.run("nft delete table netdev forged");
    }
}

/// Sends so many frames: an expression, which may use `mine` and `number`, says what each of them is.
#[track_caller]
pub(super) fn sends(from: Place<'_>, card: &str, count: u64, frame: &str) {
    let make =
        if frame.contains("number") { format!("lambda number: {frame}") } else { format!("always({frame})") };
    let link = from.link(card).unwrap_or_else(|| panic!("there is no {card}"));
    let mine = link["address"].as_str().expect("a card has a MAC");
    from.run_python(&format!("{FRAMES}\nmine = {mine:?}\nflood({card:?}, {make}, {count})"));
}

/// The same until so many have come by the gate, as a loaded machine may lose some on the way there.
#[track_caller]
pub(super) fn sends_past(gate: Gate<'_>, from: Place<'_>, count: u64, frame: &str) {
    let goal = gate.arrived() + count;
    for _ in 0..20 {
        let missing = goal.saturating_sub(gate.arrived());
        if missing == 0 {
            return;
        }
        sends(from, "eth0", missing, frame);
    }
    panic!("{} of {count} never arrived: {frame}", goal - gate.arrived());
}

/// A program in Python that ends by itself.
#[track_caller]
pub(super) fn said_by_python(from: Place<'_>, script: &str, args: &[String]) -> String {
    let mut command = from.brief("python3");
    command.args(["-c", script]).args(args);
    Said::by("python3".into(), command).well().out
}

/// A place's own MAC on a card.
#[track_caller]
pub(super) fn mac(place: Place<'_>, card: &str) -> String {
    let link = place.link(card).unwrap_or_else(|| panic!("there is no {card}"));
    link["address"].as_str().expect("a card has a MAC").to_string()
}

/// The host's end of a member's card.
#[track_caller]
pub(super) fn port(w: &World, member: Place<'_>) -> String {
    let card = member.link("eth0").expect("a member has a card");
    let links = w.host().ip("link");
    let port = links.iter().find(|link| link["ifindex"] == card["link_index"] && link["ifname"] != "lo");
    port.and_then(|port| port["ifname"].as_str()).expect("its card has a port").to_string()
}
