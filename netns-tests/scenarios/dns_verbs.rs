//! `bowline dns`: who is called what, what an endpoint is answered, and what was asked.

use serde_json::Value;

use crate::world::World;
use crate::world::daemon::BINARY;
use crate::world::said::{eventually, only_if};

fn front(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.bowline("network create back --internal --subnet 10.8.0.0/24");
    w.attach("web", "front:alias=shop", "--hostname web.example --expose 80/tcp");
    w.container("db");
    w.bowline("endpoint create db --netns db --network back:alias=store --network front");
}

pub(crate) fn names_are_listed(w: &World) {
    front(w);
    let table = w.bowline("dns ls").out;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    for (name, address, endpoint, network) in [
        ("web", "10.9.0.2", "web", "front"),
        ("web.example", "10.9.0.2", "web", "front"),
        ("shop", "10.9.0.2", "web", "front"),
        ("db", "10.9.0.3", "db", "front"),
        ("db", "10.8.0.2", "db", "back"),
        ("store", "10.8.0.2", "db", "back"),
    ] {
        let has = |row: &&Vec<&str>| {
            row.first() == Some(&name) && [address, endpoint, network].iter().all(|word| row.contains(word))
        };
        assert_eq!(rows.iter().filter(has).count(), 1, "{name} {network} in {table}");
    }
    let of_back = w.bowline("dns ls back --format json").json();
    let names: Vec<&str> = of_back.as_array().unwrap().iter().filter_map(|n| n["name"].as_str()).collect();
    let id = w.api().endpoint("db").unwrap().id;
    assert!(names.contains(&"store") && names.contains(&&id[..12]) && !names.contains(&"web"), "{names:?}");
    w.tries("dns ls bakc").refused("BWL-1201", 3).naming(&["back"]);
    w.bowline("endpoint rm db");
    assert_eq!(w.bowline("dns ls back --json").json().as_array().map(Vec::len), Some(0));
}

pub(crate) fn what_an_endpoint_is_answered_can_be_seen_from_outside(w: &World) {
    front(w);
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    let resolve = |line: &str| w.bowline(&format!("dns resolve {line}")).out;
    assert_eq!(resolve("db --endpoint web"), "10.9.0.3\n");
    assert_eq!(resolve("SHOP.Front --endpoint db"), "10.9.0.2\n");
    assert_eq!(resolve("web --endpoint db --type AAAA"), "fd00:9::2\n");
    assert!(resolve("10.9.0.3 --endpoint web").starts_with("db.front"));
    assert!(resolve("_80._tcp.web --endpoint db").contains("80 web.front"));
    assert_eq!(resolve("www.example --endpoint web"), "198.51.100.2\n");
    let seen = w.bowline("dns resolve www.example --endpoint web --format json").json();
    assert_eq!((seen["outcome"].as_str(), seen["from"].as_str()), (Some("NOERROR"), Some("cache")), "{seen}");
    // What it cannot see, and what nobody can.
    assert_eq!(
        resolve("store --endpoint web"),
        "198.51.100.2\n",
        "which to it is nobody's, so it is asked elsewhere"
    );
    assert_eq!(w.tries("dns resolve nx.example --endpoint web").code, 3);
    assert_eq!(w.tries("dns resolve fail.example --endpoint web").code, 1);
    assert_eq!(resolve("store"), "10.8.0.2\n", "without an endpoint all networks are seen");
    w.tries("dns resolve www.example --endpoint wbe").refused("BWL-1202", 3).naming(&["web"]);
    w.container("bare");
    w.bowline("endpoint create bare --netns bare");
    w.tries("dns resolve web --endpoint bare").refused("BWL-1216", 3);
}

pub(crate) fn what_was_asked_is_logged(w: &World) {
    front(w);
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    let (mut web, mut db) = (w.inside("web").asker(), w.inside("db").asker());
    web.ask("DB", "A");
    web.ask("www.example", "A");
    web.ask_by_tcp("www.example", "A");
    web.ask("nx.example", "HTTPS");
    db.ask("web", "AAAA");
    let log = |options: &str| w.bowline(&format!("dns log {options} --format json")).json();
    let lines = eventually("all five are in the log", || {
        let lines = log("");
        only_if(lines.as_array().is_some_and(|l| l.len() == 5), &lines).map(|()| lines)
    });
    let told: Vec<String> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("?").to_string();
            let answers: Vec<&str> =
                line["answers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let took = line["took_us"].as_u64().expect("how long it took");
            assert!(took < 5_000_000, "{line}");
            [text("endpoint"), text("kind"), text("name"), text("outcome"), answers.join(","), text("from")]
                .join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "web A DB NOERROR 10.9.0.3 here",
            "web A www.example NOERROR 198.51.100.2 192.0.2.2:53",
            "web A www.example NOERROR 198.51.100.2 cache",
            "web HTTPS nx.example NXDOMAIN  192.0.2.2:53",
            "db AAAA web NOERROR fd00:9::2 here",
        ]
    );
    assert_eq!(log("--endpoint db").as_array().map(Vec::len), Some(1));
    let last = log("--limit 2");
    assert_eq!((last[0]["name"].as_str(), last[1]["name"].as_str()), (Some("nx.example"), Some("web")));
    let table = w.bowline("dns log").out;
    assert!(table.contains("NXDOMAIN") && table.contains("DB"), "{table}");

    let mut follower = w.host().starts(&format!("{BINARY} dns log --follow --endpoint db"));
    follower.wait_for_line("web");
    web.ask("later", "A");
    db.ask("soon.front", "A");
    let line = follower.wait_for_line("soon.front");
    assert!(line.contains("db"), "{line}");
    follower.signal("INT");
}

/// A name may hold what a terminal understands; what is printed does not.
pub(crate) fn no_name_speaks_to_a_terminal(w: &World) {
    w.bowline("network create back --internal --subnet 10.8.0.0/24");
    let web = w.attach("web", "back", "");
    web.run_python(
        r"
import socket, struct
for name in [b'\x1b[2Jred\x07', b'\xff\x00\n\r\t ']:
    q = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b'\0' + struct.pack('>2H', 1, 1)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
    s.sendto(q, ('127.0.0.11', 53))
    s.recv(512)
",
    );
    let said = eventually("both are in the log", || {
        let said = w.bowline("dns log");
        only_if(said.out.lines().count() == 3, &said).map(|()| said)
    });
    let plain = |c: char| c == '\n' || (c.is_ascii_graphic() || c == ' ');
    assert!(said.out.chars().all(plain), "{said}");
    w.bowline("dns log --format json").json();
}

pub(crate) fn flushing_says_how_much_was_forgotten(w: &World) {
    front(w);
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    let mut asker = w.inside("web").asker();
    for name in ["a.example", "b.example", "nx.example"] {
        asker.ask(name, "A");
    }
    assert_eq!(w.bowline("dns flush --format json").json()["answers"], 3);
    assert_eq!(w.bowline("dns flush").out, "0 answers forgotten\n");
}
