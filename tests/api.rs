//! The API as a client sees it: every route, the life of networks and endpoints, and the stream of events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bowline_api::routes::{Gives, ROUTES};
use bowline_api::v1::{CreateNetwork, EndpointState, EventKind, Join, SubnetSpec, UpdateNetwork};
use bowline_api::{Client, Code, Result};

use crate::support::http::{Line, request};
use crate::support::watch::{Subscriber, in_short};
use crate::support::{Daemon, PATIENCE, endpoint, join, network, until};

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code
}

#[test]
fn every_route_is_known_and_every_failure_is_one_object_with_a_known_code() {
    let daemon = Daemon::start();
    for route in ROUTES.iter().filter(|route| !matches!(route.gives, Gives::Stream(_))) {
        let path = route.path.replace("{name}", "nobody");
        let answer = daemon.ask(route.method.as_str(), &path, "");
        let what = format!("{} {path}: {} {}", route.method.as_str(), answer.status, answer.text());
        if answer.status == 200 {
            assert!(route.takes.is_none(), "an empty body is not what it takes: {what}");
            answer.json();
        } else {
            let (code, _) = answer.failure();
            assert_ne!(code, Code::NoSuchPath, "{what}");
            assert_ne!(code, Code::Internal, "{what}");
        }
    }
}

#[test]
fn what_the_api_does_not_have_is_said_to_be_missing() {
    let daemon = Daemon::start();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v2/networks"),
        ("GET", "/v1/networks/"),
        ("GET", "/v1/networks/a/b"),
        ("GET", "/v1/networks/../networks"),
        ("DELETE", "/v1/networks"),
        ("PUT", "/v1/networks/a"),
        ("POST", "/v1/version"),
        ("BREW", "/v1/version"),
        ("GET", "/v1/events/"),
    ] {
        let answer = daemon.ask(method, path, "");
        let (code, failure) = answer.failure();
        assert_eq!((code, answer.status), (Code::NoSuchPath, 404), "{method} {path}: {failure:?}");
        assert!(failure.message.contains(method) && failure.fix.is_some(), "{failure:?}");
    }
}

#[test]
fn a_query_that_is_not_understood_is_refused() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    for (path, wanted) in [
        ("/v1/dns/names?network=front", None),
        ("/v1/dns/names?network=%66ront", None),
        ("/v1/dns/names?", None),
        ("/v1/dns/names?network=frond", Some(Code::NetworkNotFound)),
        ("/v1/dns/names?net=front", Some(Code::InvalidRequest)),
        ("/v1/dns/names?network=front&network=front", Some(Code::InvalidRequest)),
        ("/v1/dns/log?after=3&limit=18446744073709551615", None),
        ("/v1/dns/log?after=-1", Some(Code::InvalidRequest)),
        ("/v1/dns/log?after=", Some(Code::InvalidRequest)),
        ("/v1/dns/log?limit=18446744073709551616", Some(Code::InvalidRequest)),
        ("/v1/dns/log?limit=%00", Some(Code::InvalidRequest)),
    ] {
        let answer = daemon.ask("GET", path, "");
        match wanted {
            None => assert_eq!(answer.status, 200, "{path}: {}", answer.text()),
            Some(code) => {
                let (found, failure) = answer.failure();
                assert_eq!(found, code, "{path}: {failure:?}");
                assert!(!failure.message.chars().any(char::is_control), "{path}: {failure:?}");
            }
        }
    }
}

#[test]
fn the_daemon_says_what_it_is_and_what_it_holds() {
    let daemon = Daemon::start();
    let client = daemon.client();
    assert_eq!(client.health().unwrap().holds, [""; 0]);
    assert_eq!(client.version().unwrap().version, env!("CARGO_PKG_VERSION"));
    daemon.network("front", "10.9.0.0/24");
    daemon.endpoint("web", &["front"]);

    let info = client.info().unwrap();
    assert_eq!((info.networks, info.endpoints, info.pid), (1, 1, daemon.pid()));
    assert_eq!(info.addresses_used, 2, "the gateway's and web's");
    assert_eq!(info.socket, daemon.socket().display().to_string());
    assert!(info.rss_bytes > 0 && info.state_store_bytes > 0 && info.run_store_bytes > 0, "{info:?}");

    let dump = client.dump().unwrap();
    assert_eq!(dump.endpoints, client.endpoints().unwrap());
    assert_eq!(dump.networks, client.networks().unwrap());
    assert!(dump.wanted.iter().any(|line| line.contains("bl-front")), "{:#?}", dump.wanted);
    assert_eq!(client.drift().unwrap().steps, [""; 0]);
    assert_eq!(client.repair().unwrap().steps, [""; 0]);
    let document = daemon.ask("GET", "/v1/openapi.json", "").json();
    assert_eq!(document, bowline_api::openapi::document());
}

#[test]
fn a_network_lives_and_is_found_by_name_id_and_the_start_of_its_id() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let made = daemon.network("front", "10.9.0.0/24");
    assert_eq!(
        (made.subnets[0].gateway, made.bridge.as_deref()),
        (Some([10, 9, 0, 1].into()), Some("bl-front"))
    );
    for name in ["front", &made.id, &made.id[..6], &made.id[..31]] {
        assert_eq!(client.network(name).unwrap(), made, "by {name}");
    }
    for name in ["fron", &made.id[..5], &made.id[1..], "", "FRONT", &format!("{}0", made.id)] {
        let found = client.network(name);
        assert!(found.is_err(), "by {name:?}: {found:?}");
    }
    let names: Vec<String> = client.networks().unwrap().into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["front", "host", "none"]);
    assert_eq!(code(client.create_network(&network("front", "10.8.0.0/24"))), Code::NetworkExists);

    let labels = BTreeMap::from([("tier".to_string(), "web".to_string())]);
    let wish = UpdateNetwork { internal: Some(true), labels: Some(labels.clone()), ..Default::default() };
    let updated = client.update_network(&made.id[..8], &wish).unwrap();
    assert_eq!((updated.internal, &updated.labels, updated.icc), (true, &labels, true));
    assert_eq!(client.network("front").unwrap(), updated);
    assert_eq!(client.update_network("front", &UpdateNetwork::default()).unwrap(), updated);

    client.remove_network(&made.id).unwrap();
    assert_eq!(code(client.network("front")), Code::NetworkNotFound);
    assert_eq!(code(client.remove_network("front")), Code::NetworkNotFound);
    assert_eq!(daemon.dump().wanted, [""; 0]);
}

#[test]
fn networks_without_a_subnet_get_their_own_from_the_pools() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let both = CreateNetwork { ipv6: true, ..CreateNetwork::named("both") };
    let cidrs = |wish: &CreateNetwork| -> Vec<String> {
        client.create_network(wish).unwrap().subnets.into_iter().map(|s| s.cidr).collect()
    };
    assert_eq!(cidrs(&CreateNetwork::named("a")), ["10.160.0.0/24"]);
    assert_eq!(cidrs(&CreateNetwork::named("b")), ["10.160.1.0/24"]);
    let both = cidrs(&both);
    assert_eq!(both[0], "10.160.2.0/24");
    assert!(both[1].starts_with("fd") && both[1].ends_with("/64"), "{both:?}");
    let six = CreateNetwork { ipv4: false, ipv6: true, ..CreateNetwork::named("six") };
    assert_eq!(cidrs(&six).len(), 1);
}

#[test]
fn the_networks_host_and_none_are_always_there() {
    let daemon = Daemon::start();
    let client = daemon.client();
    for name in ["host", "none"] {
        assert_eq!(client.network(name).unwrap().name, name);
        assert_eq!(code(client.remove_network(name)), Code::ReservedName);
        assert_eq!(code(client.create_network(&CreateNetwork::named(name))), Code::ReservedName);
        let updated =
            client.update_network(name, &UpdateNetwork { internal: Some(true), ..Default::default() });
        assert!(matches!(code(updated), Code::ReservedName | Code::NetworkNotFound));
    }
    let lonely = client.create_endpoint(&endpoint("lonely", &["none"])).unwrap();
    assert_eq!(lonely.interfaces, []);
    assert_eq!(code(client.create_endpoint(&endpoint("loud", &["host"]))), Code::InvalidOption);
    daemon.network("front", "10.9.0.0/24");
    assert_eq!(code(client.create_endpoint(&endpoint("loud", &["front", "none"]))), Code::InvalidOption);
}

#[test]
fn an_endpoint_lives_moves_between_networks_and_is_found_in_three_ways() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (front, _) = (daemon.network("front", "10.9.0.0/24"), daemon.network("back", "10.8.0.0/24"));
    let wish = Join {
        ip: Some([10, 9, 0, 5].into()),
        mac: Some("02:00:00:00:00:05".into()),
        aliases: vec!["api".into()],
        interface: Some("lan0".into()),
        ..join("front")
    };
    let mut create = endpoint("web", &[]);
    create.networks = vec![wish];
    let made = client.create_endpoint(&create).unwrap();
    let card = &made.interfaces[0];
    assert_eq!((card.name.as_str(), card.mac.as_str()), ("lan0", "02:00:00:00:00:05"));
    assert_eq!(
        (&card.addresses[..], &card.gateways[..]),
        (&["10.9.0.5/24".into()][..], &["10.9.0.1".into()][..])
    );
    assert_eq!(
        (card.default_route, &card.aliases[..], &card.network_id),
        (true, &["api".into()][..], &front.id)
    );
    for name in ["web", &made.id, &made.id[..6]] {
        assert_eq!(client.endpoint(name).unwrap(), made, "by {name}");
    }
    assert_eq!(code(client.endpoint("wbe")), Code::EndpointNotFound);
    assert_eq!(code(client.create_endpoint(&endpoint("web", &["back"]))), Code::EndpointExists);

    let both = client.connect(&made.id[..9], &Join { gw_priority: 1, ..join("back") }).unwrap();
    let ways: Vec<(&str, bool)> =
        both.interfaces.iter().map(|i| (i.name.as_str(), i.default_route)).collect();
    assert_eq!(ways, [("lan0", false), ("eth0", true)], "the higher priority has the default route");
    assert_eq!(code(client.connect("web", &join("back"))), Code::AlreadyConnected);
    assert_eq!(code(client.connect("web", &join("middle"))), Code::NetworkNotFound);
    let members: Vec<String> =
        client.network("back").unwrap().endpoints.into_iter().map(|m| m.name).collect();
    assert_eq!(members, ["web"]);
    assert_eq!(code(client.remove_network("back")), Code::NetworkInUse);

    let one = client.disconnect("web", "back").unwrap();
    assert_eq!((one.interfaces.len(), one.interfaces[0].default_route), (1, true));
    assert_eq!(code(client.disconnect("web", "back")), Code::NotConnected);
    client.remove_network("back").unwrap();

    let stopped = client.stop_endpoint("web").unwrap();
    assert_eq!((stopped.state, stopped.interfaces.len()), (EndpointState::Stopped, 0));
    assert_eq!(code(client.connect("web", &join("front"))), Code::NetnsGone);
    let thief = Join { ip: Some([10, 9, 0, 5].into()), ..join("front") };
    daemon.endpoint("thief", &[]);
    assert_eq!(code(client.connect("thief", &thief)), Code::AddressTaken, "it is kept for web");
    let back = client.create_endpoint(&endpoint("web", &["front"])).unwrap();
    assert_eq!(back.interfaces[0].addresses, ["10.9.0.5/24"], "its fixed address came back");

    client.remove_endpoint("web").unwrap();
    assert_eq!(code(client.remove_endpoint("web")), Code::EndpointNotFound);
    until("the address is free", || client.connect("thief", &thief).ok());
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let before = daemon.dump();
    let steps = client.plan_network(&network("front", "10.9.0.0/24")).unwrap().steps;
    assert!(steps.iter().any(|step| step.contains("bl-front")), "{steps:#?}");
    assert_eq!(daemon.dump(), before);

    daemon.network("front", "10.9.0.0/24");
    let before = daemon.dump();
    let planned = client.plan_endpoint(&endpoint("web", &["front"])).unwrap().steps;
    assert!(planned.iter().any(|step| step.contains("10.9.0.2")), "{planned:#?}");
    assert_eq!(daemon.dump(), before);
    daemon.endpoint("web", &["front"]);
    assert_eq!(code(client.plan_network(&network("x", "10.9.0.0/25"))), Code::SubnetOverlap);
    assert_eq!(code(client.plan_endpoint(&endpoint("web", &["front"]))), Code::EndpointExists);
}

#[test]
fn what_was_planned_is_what_is_done() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    let steps = || daemon.client().plan_endpoint(&endpoint("web", &["front"])).unwrap().steps;
    let address = |steps: Vec<String>| steps.into_iter().find(|step| step.contains("10.9.0.2/24"));
    assert!(address(steps()).is_some());
    assert!(address(steps()).is_some(), "a second plan is the same as the first");
    assert_eq!(daemon.endpoint("web", &["front"]).interfaces[0].addresses, ["10.9.0.2/24"]);
}

#[test]
fn pruning_takes_what_is_empty_or_stopped_and_nothing_else() {
    let daemon = Daemon::start();
    let client = daemon.client();
    for (name, cidr) in [("busy", "10.1.0.0/24"), ("empty", "10.2.0.0/24"), ("left", "10.3.0.0/24")] {
        daemon.network(name, cidr);
    }
    daemon.endpoint("web", &["busy"]);
    let fixed = Join { ip: Some([10, 3, 0, 9].into()), ..join("left") };
    let mut create = endpoint("old", &[]);
    create.networks = vec![fixed];
    client.create_endpoint(&create).unwrap();
    client.stop_endpoint("old").unwrap();

    assert_eq!(client.prune_networks().unwrap().removed, ["empty", "left"]);
    daemon.network("left", "10.3.0.0/24");
    assert_eq!(client.prune().unwrap().removed, ["old", "left"]);
    assert_eq!(client.prune().unwrap().removed, [""; 0]);
    let names: Vec<String> = client.endpoints().unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!((names, client.info().unwrap().networks), (vec!["web".to_string()], 1));
}

#[test]
fn addresses_run_out_with_a_code_and_come_back() {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.network("tiny", "10.9.0.0/29");
    for n in 0..5 {
        daemon.endpoint(&format!("e{n}"), &["tiny"]);
    }
    assert_eq!(code(client.create_endpoint(&endpoint("late", &["tiny"]))), Code::SubnetFull);
    assert_eq!(code(client.endpoint("late")), Code::EndpointNotFound, "nothing is left of it");
    client.remove_endpoint("e3").unwrap();
    let late = daemon.endpoint("late", &["tiny"]);
    assert_eq!(late.interfaces[0].addresses, ["10.9.0.5/29"]);
}

#[test]
fn all_subscribers_are_told_what_happens_in_order() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let subscribers = [Subscriber::new(client.clone()), Subscriber::new(client.clone())];
    daemon.network("front", "10.9.0.0/24");
    daemon.network("back", "10.8.0.0/24");
    client.update_network("back", &UpdateNetwork { icc: Some(false), ..Default::default() }).unwrap();
    daemon.endpoint("web", &["front"]);
    client.connect("web", &join("back")).unwrap();
    client.disconnect("web", "front").unwrap();
    client.stop_endpoint("web").unwrap();
    client.remove_endpoint("web").unwrap();
    client.remove_network("front").unwrap();
    let told = [
        "network-created front",
        "network-created back",
        "network-updated back",
        "endpoint-created web",
        "connected front web",
        "connected back web",
        "disconnected front web",
        "endpoint-stopped web",
        "endpoint-removed web",
        "network-removed front",
    ];
    for subscriber in &subscribers {
        assert_eq!(subscriber.take(told.len()), told);
    }
    let late = Subscriber::new(client.clone());
    client.remove_network("back").unwrap();
    assert_eq!(late.take(1), ["network-removed back"], "what was before is not told");
    assert_eq!(subscribers[0].take(1), ["network-removed back"]);
}

#[test]
fn events_name_things_as_they_are_called_however_they_were_asked_for() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let front = daemon.network("front", "10.9.0.0/24");
    let web = daemon.endpoint("web", &[]);
    let subscriber = Subscriber::new(client.clone());
    client.connect(&web.id, &join(&front.id)).unwrap();
    client.disconnect(&web.id, &front.id).unwrap();
    assert_eq!(subscriber.take(2), ["connected front web", "disconnected front web"]);
}

#[test]
fn a_reader_that_is_too_slow_is_told_how_much_it_missed_and_holds_nobody_up() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let networks: Vec<String> = (0..40).map(|n| format!("{n:0>60}")).collect();
    for (n, name) in networks.iter().enumerate() {
        daemon.network(name, &format!("10.9.{n}.0/24"));
    }
    let mut slow = Line::open(&daemon.socket());
    slow.send(&request("GET", "/v1/events", b"")).unwrap();
    // The head is there as soon as it is subscribed; the rest is left unread.
    let head = slow.answer().unwrap();
    assert_eq!(head.status, 200, "{head:?}");
    let quick = Subscriber::new(client.clone());

    let told = AtomicUsize::new(0);
    let rounds = 90;
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (client, networks, told) = (&client, &networks, &told);
            scope.spawn(move || {
                for round in 0..rounds / 2 {
                    let name = format!("{worker}-{round}");
                    let all: Vec<&str> = networks.iter().map(String::as_str).collect();
                    client.create_endpoint(&endpoint(&name, &all)).unwrap();
                    client.remove_endpoint(&name).unwrap();
                    told.fetch_add(all.len() + 2, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..rounds * 42 {
            assert_ne!(quick.next().kind, EventKind::Missed, "a reader that keeps up misses nothing");
        }
    });
    client.remove_network("nobody").unwrap_err();
    client.update_network(&networks[0], &UpdateNetwork::default()).unwrap();

    let (mut read, mut missed) = (0, 0);
    let last = loop {
        let event = slow.event();
        match event.kind {
            EventKind::Missed => {
                let detail = event.detail.clone().unwrap_or_default();
                let count = detail.split(' ').next().and_then(|word| word.parse::<usize>().ok());
                missed += count.unwrap_or_else(|| panic!("how many are missing is not said: {event:?}"));
            }
            EventKind::NetworkUpdated => break in_short(&event),
            _ => read += 1,
        }
    };
    assert_eq!(last, format!("network-updated {}", networks[0]), "it still hears what comes after");
    assert!(missed > 0, "{read} events were kept for a reader that does not read");
    assert_eq!(read + missed, told.into_inner(), "{missed} missed");
}

#[test]
fn networks_do_not_wait_for_one_another_and_many_clients_may_ask_at_once() {
    let daemon = Daemon::start();
    let clients = 8;
    std::thread::scope(|scope| {
        for n in 0..clients {
            let client: Client = daemon.client();
            scope.spawn(move || {
                let name = format!("n{n}");
                client.create_network(&network(&name, &format!("10.9.{n}.0/24"))).unwrap();
                for k in 0..5 {
                    client.create_endpoint(&endpoint(&format!("{name}-{k}"), &[&name])).unwrap();
                }
            });
        }
    });
    let client = daemon.client();
    assert_eq!(client.endpoints().unwrap().len(), clients * 5);
    for n in 0..clients {
        let network = client.network(&format!("n{n}")).unwrap();
        let addresses: std::collections::BTreeSet<String> =
            network.endpoints.iter().flat_map(|e| e.addresses.clone()).collect();
        assert_eq!((addresses.len(), network.subnets[0].used), (5, 6), "{network:#?}");
    }
    assert_eq!(client.drift().unwrap().steps, [""; 0]);
}

#[test]
fn of_many_that_want_the_same_exactly_one_gets_it() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    let won = |act: &(dyn Fn(usize) -> Result<()> + Sync)| -> Vec<Code> {
        let failed: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|n| scope.spawn(move || act(n).err())).collect();
            all.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        failed.into_iter().map(|error| error.code).collect()
    };
    let client = daemon.client();
    let one_network = won(&|n| client.create_network(&network("back", &format!("10.8.{n}.0/24"))).map(drop));
    assert_eq!(one_network, [Code::NetworkExists; 7]);
    let one_subnet = won(&|n| client.create_network(&network(&format!("s{n}"), "10.7.0.0/24")).map(drop));
    assert_eq!(one_subnet, [Code::SubnetOverlap; 7]);
    let one_endpoint = won(&|_| client.create_endpoint(&endpoint("web", &["front"])).map(drop));
    assert_eq!(one_endpoint, [Code::EndpointExists; 7]);
    let one_address = won(&|n| {
        let mut wish = endpoint(&format!("e{n}"), &[]);
        wish.networks = vec![Join { ip: Some([10, 9, 0, 77].into()), ..join("front") }];
        client.create_endpoint(&wish).map(drop)
    });
    assert_eq!(one_address, [Code::AddressTaken; 7]);
    let one_removal = won(&|_| client.remove_endpoint("web"));
    assert_eq!(one_removal, [Code::EndpointNotFound; 7]);
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let daemon = Daemon::start();
    let mut line = Line::open(&daemon.socket());
    for n in 0..20 {
        let wish = format!(r#"{{"name":"n{n}","subnets":[{{"cidr":"10.9.{n}.0/24"}}]}}"#);
        let answer = line.ask("POST", "/v1/networks", &wish).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let refused = line.ask("POST", "/v1/networks", &wish).unwrap();
        assert_eq!(refused.failure().0, Code::NetworkExists);
    }
    let mut both = request("GET", "/v1/networks/n3", b"");
    both.extend(request("DELETE", "/v1/networks/n3", b""));
    line.send(&both).unwrap();
    assert_eq!((line.answer().unwrap().status, line.answer().unwrap().status), (200, 204));
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_half_made() {
    let daemon = Daemon::start();
    let client = daemon.client();
    for n in 0..30 {
        let mut line = Line::open(&daemon.socket());
        let wish = serde_json::to_vec(&network(&format!("n{n}"), &format!("10.9.{n}.0/24"))).unwrap();
        line.send(&request("POST", "/v1/networks", &wish)).unwrap();
        drop(line);
    }
    let begun = Instant::now();
    let settled = |names: &[String]| names.len() == 32 || begun.elapsed() > PATIENCE / 10;
    let names = until("the requests are done", || {
        let names: Vec<String> = client.networks().unwrap().into_iter().map(|n| n.name).collect();
        settled(&names).then_some(names)
    });
    // Whether a request was begun before its client left is a race; that it is done whole or not at all is not.
    assert_eq!(client.drift().unwrap().steps, [""; 0]);
    for name in names.iter().filter(|name| name.starts_with('n') && *name != "none") {
        client.remove_network(name).unwrap();
    }
    assert_eq!(daemon.dump().wanted, [""; 0]);
}

#[test]
fn a_network_may_have_subnets_of_both_families_and_ranges() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let four = SubnetSpec {
        gateway: Some([10, 9, 0, 254].into()),
        ip_range: Some("10.9.0.64/26".into()),
        aux_addresses: BTreeMap::from([("printer".to_string(), [10, 9, 0, 64].into())]),
        ..SubnetSpec::new("10.9.0.0/24")
    };
    let wish = CreateNetwork {
        subnets: vec![four, SubnetSpec::new("fd00:9::/64")],
        ..CreateNetwork::named("front")
    };
    let made = client.create_network(&wish).unwrap();
    assert_eq!(made.subnets[0].ip_range.as_deref(), Some("10.9.0.64/26"));
    let web = daemon.endpoint("web", &["front"]);
    assert_eq!(web.interfaces[0].addresses, ["10.9.0.65/24", "fd00:9::2/64"]);
    assert_eq!(web.interfaces[0].gateways, ["10.9.0.254", "fd00:9::1"]);
}
