//! Who reaches whom, all of it: every caller of a town calls everybody by every protocol, after everything that may
//! befall a host; and each call is answered by the right one, or by nobody and heard by nobody, as the model says.

mod cells;
mod control;
mod model;
mod people;
mod radio;
pub(crate) mod station;
mod town;

use cells::{Cell, cells};
use model::{Openness, Town};
use people::LATE;
use radio::Radio;
use town::{build, moves_in, moves_out, removes_addresses};

use crate::world::World;
use crate::world::said::assert_same;

/// Fewer cells than this are not all there are.
const AT_LEAST: usize = 2000;

/// Somebody wants every sender to come by the card that leads to it.
const STRICTER: &str = "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $file; done";

/// Somebody has the other use of bridges: where they can, bridged frames are shown to the firewall, or no longer are.
const BRIDGED: &str = "
for file in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do
    [ ! -e $file ] || echo $((1 - $(cat $file))) > $file
done";

pub(crate) fn everybody_reaches_whom_they_should(w: &World) {
    let mut radio = Radio::new();
    let town = build(w, &mut radio);
    let mut walk = Walk { world: w, radio, town, cells: 0, wrong: Vec::new() };
    walk.round("fresh");
    w.restart();
    walk.round("restart");
    w.kill();
    w.start();
    walk.round("kill");
    w.host().run("nft flush ruleset");
    walk.round("flush");
    moves_in(w, &mut walk.radio, &mut walk.town, &LATE);
    walk.round("added");
    moves_out(w, &mut walk.town, &LATE);
    walk.round("removed");
    w.host().shell(STRICTER);
    walk.round("stricter");
    w.host().shell(BRIDGED);
    walk.round("bridged");
    assert!(walk.wrong.is_empty(), "{} cells are wrong:\n{}", walk.wrong.len(), walk.wrong.join("\n"));
    assert!(walk.cells >= AT_LEAST, "only {} cells", walk.cells);
    removes_addresses(w);
}

/// Doors that are opened and closed by the product's own verbs, without the model's knowledge: what it then finds
/// wrong is all that this has changed, and nothing else.
pub(crate) fn it_sees_every_door_that_was_opened(w: &World) {
    let mut radio = Radio::new();
    let mut town = build(w, &mut radio);
    w.bowline("network update apart --icc");
    w.bowline("network update inner --internal=false");
    w.has_no_drift();
    let told = cells(&town);
    for member in &mut town.members {
        match member.net.name {
            "apart" => member.net.icc = true,
            "inner" => member.net.openness = Openness::Published,
            _ => (),
        }
    }
    // It waits for what is so now, and then goes by what was.
    let mut heard = cells(&town);
    radio.round(&mut heard);
    let (mut wrong, mut changed) = (Vec::new(), Vec::new());
    for (mut cell, old) in heard.into_iter().zip(told) {
        if cell.expected != old.expected {
            changed.push(cell.call());
        }
        cell.expected = old.expected;
        if !cell.is_right() {
            wrong.push(cell.call());
        }
    }
    assert!(changed.len() > 100, "a door that leads nowhere: {changed:?}");
    assert_same("what the model finds wrong", &changed.join("\n"), &wrong.join("\n"));
    removes_addresses(w);
}

struct Walk<'w> {
    world: &'w World,
    radio: Radio,
    town: Town,
    cells: usize,
    wrong: Vec<String>,
}

impl Walk<'_> {
    /// Probes every cell of the town as it is now.
    #[track_caller]
    fn round(&mut self, event: &str) {
        self.world.has_no_drift();
        let cells = self.probe();
        self.cells += cells.len();
        let wrong = cells.iter().filter(|cell| !cell.is_right());
        self.wrong.extend(wrong.map(|cell| format!("{event:8} {}", cell.row())));
        // Else the host's loopback would be open to its neighbours, whatever is right for our bridges.
        for card in ["all", "default", "uplink"] {
            let value = self.world.host().run(&format!("sysctl -n net.ipv4.conf.{card}.route_localnet"));
            assert_eq!(value.trim(), "0", "{event}: route_localnet of {card}");
        }
    }

    #[track_caller]
    fn probe(&mut self) -> Vec<Cell> {
        control::lay(self.world, &self.town);
        let mut cells = cells(&self.town);
        self.radio.round(&mut cells);
        let seen = control::lift(self.world);
        let unseen = cells.iter().filter(|cell| cell.oddity().is_some_and(|odd| !seen.contains(&odd)));
        let unseen: Vec<String> = unseen.map(Cell::row).collect();
        assert!(
            unseen.is_empty(),
            "that nobody got these says nothing, since none was sent:\n{}",
            unseen.join("\n")
        );
        cells
    }
}
