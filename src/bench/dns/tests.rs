use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use bowline_linux::netns;
use bowline_linux::process::raise_loopback;

use super::dnsperf::{Dnsperf, Pass};
use super::nsd::{Nsd, Zone};
use super::tools::Tools;
use super::*;
use crate::occupants;

#[test]
fn every_part_is_known_by_its_name() {
    for part in Part::ALL {
        assert_eq!(part.name().parse::<Part>().unwrap(), part);
    }
    assert_eq!("all".parse::<Part>().unwrap_err().code, Code::InvalidRequest);
}

/// A namespace with a folder beside it. All that runs in it ends with it.
struct Space {
    inside: std::os::fd::OwnedFd,
    dir: tempfile::TempDir,
}

impl Space {
    fn new() -> Space {
        let inside = netns::create().unwrap();
        raise_loopback(&inside).unwrap();
        Space { inside, dir: tempfile::tempdir().unwrap() }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let ended = occupants::end_all(&self.inside);
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

const WEB: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const MISSING: &str = "this test is of a program that is to be installed first";

#[test]
#[ignore = "needs the programs nsd and dnsperf"]
fn nsd_serves_what_dnsperf_asks_and_ends_when_dropped() {
    let tools = Tools::here();
    let space = Space::new();
    let names = [("web".to_string(), WEB)];
    let zone = Zone::Names(&names);
    let program = tools.nsd.expect(MISSING);
    let server =
        Nsd::start(&program, &space.inside, Ipv4Addr::LOCALHOST, zone, &space.dir.path().join("nsd"));
    let server = server.unwrap();
    let questions = space.dir.path().join("questions");
    let dnsperf = Dnsperf::new(&tools.dnsperf.expect(MISSING), space.dir.path());
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ask = |names: &str, pass| {
        fs::write(&questions, names).unwrap();
        dnsperf.run(&space.inside, loopback, &questions, pass, Duration::from_secs(1))
    };
    let again = ask("web A\n", Pass::Again).unwrap();
    assert!(again.rate > 1000.0 && again.lost + again.wrong == 0, "{again:?}");
    let once = ask("web A\nnone A\n", Pass::Once).unwrap();
    assert_eq!((once.sent, once.wrong), (2, 1));
    drop(server);
    let none = ask("web A\n", Pass::Once).unwrap_err().to_string();
    assert!(none.contains("nothing was answered"), "{none}");
}

#[test]
#[ignore = "needs the program aardvark-dns"]
fn aardvark_serves_the_names_and_ends_with_its_namespace() {
    let space = Space::new();
    let program = Tools::here().aardvark.expect(MISSING);
    let names = [("web".to_string(), WEB), ("db".to_string(), Ipv4Addr::new(10, 9, 0, 3))];
    let dir = space.dir.path().join("aardvark");
    aardvark::start(&program, &space.inside, stage::AARDVARK, &names, &dir).unwrap();
    wire::expect(&space.inside, stage::AARDVARK.into(), "web", WEB).unwrap();
    occupants::end_all(&space.inside).unwrap();
    let pid = fs::read_to_string(dir.join("aardvark.pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    assert_eq!(bowline_linux::process::Identity::of(pid), None);
}
