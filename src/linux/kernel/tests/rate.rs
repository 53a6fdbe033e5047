//! Rates are reached and not passed, either way; they come, change and go under connections that live on.
//! `tc` is the witness.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bowline_core::plan::{Change, diff};
use bowline_core::rate::Rate;
use bowline_core::state::{LinkKey, State};
use bowline_core::{Code, Error};
use serde_json::Value;

use super::world::{CARD, Container, World, eventually, ip, name, world};
use crate::netns;

/// Two containers on a network; the first has the rates.
struct Pair<'a> {
    world: &'a World,
    first: Container,
    second: Container,
    wanted: State,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    In,
    Out,
}

impl<'a> Pair<'a> {
    fn new(world: &'a World) -> Pair<'a> {
        let (first, second) = (world.container(), world.container());
        // Without a table: rates are no business of it.
        let mut wanted = State { frames: BTreeSet::new(), elements: BTreeSet::new(), ..world.network() };
        wanted.extend(world.endpoint(1, &first));
        wanted.extend(world.endpoint(2, &second));
        world.reach(&wanted);
        Pair { world, first, second, wanted }
    }

    fn key(&self, way: Way) -> LinkKey {
        match way {
            Way::In => self.world.key("bl1"),
            Way::Out => LinkKey::new(self.first.place, name(CARD)),
        }
    }

    /// `tc qdisc` on the link of that way.
    fn tc(&self, way: Way, verb: &str, rest: &str) -> Value {
        match way {
            Way::In => tc(&format!("qdisc {verb} dev bl1 {rest}")),
            Way::Out => {
                netns::run(&self.first.ns, || tc(&format!("qdisc {verb} dev {CARD} {rest}"))).unwrap()
            }
        }
    }

    fn shown(&self, way: Way) -> Value {
        self.tc(way, "show", "")
    }

    fn want(&mut self, way: Way, rate: &str) {
        self.wanted.links.get_mut(&self.key(way)).unwrap().rate = rate.parse().ok();
    }

    /// An empty rate is none.
    fn limit(&mut self, way: Way, rate: &str) {
        self.want(way, rate);
        self.world.reach(&self.wanted);
    }

    fn set(&self, way: Way) -> Result<(), Error> {
        let key = self.key(way);
        let link = self.wanted.links[&key].clone();
        self.world.apply(&[Change::SetLink { key, link }])
    }

    fn flow(&self, way: Way) -> Flow {
        match way {
            Way::In => Flow::new(&self.second, &self.first, "10.9.0.3:7"),
            Way::Out => Flow::new(&self.first, &self.second, "10.9.0.4:7"),
        }
    }
}

/// A connection that always has more to send.
struct Flow {
    source: TcpStream,
    sink: TcpStream,
    sender: Option<JoinHandle<()>>,
}

impl Flow {
    fn new(from: &Container, to: &Container, address: &str) -> Flow {
        let listener = netns::run(&to.ns, || TcpListener::bind(address).unwrap()).unwrap();
        let source = netns::run(&from.ns, || TcpStream::connect(address).unwrap()).unwrap();
        let sink = listener.accept().unwrap().0;
        sink.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut writing = source.try_clone().unwrap();
        let sender = std::thread::spawn(move || while writing.write_all(&[0; 256 * 1024]).is_ok() {});
        Flow { source, sink, sender: Some(sender) }
    }

    /// Bits a second in whole frames, as arrived within one second.
    fn speed(&mut self) -> f64 {
        const FRAME: f64 = 1514.0;
        const PAYLOAD: f64 = 1448.0;
        let (begin, mut bytes) = (Instant::now(), 0);
        let mut buffer = vec![0; 256 * 1024];
        while begin.elapsed() < Duration::from_secs(1) {
            let read = match self.sink.read(&mut buffer) {
                // Signals are the whole process's, and other tests send some.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            assert!(read > 0, "the connection ended");
            bytes += read;
        }
        bytes as f64 * 8.0 * FRAME / PAYLOAD / begin.elapsed().as_secs_f64()
    }

    /// A machine that is busy with other things may miss it in one second, but not in every one.
    fn assert_reaches(&mut self, rate: &str) {
        let wanted = rate.parse::<Rate>().unwrap().bits_per_second() as f64;
        let mut seen = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let part = self.speed() / wanted;
            if (0.9..1.1).contains(&part) {
                return;
            }
            seen.push(part);
        }
        panic!("{rate} was not met, but these parts of it: {seen:?}");
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        drop(self.source.shutdown(Shutdown::Both));
        drop(self.sender.take().map(JoinHandle::join));
    }
}

/// `tc -j` in this thread's namespace, which must succeed.
fn tc(arguments: &str) -> Value {
    let output =
        Command::new("tc").args(["-j", "-s"]).args(arguments.split_ascii_whitespace()).output().unwrap();
    assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).unwrap() }
}

/// The first that is shown, without what is counted.
fn root_of(shown: &Value) -> [Value; 3] {
    ["kind", "handle", "options"].map(|key| shown[0][key].clone())
}

fn both_ways(test: impl Fn(&mut Pair<'_>, Way) + Send + Sync) {
    world(|world| {
        let mut pair = Pair::new(world);
        test(&mut pair, Way::In);
        test(&mut pair, Way::Out);
    });
}

#[test]
fn a_rate_is_reached_and_not_passed_and_changes_under_a_connection() {
    both_ways(|pair, way| {
        pair.limit(way, "10mbit");
        let mut flow = pair.flow(way);
        flow.assert_reaches("10mbit");
        pair.limit(way, "1gbit");
        flow.assert_reaches("1gbit");
        pair.limit(way, "10mbit");
        flow.assert_reaches("10mbit");
        pair.limit(way, "");
        eventually("a flow without a limit", || flow.speed() > 100e6);
        assert_eq!(pair.shown(way)[0]["kind"], "noqueue");
    });
}

#[test]
fn a_rate_is_shown_as_it_was_wanted() {
    both_ways(|pair, way| {
        for (rate, bytes) in [("8kbit", 1_000_u64), ("10mbit", 1_250_000), ("100gbit", 12_500_000_000)] {
            pair.limit(way, rate);
            let seen = pair.world.seen(&pair.wanted);
            assert_eq!(seen.links[&pair.key(way)].rate, rate.parse().ok());
            let shown = pair.shown(way);
            assert_eq!(
                (&shown[0]["kind"], &shown[0]["handle"], &shown[0]["options"]["rate"]),
                (&"tbf".into(), &"6277:".into(), &bytes.into())
            );
        }
    });
}

#[test]
fn an_endpoint_may_be_born_with_rates_and_every_step_made_twice() {
    world(|world| {
        let container = world.container();
        let mut wanted = world.network();
        wanted.extend(world.endpoint(1, &container));
        let card = LinkKey::new(container.place, name(CARD));
        wanted.links.get_mut(&world.key("bl1")).unwrap().rate = "10mbit".parse().ok();
        wanted.links.get_mut(&card).unwrap().rate = "20mbit".parse().ok();
        let attach = diff(&State::default(), &wanted);
        for change in &attach {
            world.apply(&[change.clone(), change.clone()]).unwrap_or_else(|e| panic!("{change}: {e}"));
        }
        world.apply(&attach).unwrap();
        world.assert_holds(&wanted);

        let limited = wanted.clone();
        wanted.links.get_mut(&world.key("bl1")).unwrap().rate = None;
        wanted.links.get_mut(&card).unwrap().rate = None;
        let free = diff(&limited, &wanted);
        world.apply(&[free.clone(), free].concat()).unwrap();
        world.assert_holds(&wanted);
    });
}

/// Packets that left or wait, that wait, and that were dropped.
fn counted(shown: &Value) -> (u64, u64, u64) {
    let number = |key: &str| shown[0][key].as_u64().unwrap();
    (number("packets") + number("qlen"), number("qlen"), number("drops"))
}

#[test]
fn the_same_rate_again_or_a_faster_one_keeps_what_waits() {
    both_ways(|pair, way| {
        pair.limit(way, "8kbit");
        let (from, to) = match way {
            Way::In => (&pair.second, "10.9.0.3:9"),
            Way::Out => (&pair.first, "10.9.0.4:9"),
        };
        let socket = netns::run(&from.ns, || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
        for _ in 0..12 {
            socket.send_to(&[0; 1000], to).unwrap();
        }
        eventually("packets that wait", || counted(&pair.shown(way)).0 >= 12);
        let (all, waiting, _) = counted(&pair.shown(way));
        assert!(waiting > 4, "{waiting}");
        for rate in ["8kbit", "9kbit"] {
            pair.want(way, rate);
            pair.set(way).unwrap();
            let (still, _, dropped) = counted(&pair.shown(way));
            assert!(
                still >= all && dropped == 0,
                "{rate}: of {all}, {still} are left, and {dropped} dropped"
            );
        }
        pair.limit(way, "");
    });
}

#[test]
fn a_rate_that_a_hand_changed_or_took_is_mended() {
    both_ways(|pair, way| {
        pair.limit(way, "10mbit");
        let slower = "root handle 6277: tbf rate 1mbit burst 9k limit 9k";
        for (verb, rest) in [("del", "root"), ("change", slower)] {
            pair.tc(way, verb, rest);
            let seen = pair.world.seen(&pair.wanted);
            assert_eq!(diff(&seen, &pair.wanted).len(), 1, "{verb}: the harm is not seen:\n{seen}");
            pair.world.reach(&pair.wanted);
        }
    });
}

#[test]
fn a_strangers_queueing_discipline_is_named_and_stays() {
    both_ways(|pair, way| {
        for (kind, named) in [
            ("handle 7: pfifo limit 77", "pfifo 7:"),
            ("handle 7: tbf rate 1mbit burst 9k limit 9k", "tbf 7:"),
            ("handle 6277: pfifo limit 77", "pfifo 6277:"),
        ] {
            pair.limit(way, "");
            pair.tc(way, "replace", &format!("root {kind}"));
            let before = root_of(&pair.shown(way));
            pair.world.assert_holds(&pair.wanted);
            pair.set(way).unwrap();
            assert_eq!(root_of(&pair.shown(way)), before);

            let wished = pair.wanted.clone();
            pair.want(way, "10mbit");
            let error = pair.set(way).unwrap_err();
            assert_eq!(error.code, Code::LinkExists, "{error}");
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(root_of(&pair.shown(way)), before);
            pair.wanted = wished;
            pair.tc(way, "del", "root");
        }
    });
}

#[test]
fn what_a_stranger_hung_beside_the_root_stays_and_is_not_in_the_way() {
    both_ways(|pair, way| {
        pair.tc(way, "add", "clsact");
        pair.limit(way, "10mbit");
        pair.limit(way, "");
        let shown = pair.shown(way);
        assert!(shown.as_array().unwrap().iter().any(|q| q["kind"] == "clsact"), "{shown}");
    });
}

#[test]
fn a_bridge_and_a_port_without_a_rate_have_none_seen_beside_one_that_has() {
    world(|world| {
        let mut pair = Pair::new(world);
        pair.limit(Way::In, "10mbit");
        let seen = world.seen(&pair.wanted);
        let limited: Vec<_> = seen.links.iter().filter(|(_, link)| link.rate.is_some()).collect();
        assert_eq!(limited.len(), 1, "{seen}");
        assert_eq!(ip("link show bl2")[0]["qdisc"], "noqueue");
    });
}

#[test]
#[ignore = "it measures"]
fn how_near_the_rates_are_met() {
    both_ways(|pair, way| {
        for rate in ["1mbit", "10mbit", "100mbit", "1gbit", "5gbit", "20gbit"] {
            pair.limit(way, rate);
            let mut flow = pair.flow(way);
            let speeds: Vec<String> = (0..5).map(|_| format!("{:.1}", flow.speed() / 1e6)).collect();
            println!("{way:?} {rate}: {} Mbit/s of frames in one second each", speeds.join(" "));
        }
        pair.limit(way, "");
        let mut flow = pair.flow(way);
        println!("{way:?} without a limit: {:.1} Mbit/s", flow.speed() / 1e6);
    });
}
