//! Published ports when something else changes: networks, routes, other endpoints, many hands at once.

use std::sync::Mutex;
use std::thread;

use bowline_api::v1::{CreateEndpoint, Join, Netns, PublishSpec};

use crate::world::World;

pub(crate) fn a_network_that_becomes_internal_publishes_nothing(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "-p 8080:80");
    let _server = web.serves(80);
    w.outside().fetches("192.0.2.1", 8080);
    w.outside().fetches("2001:db8::1", 8080);
    for _ in 0..3 {
        w.bowline("network update front --internal");
        for host in ["192.0.2.1", "2001:db8::1"] {
            w.outside().does_not_fetch(host, 8080);
        }
        w.host().binds("tcp", "[::]:8080").well();
        w.bowline("network update front --internal=false");
        for host in ["192.0.2.1", "2001:db8::1"] {
            w.outside().fetches(host, 8080);
        }
    }
    // Meanwhile somebody else may take the port: then it stays internal.
    w.bowline("network update front --internal");
    w.bowline("network create back --subnet 10.8.0.0/24");
    let other = w.attach("other", "back", "-p 8080:80");
    let _other = other.serves(80);
    w.tries("network update front --internal=false").refused("BWL-1214", 4).naming(&["endpoint other"]);
    w.outside().fetches("2001:db8::1", 8080);
    w.bowline("endpoint rm other");
    w.bowline("network update front --internal=false");
    assert_eq!(w.outside().seen_by("192.0.2.1", 8080), "192.0.2.2");
}

pub(crate) fn a_network_that_becomes_strict_is_so_for_what_is_relayed(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    let (web, db) = (w.attach("web", "front", "-p 8080:80"), w.attach("db", "back", ""));
    let _server = web.serves(80);
    db.fetches("fd00:8::1", 8080);
    w.bowline("network update front --isolate");
    db.does_not_fetch("fd00:8::1", 8080);
    w.outside().fetches("2001:db8::1", 8080);
    w.bowline("network update front --isolation published");
    db.fetches("fd00:8::1", 8080);
}

pub(crate) fn of_two_strict_endpoints_one_that_goes_opens_nothing(w: &World) {
    w.host().run("ip addr add 2001:db8::9/64 dev uplink nodad");
    w.bowline("network create front --subnet 10.9.0.0/24 --isolate");
    w.bowline("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    let one = w.attach("one", "front", "-p [2001:db8::1]:7000:80");
    let _two = w.attach("two", "front", "-p [2001:db8::9]:7000:80");
    let (_server, db) = (one.serves(80), w.attach("db", "back", ""));
    w.outside().fetches("2001:db8::1", 7000);
    db.does_not_fetch("2001:db8::1", 7000);
    w.bowline("endpoint rm two");
    db.does_not_fetch("2001:db8::1", 7000);
    w.container("three");
    w.tries("endpoint create three --netns three --network front -p [2001:db8::1]:7000:80")
        .refused("BWL-1214", 4);
    db.does_not_fetch("2001:db8::1", 7000);
    // What is shut is that port of that address, and nothing of the host's own.
    let of_the_hosts = w.host().serves_at("192.0.2.1:7001");
    w.bowline("port publish one [::1]:7001:80");
    db.fetches("192.0.2.1", 7001);
    drop(of_the_hosts);
    w.host().run("ip addr del 2001:db8::9/64 dev uplink");
}

pub(crate) fn a_routed_port_that_is_opened_twice_stays_open_once(w: &World) {
    w.bowline("network create front --gateway-mode routed --subnet 10.9.0.0/24");
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    let web = w.attach("web", "front", "-p 8080:80 -p 9090:80");
    let (_server, _echo) = (web.serves(80), web.echoes(7));
    w.bowline("port unpublish web 8080:80");
    w.outside().fetches("10.9.0.2", 80);
    w.tries("port publish web 9090:81").refused("BWL-1214", 4).naming(&["twice"]);
    w.bowline("port publish web 7:7");
    w.outside().talks_to("10.9.0.2", 7).ends().well();
    w.bowline("port unpublish web 7:7");
    w.outside().does_not_fetch("10.9.0.2", 7);
    w.outside().fetches("10.9.0.2", 80);
}

pub(crate) fn a_routed_connection_ends_with_its_port(w: &World) {
    w.bowline("network create front --gateway-mode routed --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.outside().run("ip route add fd00:9::/64 via 2001:db8::1");
    let web = w.attach("web", "front", "-p 7:7 -p 8:8");
    let (_echo, _other) = (web.echoes(7), web.echoes(8));
    let both = ["10.9.0.2", "fd00:9::2"];
    let mut going = both.map(|at| w.outside().keeps_calling(at, 7));
    let staying = both.map(|at| w.outside().talks_to(at, 8));
    for caller in &mut going {
        caller.wait_for_line("tried, and it lasted");
    }
    // Each of them has a connection in which nobody speaks just now.
    w.bowline("port unpublish web 7");
    for caller in &mut going {
        let said = caller.wait_for_line("tried");
        assert!(said.contains("was cut"), "{said}");
    }
    staying.into_iter().for_each(|talk| drop(talk.ends().well()));
}

pub(crate) fn a_port_that_was_stolen_is_relayed_when_it_is_free_again(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "-p 8080:80");
    let _server = web.serves(80);
    w.kill();
    w.kill_keepers();
    let thief = w.host().serves(8080);
    w.start();
    w.outside().fetches("192.0.2.1", 8080);
    drop(thief);
    w.bowline("system repair");
    for host in ["::1", "2001:db8::1"] {
        w.host().fetches(host, 8080);
    }
    assert!(w.host().binds("tcp", "0.0.0.0:8080").code != 0);
}

pub(crate) fn one_port_is_given_to_one_of_many_who_ask(w: &World) {
    const MANY: usize = 12;
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns add n$n; done", MANY - 1));
    let api = w.api();
    for (ask, winners) in [(Some(7777), 1), (None, MANY)] {
        let got: Mutex<Vec<(String, u16)>> = Mutex::default();
        thread::scope(|scope| {
            for n in 0..MANY {
                let (api, got) = (&api, &got);
                scope.spawn(move || {
                    let name = format!("n{n}");
                    let netns = Netns { fd: None, path: Some(format!("/run/netns/{name}")) };
                    let networks = vec![Join { network: "front".into(), ..Join::default() }];
                    let publish = vec![PublishSpec { host_port: ask, port: 80, ..PublishSpec::default() }];
                    let wish = CreateEndpoint { networks, publish, ..CreateEndpoint::named(&name, netns) };
                    match api.create_endpoint(&wish) {
                        Ok(made) => got.lock().unwrap().push((name, made.ports[0].host_port.unwrap())),
                        Err(error) => assert_eq!(error.code, bowline_api::Code::PortTaken, "{error}"),
                    }
                });
            }
        });
        let got = got.into_inner().unwrap();
        assert_eq!(got.len(), winners, "{got:?}");
        w.has_no_drift();
        for (name, port) in &got {
            assert!(
                w.host().binds("tcp", &format!("0.0.0.0:{port}")).code != 0,
                "{port} of {name} is not held"
            );
            w.bowline(&format!("endpoint rm {name}"));
            w.host().binds("tcp", &format!("0.0.0.0:{port}")).well();
        }
    }
    // Who comes right after one that goes finds the port free, again and again.
    for n in 0..20 {
        let (old, new) = (format!("n{}", n % MANY), format!("n{}", (n + 1) % MANY));
        if n == 0 {
            w.bowline(&format!("endpoint create {old} --netns {old} --network front -p 7777:80"));
        }
        w.bowline(&format!("endpoint rm {old}"));
        w.bowline(&format!("endpoint create {new} --netns {new} --network front -p 7777:80"));
        assert!(w.host().binds("tcp", "0.0.0.0:7777").code != 0);
    }
    w.removes_everything();
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns del n$n; done", MANY - 1));
}
