//! Those who ask too much, too slowly, or nonsense: they get little, and everybody else what he always got.

use std::time::Duration;

use bowline_api::v1::{CreateEndpoint, Join, Netns};

use crate::world::place::Place;
use crate::world::said::{eventually, only_if};
use crate::world::{Snapshot, World};

fn front(w: &World) -> (Place<'_>, Place<'_>) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    (w.attach("bad", "front", ""), w.attach("good", "front", ""))
}

/// While the one does his worst, the other asks as ever. How much of a processor is left to either on a machine with other
/// work is not ours to say, so that there is some room.
#[track_caller]
fn others_do_not_notice(w: &World, good: Place<'_>, script: &str) {
    let ask = || {
        let mut clock = good.asks_by_the_clock(500, &["good", "bad.front"]);
        clock.hears(10);
        clock.ends()
    };
    let before = ask();
    let playing = w.inside("bad").starts_python(script, "ready");
    let during = ask();
    drop(playing);
    assert!(during.p50 <= before.p50 + Duration::from_millis(5), "{during:?}, without him {before:?}");
    assert!(during.p99 <= before.p99 + Duration::from_millis(100), "{during:?}, without him {before:?}");
}

/// T-28
pub(crate) fn ten_thousand_idle_connections_disturb_nobody(w: &World) {
    let (bad, good) = front(w);
    let files = || w.open_files().values().sum::<usize>();
    let before = files();
    others_do_not_notice(
        w,
        good,
        "
import resource, socket, sys
most = 10000
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
most = min(most, (hard if hard > 0 else most + 100) - 100)
resource.setrlimit(resource.RLIMIT_NOFILE, (most + 100, hard))
kept = []
for n in range(most):
    s = socket.socket(); s.setblocking(False)
    try: s.connect(('127.0.0.11', 53))
    except BlockingIOError: pass
    kept.append(s)
print('ready', len(kept), flush=True)
sys.stdin.read()
",
    );
    let now = files();
    assert!(now < before + 500, "the daemon holds {now} files, {before} before, for one who does nothing");
    eventually("he himself is heard as well", || {
        let answer = bad.asker().ask_by_tcp("good", "A");
        only_if(answer.data() == ["10.9.0.3"], answer)
    });
}

pub(crate) fn slow_talkers_disturb_nobody_and_are_cut_off(w: &World) {
    let (bad, good) = front(w);
    others_do_not_notice(
        w,
        good,
        "
import socket, sys, threading, time
kept = [socket.create_connection(('127.0.0.11', 53), 5) for n in range(40)]
def drip():
    for byte in b'\\0\\x1d' + bytes(20):
        for s in kept:
            try: s.send(bytes([byte]))
            except OSError: pass
        time.sleep(0.1)
threading.Thread(target=drip, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
",
    );
    let mut cut = bad.starts_python(
        "
import socket
s = socket.create_connection(('127.0.0.11', 53), 5)
s.send(b'\\0\\x1d\\0')
print('ready', flush=True)
s.settimeout(9)
assert s.recv(1) == b''
print('cut', flush=True)
",
        "ready",
    );
    cut.wait_for_line("cut");
    assert_eq!(bad.asker().ask_by_tcp("good", "A").data(), ["10.9.0.3"]);
}

/// Junk as fast as it goes, and names that nobody answers about.
pub(crate) fn a_flood_leaves_others_their_share(w: &World) {
    let (_, good) = front(w);
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    let flood = "
import os, socket, struct, sys, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
pace = threading.Event()
def flood():
    n = 0
    while True:
        n += 1
        name = b'mute-%06d' % (n % 1000000)
        q = struct.pack('>6H', n & 65535, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b'\\7example\\0\\0\\1\\0\\1'
        try:
            s.sendto(q, ('127.0.0.11', 53))
            s.sendto(os.urandom(40), ('127.0.0.11', 53))
        except OSError: pass
        if n % 20 == 0: pace.wait(0.002)
threading.Thread(target=flood, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
";
    others_do_not_notice(w, good, flood);
    let _playing = w.inside("bad").starts_python(flood, "ready");
    eventually("his questions fill what he may have under way", || {
        let heard = stub.heard().iter().filter(|heard| heard.name.starts_with("mute-")).count();
        only_if(heard >= 256, heard)
    });
    let mut asker = good.asker();
    for n in 0..50 {
        let answer = asker.ask(&format!("www{n}.example"), "A");
        assert_eq!(answer.data(), ["198.51.100.2"], "{n}: {answer:?}");
        assert!(answer.took < Duration::from_secs(1), "{n}: {answer:?}");
    }
}

/// Names that no DNS label may hold are refused, and nothing has changed.
pub(crate) fn names_that_cannot_be_asked_for_are_refused(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    w.container("web");
    let before = Snapshot::of(w);
    let long = "a".repeat(64);
    let api = w.api();
    let wish = |change: &dyn Fn(&mut CreateEndpoint)| {
        let netns = Netns { fd: None, path: Some("/run/netns/web".into()) };
        let join = Join { network: "front".into(), ..Join::default() };
        let mut wish = CreateEndpoint { networks: vec![join], ..CreateEndpoint::named("web", netns) };
        change(&mut wish);
        wish
    };
    for name in [&long, "a..b", "a.", ".a", "a b", "a\n", "a\0b", "", "*", "é", "a\\b", "$(reboot)"] {
        let as_name = wish(&|wish| wish.name = name.into());
        let as_alias = wish(&|wish| wish.networks[0].aliases = vec!["fine".into(), name.into()]);
        let as_host = wish(&|wish| wish.hostname = Some(name.into()));
        for (what, wish) in [("name", as_name), ("alias", as_alias), ("host name", as_host)] {
            let error = api.create_endpoint(&wish).expect_err(&format!("{what} {name:?}"));
            assert_eq!(error.code.to_string(), "BWL-1101", "{what} {name:?}: {error}");
        }
    }
    for options in ["--dns-search a..b", "--dns-opt a#b", "--dns 10.9.0", "--link :x", "--link x:"] {
        let said = w.tries(&format!("endpoint create web --netns web --network front {options}"));
        assert!(said.code == 2 && said.err.contains("error[BWL-"), "{said}");
    }
    w.is_still(&before);
    assert_eq!(api.endpoints().unwrap(), []);

    let web = w.inside("web");
    w.bowline("endpoint create web --netns web");
    for name in [&long, "a..b"] {
        let join = Join { network: "front".into(), aliases: vec![name.into()], ..Join::default() };
        let error = api.connect("web", &join).expect_err(name);
        assert_eq!(error.code.to_string(), "BWL-1101", "{name:?}: {error}");
    }
    assert!(web.link("eth0").is_none());
    // The longest that may be.
    let fits = "b".repeat(63);
    w.bowline(&format!("network connect front web --alias {fits} --alias a_b-c.d"));
    let mut asker = web.asker();
    assert_eq!(asker.finds(&fits), ["10.9.0.2"]);
    assert_eq!(asker.finds("a_b-c.d.front"), ["10.9.0.2"]);
}
