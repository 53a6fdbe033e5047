//! What servers said is remembered as long as they said, and asked of nobody who must not be asked.

use std::time::Duration;

use bowline_api::v1::Join;

use crate::world::World;
use crate::world::said::{eventually, only_if};

const FRONT: &str = "network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64";
const INNER: &str = "network create inner --internal --subnet 10.8.0.0/24";

pub(crate) fn answers_are_kept_as_long_as_they_hold(w: &World) {
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let mut other = w.attach("other", "front", "").asker();
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    assert_eq!(asker.ask("ttl300.example", "A").ttl(), Some(300));
    eventually("its time runs down", || {
        let left = other.ask("TTL300.Example", "A").ttl();
        only_if(left.is_some_and(|left| (290..300).contains(&left)), left)
    });
    assert_eq!(stub.heard_of("ttl300.example"), 1, "who else asks on the host's behalf is told the same");
    assert_eq!(asker.ask("ttl300.example", "AAAA").status, "NOERROR");
    assert_eq!(stub.heard_of("ttl300.example"), 2, "that is another question");
    // One second, and then it is asked again.
    assert_eq!(asker.finds("ttl1.example"), ["198.51.100.2"]);
    eventually("it is asked again", || {
        let answer = asker.ask("ttl1.example", "A");
        assert!(answer.ttl().is_some_and(|left| left <= 1), "{answer:?}");
        let asked = stub.heard_of("ttl1.example");
        only_if(asked == 2, asked)
    });
    for _ in 0..3 {
        asker.ask("ttl0.example", "A");
    }
    assert_eq!(stub.heard_of("ttl0.example"), 3, "that was not to be kept");
}

/// RFC 2308.
pub(crate) fn that_something_is_not_there_is_kept_too(w: &World) {
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    for (name, kind, status) in [
        ("nx.example", "A", "NXDOMAIN"),
        ("none.example", "A", "NOERROR"),
        ("www.example", "AAAA", "NOERROR"),
    ] {
        for _ in 0..3 {
            let answer = asker.ask(name, kind);
            assert_eq!((answer.status.as_str(), answer.records.len()), (status, 0), "{name}");
        }
        assert_eq!(stub.heard_of(name), 1, "{name}");
    }
    // A failure is no answer.
    for _ in 0..2 {
        assert_eq!(asker.ask("fail.example", "A").status, "SERVFAIL");
    }
    assert!(stub.heard_of("fail.example") >= 2);
}

pub(crate) fn what_is_flushed_is_asked_again(w: &World) {
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    let mut asks = || {
        for name in ["www.example", "nx.example", "www.example", "nx.example"] {
            asker.ask(name, "A");
        }
        stub.heard().len()
    };
    assert_eq!(asks(), 2);
    assert_eq!(asks(), 2);
    w.bowline("dns flush");
    assert_eq!(asks(), 4);
}

/// Two servers at the same address, each in a namespace of its own.
pub(crate) fn what_one_was_told_is_not_told_to_another(w: &World) {
    w.bowline(FRONT);
    let mut askers = Vec::new();
    let mut stubs = Vec::new();
    for (name, number) in [("one", 1), ("two", 2)] {
        let place = w.container(name);
        place.run("ip link set lo up");
        stubs.push(place.serves_names("127.0.0.53:53", number));
        w.bowline(&format!("endpoint create {name} --netns {name} --network front --dns 127.0.0.53"));
        askers.push((place.asker(), format!("198.51.100.{number}")));
    }
    for _ in 0..2 {
        for (asker, own) in &mut askers {
            assert_eq!(asker.finds("www.example"), [own.as_str()]);
            assert_eq!(asker.ask_by_tcp("tcp.example", "A").data(), [own.as_str()]);
        }
    }
    for stub in &stubs {
        assert_eq!((stub.heard_of("www.example"), stub.heard_of("tcp.example")), (1, 1));
    }
}

/// T-27: five hundred names, of every kind, by UDP and TCP, and not one question leaves.
pub(crate) fn an_internal_network_asks_nobody(w: &World) {
    w.bowline(INNER);
    let hosts = w.outside().serves_names("192.0.2.2:53", 2);
    let web = w.attach("web", "inner", "");
    let picky = w.container("picky");
    picky.run("ip link set lo up");
    let own = picky.serves_names("127.0.0.53:53", 5);
    w.bowline("endpoint create picky --netns picky --network inner --dns 192.0.2.2 --dns 127.0.0.53");
    let kinds = ["A", "AAAA", "TXT", "MX", "SRV", "PTR", "HTTPS", "NS", "SOA", "ANY"];
    for mut asker in [web.asker(), picky.asker()] {
        for n in 0..250 {
            let (name, kind) = (format!("secret{n}.Part{}.example", n % 7), kinds[n % kinds.len()]);
            let answer = if n % 5 == 0 { asker.ask_by_tcp(&name, kind) } else { asker.ask(&name, kind) };
            assert!(["NXDOMAIN", "REFUSED"].contains(&answer.status.as_str()), "{name} {kind}: {answer:?}");
            assert!(answer.records.is_empty() && answer.took < Duration::from_millis(500), "{answer:?}");
        }
        assert_eq!(asker.ask("8.8.8.8.in-addr.arpa", "PTR").status, "NXDOMAIN");
    }
    for line in ["+tcp +dnssec +ednsopt=65001:00 x.example", "-t A web.example.", "-t TXT com"] {
        assert_eq!(web.digs(line).status, "NXDOMAIN", "{line}");
    }
    assert_eq!((hosts.heard(), own.heard()), (vec![], vec![]));
}

/// T-27: the next question is answered by what the asker is on by then; what is remembered is nobody's who may not ask.
pub(crate) fn a_second_network_opens_and_closes_the_way_at_once(w: &World) {
    w.bowline(FRONT);
    w.bowline(INNER);
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    let mut asker = w.attach("web", "inner", "").asker();
    let api = w.api();
    for round in 0..20 {
        assert_eq!(asker.finds("www.example"), ["NXDOMAIN"], "round {round}");
        let join = Join { network: "front".into(), ..Join::default() };
        api.connect("web", &join).unwrap_or_else(|e| panic!("round {round}: {e}"));
        assert_eq!(asker.finds("www.example"), ["198.51.100.2"], "round {round}");
        api.disconnect("web", "front").unwrap_or_else(|e| panic!("round {round}: {e}"));
    }
    assert_eq!(asker.ask_by_tcp("www.example", "A").status, "NXDOMAIN");
    assert_eq!(stub.heard().len(), 1, "{:?}", stub.heard());
    // A network that becomes internal.
    w.bowline("network connect front web");
    assert_eq!(asker.finds("www.example"), ["198.51.100.2"]);
    w.bowline("network update front --internal");
    assert_eq!(asker.finds("www.example"), ["NXDOMAIN"]);
    w.bowline("network update front --internal=false");
    assert_eq!(asker.finds("www.example"), ["198.51.100.2"]);
}

/// T-32, CVE-2025-8283: whatever is asked about a name of ours, however it is spelled.
pub(crate) fn names_of_ours_are_asked_of_nobody_else(w: &World) {
    w.bowline(FRONT);
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    let web = w.attach("web", "front:alias=store", "--hostname shop.example --link web:own");
    let id = w.api().endpoint("web").unwrap().id;
    let mut asker = web.asker();
    for name in ["web", "store", "shop.example", "own", &id[..12]] {
        for spelled in [name.into(), format!("{name}."), name.to_uppercase(), format!("{name}.front")] {
            for kind in ["A", "AAAA", "MX", "TXT", "HTTPS", "NS", "SOA", "SRV", "ANY", "PTR"] {
                asker.ask(&spelled, kind);
                asker.ask_by_tcp(&spelled, kind);
            }
        }
    }
    for address in ["2.0.9.10", "77.0.9.10", "1.0.0.127"] {
        asker.ask(&format!("{address}.in-addr.arpa"), "PTR");
    }
    asker.ask("_80._tcp.web", "SRV");
    asker.ask("localhost", "A");
    let heard: Vec<_> = stub.heard().into_iter().filter(|h| !h.name.starts_with("own.front")).collect();
    assert_eq!(heard, []);
    // By way of the C library, which tries search domains.
    w.attach("db", "front", "--dns-search example");
    for name in ["web", "web.front", "shop.example"] {
        let known = w.host().run(&format!("ip netns exec db getent ahosts {name}"));
        assert!(known.contains("10.9.0.2"), "{known}");
        assert_eq!(stub.heard_of(&format!("{name}.example")), 0, "{:?}", stub.heard());
    }
}
