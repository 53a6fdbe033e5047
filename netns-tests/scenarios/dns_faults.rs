//! Names while something breaks: the daemon, who keeps its sockets, the container itself.

use std::thread;
use std::time::{Duration, Instant};

use bowline_api::v1::{CreateEndpoint, Join, Netns};

use crate::world::World;
use crate::world::background::Background;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

/// How soon what has waited is answered.
const DELAY: Duration = Duration::from_millis(150);

fn front(w: &World) -> Place<'_> {
    w.bowline("network create front --internal --subnet 10.9.0.0/16");
    w.attach("db", "front", "");
    w.attach("web", "front", "")
}

/// Five hundred questions a second, by two who ask.
fn not_a_question_is_lost(w: &World, away: impl Fn()) {
    let web = front(w);
    let mut clocks = [
        web.asks_by_the_clock(400, &["db", "web", "db.front"]),
        w.inside("db").asks_by_the_clock(100, &["web"]),
    ];
    clocks.iter_mut().for_each(|clock| clock.hears(2));
    let begun = Instant::now();
    away();
    let longest = begun.elapsed() + DELAY;
    clocks[0].hears(40);
    for clock in clocks {
        let tally = clock.ends();
        assert!(tally.longest <= longest, "{tally:?}, and it was away for {longest:?} at most");
    }
    assert_eq!(web.asker().ask_by_tcp("db", "A").data(), ["10.9.0.2"]);
}

pub(crate) fn no_question_is_lost_by_a_restart(w: &World) {
    not_a_question_is_lost(w, || w.restart());
}

pub(crate) fn no_question_is_lost_by_a_crash(w: &World) {
    not_a_question_is_lost(w, || {
        w.kill();
        w.start();
    });
}

/// While it is away nobody answers, but the questions wait.
pub(crate) fn questions_wait_for_a_daemon_that_is_late(w: &World) {
    let web = front(w);
    let clock = web.asks_by_the_clock(50, &["db"]);
    w.kill();
    let mut late = web.asker();
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(move || late.ask("db", "A"));
        w.start();
        waiting.join().expect("whoever waits is not lost")
    });
    assert_eq!(answer.data(), ["10.9.0.2"]);
    clock.ends();
    // What changed in between is seen by the first question after.
    w.kill();
    w.host().run("ip netns del db");
    w.start();
    let mut asker = web.asker();
    eventually("a name that went while the daemon was away is gone", || {
        let seen = asker.finds("db");
        only_if(seen == ["NXDOMAIN"], seen)
    });
}

fn files_of(w: &World, pid: &str) -> usize {
    std::fs::read_dir(w.machine.path(&format!("/proc/{pid}/fd"))).map_or(0, Iterator::count)
}

pub(crate) fn whoever_keeps_the_sockets_may_die(w: &World) {
    assert_eq!(w.keepers(), [""; 0], "who has nothing to keep keeps nobody");
    let web = front(w);
    let clock = web.asks_by_the_clock(200, &["db", "web"]);
    let first = w.keepers();
    assert_eq!(first.len(), 1, "{first:?}");
    let had = files_of(w, &first[0]);
    w.host().run(&format!("kill -9 {}", first[0]));
    let second = eventually("another takes its place, and what it had", || {
        let now = w.keepers();
        let has = now.first().map(|pid| files_of(w, pid));
        if has == Some(had) && now != first { Ok(now) } else { Err(format!("{now:?} has {has:?} of {had}")) }
    });
    w.kill();
    assert_eq!(w.keepers(), second, "it outlives the daemon");
    w.start();
    clock.ends();
    assert_eq!(w.keepers(), second, "and serves the next one");
    // Both at once: what was asked meanwhile is lost, and nothing else.
    w.kill();
    w.host().run(&format!("kill -9 {}", second[0]));
    w.start();
    let mut asker = web.asker();
    assert_eq!(asker.finds("db"), ["10.9.0.2"]);
    assert_eq!(asker.ask_by_tcp("db", "A").data(), ["10.9.0.2"]);
    w.bowline("endpoint rm web");
    w.bowline("endpoint rm db");
    w.stop();
    eventually("who has nothing left to keep ends with the daemon", || {
        let now = w.keepers();
        only_if(now.is_empty(), now)
    });
}

pub(crate) fn what_was_asked_for_outlives_the_daemon(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create quiet --no-dns --internal --subnet 10.8.0.0/24");
    let db = w.attach("db", "front:alias=store", "--hostname data --expose 5432/tcp");
    let _stub = db.serves_names("10.9.0.2:53", 3);
    let wishes = "--dns 10.9.0.2 --dns-search a.example --dns-opt ndots:3 --link db:sql";
    let web = w.attach("web", "front", wishes);
    w.attach("still", "quiet", "");
    let mut asker = web.asker();
    let mut look = || {
        let names =
            ["db", "store", "data", "sql", "store.front", "www.example"].map(|name| asker.finds(name));
        let service = asker.ask("_5432._tcp.db", "SRV").records;
        let file = w.host().run("cat /etc/netns/web/resolv.conf");
        let said = ["/v1/endpoints", "/v1/networks", "/v1/dns/names"].map(|path| w.api_json(path));
        (names, service, file, said)
    };
    let before = look();
    assert_eq!(before.0[3], ["10.9.0.2"]);
    assert_eq!(before.0[5], ["198.51.100.3"]);
    for crash in [true, false] {
        match crash {
            true => w.kill(),
            false => w.stop(),
        }
        w.start();
        assert_eq!(look(), before);
        assert_eq!(w.inside("still").run("nft list ruleset"), "");
    }
}

/// T-31: a thousand come and go while a thousand questions a second are asked.
pub(crate) fn no_question_is_lost_by_changes(w: &World) {
    const HANDS: usize = 8;
    let web = front(w);
    w.host().shell(&format!("for n in $(seq {HANDS}); do ip netns add c$n; done"));
    let clock = web.asks_by_the_clock(1000, &["db", "web", "db.front"]);
    let api = w.api();
    thread::scope(|scope| {
        for hand in 1..=HANDS {
            let api = &api;
            scope.spawn(move || {
                for round in 0..1000 / HANDS {
                    let netns = Netns { fd: None, path: Some(format!("/run/netns/c{hand}")) };
                    let name = format!("c{hand}-{round}");
                    let join =
                        Join { network: "front".into(), aliases: vec!["pool".into()], ..Join::default() };
                    let wish = CreateEndpoint { networks: vec![join], ..CreateEndpoint::named(&name, netns) };
                    api.create_endpoint(&wish).unwrap_or_else(|e| panic!("create {name}: {e}"));
                    api.remove_endpoint(&name).unwrap_or_else(|e| panic!("remove {name}: {e}"));
                }
            });
        }
    });
    clock.ends();
    assert_eq!(web.asker().finds("pool"), ["NXDOMAIN"]);
    w.host().shell(&format!("for n in $(seq {HANDS}); do ip netns del c$n; done"));
}

/// Sockets, watches and files of namespaces that are gone, with questions under way.
pub(crate) fn no_file_is_kept_of_what_went(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    let round = |n: usize| {
        w.host().run("ip netns add brief");
        w.bowline("endpoint create brief --netns brief --network front --dns 192.0.2.2");
        let mut asker = w.inside("brief").asker();
        assert_eq!(asker.finds(&format!("www{n}.example")), ["198.51.100.2"]);
        assert_eq!(asker.ask_by_tcp(&format!("tcp{n}.example"), "A").data(), ["198.51.100.2"]);
        drop(asker);
        match n % 2 {
            0 => drop(w.bowline("endpoint rm brief")),
            _ => drop(w.host().run("ip netns del brief")),
        }
        drop(w.host().tries("ip netns del brief"));
        eventually("it is gone", || {
            let left = w.api().endpoints().unwrap();
            only_if(left.is_empty(), left)
        });
    };
    (0..4).for_each(round);
    let before = w.open_files();
    (4..64).for_each(round);
    eventually("as many files are open as before", || {
        let now = w.open_files();
        // A few are opened at first need, and a few wait for the next need.
        only_if(now.values().sum::<usize>() <= before.values().sum::<usize>() + 8, (&before, now))
    });
}

/// What a container does to its own firewall is its own affair, until somebody wants it mended.
pub(crate) fn what_a_container_did_to_its_resolver_is_mended_by_a_repair(w: &World) {
    let web = front(w);
    for harm in ["nft flush ruleset", "nft delete table ip bowline"] {
        web.run(harm);
        assert_eq!(web.digs("db").status, "", "there is nobody at port 53 any more");
        let drift = w.api().drift().unwrap();
        assert!(!drift.steps.is_empty(), "{harm}: no drift is shown");
        w.bowline("system repair");
        assert_eq!(web.digs("db").found(), ["10.9.0.2"], "{harm}");
        assert_eq!(web.digs("+tcp db").found(), ["10.9.0.2"], "{harm}");
    }
    web.run("ip link set lo down");
    w.bowline("system repair");
    assert_eq!(web.digs("db").found(), ["10.9.0.2"]);
}

/// Whoever has the right to destroy sockets in a namespace may do it to the resolver's, and is answered again soon after.
pub(crate) fn sockets_that_a_container_destroyed_are_made_again(w: &World) {
    let web = front(w);
    let mut asker = web.asker();
    for kinds in ["--tcp", "--udp", "--tcp --udp"] {
        let destroyed = web.run(&format!("ss --kill --all --numeric --no-header {kinds} src 127.0.0.11"));
        assert!(!destroyed.is_empty(), "{kinds}: nothing was destroyed");
        for over in ["+notcp", "+tcp"] {
            eventually(&format!("{kinds}: it is answered again, {over}"), || {
                let seen = web.digs(&format!("+tries=1 +time=1 {over} db"));
                only_if(seen.found() == ["10.9.0.2"], seen)
            });
        }
        w.has_no_drift();
    }
    assert_eq!(asker.finds("db"), ["10.9.0.2"]);
    // So are those that nobody hears of, for nobody is there.
    w.kill();
    web.run("ss --kill --all --numeric --no-header --tcp src 127.0.0.11");
    w.start();
    assert_eq!(web.digs("+tcp db").found(), ["10.9.0.2"]);
    assert_eq!(asker.finds("db"), ["10.9.0.2"]);
}

/// What waits for a server elsewhere when the daemon goes is asked again by the next one.
pub(crate) fn no_question_is_lost_that_waits_for_a_server(w: &World) {
    const QUESTIONS: usize = 50;
    w.bowline("network create front --subnet 10.9.0.0/24");
    let db = w.attach("db", "front", "");
    let web = w.attach("web", "front", "--dns 10.9.0.2");
    for crash in [true, false] {
        // A server that is slow: what it is asked waits in its socket until it is there.
        let mut slow =
            Background::start("python3".into(), db.command("python3").args(["-c", BINDS_AND_WAITS]));
        slow.wait_for_line("bound");
        let round = if crash { "crash" } else { "stop" };
        let mut asker = web.command("python3");
        asker.args(["-c", ASKS_OTHERS, &QUESTIONS.to_string(), round]);
        let mut asking = Background::start("python3".into(), &mut asker);
        asking.wait_for_line("asked");
        eventually("all are on their way", || {
            let sockets = web.run("ss --no-header --numeric --udp dst 10.9.0.2:53").lines().count();
            only_if(sockets == QUESTIONS, sockets)
        });
        match crash {
            true => w.kill(),
            false => w.stop(),
        }
        slow.ends().well();
        let _stub = db.serves_names("10.9.0.2:53", 3);
        w.start();
        asking.wait_for_line("answered");
        asking.ends().well();
    }
}

/// Has port 53 until its input ends, and says nothing.
const BINDS_AND_WAITS: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.9.0.2', 53))
print('bound', flush=True)
sys.stdin.read()
";

/// Asks for names of others, each once, and wants each answered with an address.
const ASKS_OTHERS: &str = "
import socket, struct, sys
count, word = int(sys.argv[1]), sys.argv[2].encode()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect(('127.0.0.11', 53))
for n in range(count):
    name = b'%s%d' % (word, n)
    question = bytes([len(name)]) + name + b'\\x07example\\0\\0\\x01\\0\\x01'
    s.send(struct.pack('!6H', n, 0x100, 1, 0, 0, 0) + question)
print('asked', flush=True)
left = set(range(count))
while left:
    answer = s.recv(512)
    number, flags, questions, answers = struct.unpack('!4H', answer[:8])
    assert flags & 0x800f == 0x8000 and answers == 1, answer
    left.discard(number)
print('answered', flush=True)
";
