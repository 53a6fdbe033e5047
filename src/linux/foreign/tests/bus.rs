//! A real bus, with a service on it that answers as firewalld does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bowline_core::Code;

use super::name;
use crate::foreign::dbus::{BUS, Body, Bus, Kind, Message, Target};
use crate::foreign::firewalld::{join, leave};

const FIREWALLD: &str = "org.fedoraproject.FirewallD1";
const ITSELF: Target<'static> =
    Target { name: FIREWALLD, path: "/org/fedoraproject/FirewallD1", interface: FIREWALLD };

/// A `dbus-daemon` that ends with the test.
pub(super) struct Daemon {
    process: Child,
    socket: PathBuf,
    /// Its configuration and its socket.
    _folder: tempfile::TempDir,
}

impl Daemon {
    pub(super) fn start() -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let config = folder.path().join("bus.conf");
        let text = format!(
            "<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
            <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>
            <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address=1", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need dbus-daemon");
        // It says its address when it listens.
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:path="), "{address}");
        Daemon { process, socket, _folder: folder }
    }
}

impl Daemon {
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

type Zones = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Zones and the interfaces in them, on a bus for as long as it lives.
pub(super) struct Service {
    bus: PathBuf,
    zones: Zones,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub(super) fn start(bus: &Path, zones: &[&str]) -> Service {
        let path = bus.to_path_buf();
        let zones: Zones = Arc::new(Mutex::new(zones.iter().map(|z| (z.to_string(), Vec::new())).collect()));
        let mut bus = Bus::connect(bus).unwrap().unwrap();
        let mut request = Message::call(BUS, "RequestName", &[FIREWALLD]);
        request.body.signature.push('u');
        let padded = request.body.bytes.len().next_multiple_of(4);
        request.body.bytes.resize(padded + 4, 0);
        assert_eq!(bus.exchange(request).unwrap().kind, Kind::Return);
        let mine = Arc::clone(&zones);
        let thread = std::thread::spawn(move || serve(&mut bus, &mine));
        Service { bus: path, zones, thread: Some(thread) }
    }

    pub(super) fn within(&self, zone: &str) -> Vec<String> {
        self.zones.lock().unwrap()[zone].clone()
    }

    /// As `firewall-cmd --reload`: what was not written down is forgotten.
    pub(super) fn reload(&self) {
        self.call("reload");
    }

    fn call(&self, method: &str) {
        Bus::connect(&self.bus).unwrap().unwrap().call(ITSELF, method, &[]).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A bus that is gone has ended it.
        if self.bus.exists() && Bus::connect(&self.bus).is_ok_and(|bus| bus.is_some()) {
            self.call("quit");
        }
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(bus: &mut Bus, zones: &Zones) {
    while let Ok(call) = bus.signal() {
        if call.kind != Kind::Call {
            continue;
        }
        let method = call.member.as_deref().unwrap();
        let reply = answer(&call, &mut zones.lock().unwrap());
        bus.send(reply).unwrap();
        match method {
            "reload" => drop(bus.send(reloaded()).unwrap()),
            "quit" => return,
            _ => (),
        }
    }
}

/// To whoever listens.
fn reloaded() -> Message {
    Message { kind: Kind::Signal, destination: None, ..Message::call(ITSELF, "Reloaded", &[]) }
}

/// A bus with firewalld on it.
struct Firewalld {
    service: Service,
    daemon: Daemon,
}

impl Firewalld {
    fn start(zones: &[&str]) -> Firewalld {
        let daemon = Daemon::start();
        Firewalld { service: Service::start(&daemon.socket, zones), daemon }
    }

    fn bus(&self) -> &Path {
        &self.daemon.socket
    }

    fn within(&self, zone: &str) -> Vec<String> {
        self.service.within(zone)
    }
}

/// As firewalld 1.3 answers.
fn answer(call: &Message, zones: &mut BTreeMap<String, Vec<String>>) -> Message {
    let texts = call.body.all_texts();
    let zone_of = |zones: &BTreeMap<String, Vec<String>>, card: &String| {
        zones.iter().find(|(_, cards)| cards.contains(card)).map(|(zone, _)| zone.clone())
    };
    let answer = match (call.member.as_deref().unwrap(), &texts[..]) {
        ("getZones", []) => {
            let names: Vec<&str> = zones.keys().map(String::as_str).collect();
            let list = Body::of_texts(&names).bytes;
            let bytes = [&(list.len() as u32).to_ne_bytes()[..], &list].concat();
            Ok(Body { signature: "as".into(), bytes, ..Body::of_texts(&[]) })
        }
        ("getZoneOfInterface", [card]) => Ok(Body::of_texts(&[&zone_of(zones, card).unwrap_or_default()])),
        ("changeZoneOfInterface", [zone, card]) if zones.contains_key(zone) => {
            zones.values_mut().for_each(|cards| cards.retain(|c| c != card));
            zones.get_mut(zone).unwrap().push(card.clone());
            Ok(Body::of_texts(&[zone]))
        }
        ("changeZoneOfInterface", [zone, _]) => Err(format!("INVALID_ZONE: {zone}")),
        ("removeInterface", [zone, card]) if zones[zone].contains(card) => {
            zones.get_mut(zone).unwrap().retain(|c| c != card);
            Ok(Body::of_texts(&[zone]))
        }
        ("reload", []) => {
            zones.values_mut().for_each(Vec::clear);
            Ok(Body::of_texts(&[]))
        }
        ("quit", []) => Ok(Body::of_texts(&[])),
        other => Err(format!("UNKNOWN: {other:?}")),
    };
    let (kind, error, body) = match answer {
        Ok(body) => (Kind::Return, None, body),
        Err(text) => (Kind::Error, Some(format!("{FIREWALLD}.Exception")), Body::of_texts(&[&text])),
    };
    let (reply_to, destination) = (Some(call.serial), call.sender.clone());
    Message { error, reply_to, destination, body, ..Message::of(kind) }
}

#[test]
fn a_bridge_joins_the_trusted_zone_and_leaves_it() {
    let firewalld = Firewalld::start(&["public", "trusted"]);
    for _ in 0..2 {
        assert_eq!(join(firewalld.bus(), &name("bl-a")).unwrap().as_deref(), Some("trusted"));
    }
    join(firewalld.bus(), &name("bl-b")).unwrap();
    assert_eq!(firewalld.within("trusted"), ["bl-a", "bl-b"]);
    for _ in 0..2 {
        leave(firewalld.bus(), &name("bl-a")).unwrap();
    }
    assert_eq!(firewalld.within("trusted"), ["bl-b"]);
}

#[test]
fn a_zone_of_our_name_goes_before_the_trusted_one() {
    let firewalld = Firewalld::start(&["bowline", "public", "trusted"]);
    assert_eq!(join(firewalld.bus(), &name("bl-a")).unwrap().as_deref(), Some("bowline"));
    assert_eq!((firewalld.within("bowline"), firewalld.within("trusted")), (vec!["bl-a".into()], vec![]));
    leave(firewalld.bus(), &name("bl-a")).unwrap();
    assert_eq!(firewalld.within("bowline"), [""; 0]);
}

#[test]
fn a_bridge_stays_in_the_zone_that_an_administrator_chose() {
    let firewalld = Firewalld::start(&["dmz", "trusted"]);
    firewalld.service.zones.lock().unwrap().get_mut("dmz").unwrap().push("bl-a".into());
    assert_eq!(join(firewalld.bus(), &name("bl-a")).unwrap().as_deref(), Some("dmz"));
    leave(firewalld.bus(), &name("bl-a")).unwrap();
    assert_eq!(firewalld.within("dmz"), ["bl-a"]);
}

#[test]
fn what_firewalld_refuses_is_told_in_its_words() {
    let firewalld = Firewalld::start(&["public"]);
    let error = join(firewalld.bus(), &name("bl-a")).unwrap_err();
    assert_eq!(error.code, Code::Denied);
    assert!(error.to_string().contains("INVALID_ZONE: trusted"), "{error}");
}

#[test]
fn without_firewalld_or_without_a_bus_there_is_no_zone() {
    let daemon = Daemon::start();
    assert_eq!(join(&daemon.socket, &name("bl-a")).unwrap(), None);
    leave(&daemon.socket, &name("bl-a")).unwrap();
    let nowhere = daemon.socket.with_file_name("nowhere");
    assert_eq!(join(&nowhere, &name("bl-a")).unwrap(), None);
    leave(&nowhere, &name("bl-a")).unwrap();
}

/// Somebody else listens at the bus's address, and says this to whoever comes.
fn impostor(says: &'static [u8]) -> Code {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(says).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Until the caller has enough of it.
        while stream.read(&mut [0; 256]).is_ok_and(|n| n > 0) {}
    });
    let error = join(&path, &name("bl-a")).unwrap_err();
    service.join().unwrap();
    error.code
}

#[test]
fn what_is_no_bus_is_not_believed() {
    assert_eq!(impostor(b"REJECTED EXTERNAL\r\n"), Code::Denied);
    assert_eq!(impostor(b"OK "), Code::Unreachable);
    assert_eq!(impostor(&[b'x'; 1000]), Code::Unreachable);
    assert_eq!(impostor(b"OK 0\r\nl\x02\0\x01\xff\xff\xff\x7f\x01\0\0\0\x08\0\0\0"), Code::Unreachable);
    assert_eq!(impostor(b"OK 0\r\nHTTP/1.1 400 Bad Request\r\n\r\n"), Code::Unreachable);
}
