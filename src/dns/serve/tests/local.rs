//! Names of ours, and the life of an ear.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bowline_core::Code;
use bowline_core::place::Place;

use super::rig::*;
use super::stub::Stub;
use crate::asker::{Asker, Elsewhere};
use crate::log::From;

#[test]
fn a_name_of_ours_is_answered_and_told() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    assert_eq!(address(&web.ask("Db")), DB);
    let lines = rig.service.log(0, 10);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    let told = (line.number, line.place, line.endpoint.as_str(), line.name.as_str(), line.kind.as_str());
    assert_eq!(told, (1, web.asker.place, "web", "Db", "A"));
    assert_eq!(
        (line.outcome.as_str(), &line.answers[..], line.from),
        ("NOERROR", &["10.9.0.2".to_owned()][..], From::Here)
    );
    assert!(line.took < LONG);
}

#[test]
fn a_change_of_view_is_seen_by_the_next_query() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    for _ in 0..50 {
        web.asker.set(view(Elsewhere::Never));
        assert_eq!(address(&web.ask("db")), DB);
        web.asker.set(crate::asker::View::default());
        assert_eq!(code(&web.ask("db")), NXDOMAIN);
    }
}

#[test]
fn many_at_once_are_all_answered() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let client = web.client();
    let mut ids: Vec<[u8; 2]> = Vec::new();
    for _ in 0..100 {
        let query = query("db");
        client.send(&query).unwrap();
        ids.push([query[0], query[1]]);
    }
    let mut answered: Vec<[u8; 2]> = (0..100)
        .map(|_| {
            let reply = receive(&client);
            assert_eq!(address(&reply), DB);
            [reply[0], reply[1]]
        })
        .collect();
    ids.sort_unstable();
    answered.sort_unstable();
    assert_eq!(answered, ids);
}

#[test]
fn what_is_no_query_is_refused_or_passed_over() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let client = web.client();
    let long = [&query("db")[..], &[0; 5000]].concat();
    client.send(&long).unwrap();
    let reply = receive(&client);
    assert_eq!((&reply[..2], code(&reply), reply.len()), (&long[..2], 1, 12), "FORMERR for what is too long");
    // Nothing is said to any of these: the next reply is the next query's.
    let mut response = query("db");
    response[2] |= 0x80;
    for silent in [&b""[..], b"x", &response, &[&response[..], &[0; 5000]].concat(), &[0xff; 5000]] {
        client.send(silent).unwrap();
    }
    let good = query("db");
    client.send(&good).unwrap();
    assert_eq!(receive(&client)[..2], good[..2]);
}

#[test]
fn a_query_from_a_servers_port_is_answered_and_a_response_from_there_is_not() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    // As `dnsmasq --query-port=53` asks.
    let client = UdpSocket::bind("127.53.0.53:53").expect("root may have this port");
    client.connect(web.udp).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    let mut response = query("db");
    response[2] |= 0x80;
    client.send(&response).unwrap();
    let good = query("db");
    client.send(&good).unwrap();
    let reply = receive(&client);
    assert_eq!((address(&reply), &reply[..2]), (DB, &good[..2]));
}

#[test]
fn a_closed_place_leaves_no_socket_and_its_connections_end() {
    let rig = Rig::new(2, &[]);
    let (web, other) = (rig.container(Elsewhere::Never), rig.container(Elsewhere::Never));
    let mut stream = web.stream();
    send(&mut stream, &query("db"));
    assert_eq!(address(&next(&mut stream).unwrap()), DB);
    assert!(web.sockets.iter().all(|socket| is_open(*socket)));
    rig.service.close(web.asker.place);
    assert!(!web.sockets.iter().any(|socket| is_open(*socket)));
    assert_eq!(next(&mut stream), None);
    rig.service.close(web.asker.place);
    assert_eq!(address(&other.ask("db")), DB);
}

#[test]
fn a_socket_that_somebody_else_keeps_is_no_longer_answered_once_closed() {
    let rig = Rig::new(2, &[]);
    let asker = Arc::new(Asker::new(Place(7), view(Elsewhere::Never)));
    let (ears, web) = ears(asker.clone());
    // As the store that keeps sockets over a restart does.
    let kept = ears.udp.try_clone().unwrap();
    rig.service.open(asker, ears).unwrap();
    assert_eq!(address(&web.ask("db")), DB);
    assert!(is_waited_for(web.sockets[0]));
    rig.service.close(Place(7));
    assert!(!is_waited_for(web.sockets[0]), "a datagram for its keeper would wake us for ever");
    let (client, query) = (web.client(), query("db"));
    client.send(&query).unwrap();
    kept.set_nonblocking(false).unwrap();
    kept.set_read_timeout(Some(LONG)).unwrap();
    let mut buffer = [0; 512];
    assert_eq!(kept.recv(&mut buffer).unwrap(), query.len(), "it is left for whoever keeps the socket");
}

#[test]
fn a_known_place_gets_its_new_sockets_and_asker() {
    let rig = Rig::new(2, &[]);
    let old = rig.container(Elsewhere::Never);
    let new = rig.at(Arc::new(Asker::new(old.asker.place, view(Elsewhere::Never))));
    assert_eq!(address(&new.ask("db")), DB);
    assert!(!old.sockets.iter().any(|socket| is_open(*socket)));
    old.asker.set(crate::asker::View::default());
    assert_eq!(address(&new.ask("db")), DB);
    rig.service.close(new.asker.place);
    assert!(!new.sockets.iter().any(|socket| is_open(*socket)));
}

#[test]
fn a_service_that_ends_leaves_no_socket() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut stream = web.stream();
    send(&mut stream, &query("db"));
    assert!(next(&mut stream).is_some());
    drop(rig);
    assert!(!web.sockets.iter().any(|socket| is_open(*socket)));
    assert_eq!(next(&mut stream), None);
}

#[test]
fn a_flood_of_one_does_not_keep_another_waiting() {
    let rig = Rig::new(2, &[]);
    let (loud, quiet) = (rig.container(Elsewhere::Never), rig.container(Elsewhere::Never));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let junk = query("junk.example");
            while !stop.load(Ordering::Relaxed) {
                // A full queue is what a flood is about.
                drop(socket.send_to(&junk, loud.udp));
            }
        };
        scope.spawn(flood);
        until("the flood is answered", || {
            rig.service.log(0, 1).first().is_some_and(|line| line.number > 1000)
        });
        let client = quiet.client();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut longest = Duration::ZERO;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..200 {
                let began = Instant::now();
                client.send(&query("db")).unwrap();
                assert_eq!(address(&receive(&client)), DB);
                longest = longest.max(began.elapsed());
            }
        }));
        stop.store(true, Ordering::Relaxed);
        assert!(result.is_ok(), "an answer was lost");
        assert!(longest < Duration::from_secs(1), "one took {longest:?}");
    });
}

#[test]
fn the_daemon_asks_as_a_namespace_would() {
    let outside = Stub::answering();
    let rig = Rig::new(2, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let (reply, line) = rig.service.resolve(web.asker.place, &query("db")).unwrap();
    assert_eq!((address(&reply), line.name.as_str(), line.from), (DB, "db", From::Here));
    let (reply, line) = rig.service.resolve(web.asker.place, &query("example.org")).unwrap();
    assert_eq!((address(&reply), line.from), (OUTSIDE, From::Server(outside.address)));
    let (_, line) = rig.service.resolve(web.asker.place, &query("example.org")).unwrap();
    assert_eq!(line.from, From::Cache);
    assert_eq!(rig.service.log(2, 10), [line]);
    let code = |place, query: &[u8]| rig.service.resolve(place, query).unwrap_err().code;
    assert_eq!(code(Place(999), &query("db")), Code::EndpointNotFound);
    assert_eq!(code(web.asker.place, b"junk"), Code::InvalidRequest);
}

#[test]
fn a_worker_that_fails_is_followed_by_one_that_answers_at_the_same_sockets() {
    let outside = Stub::answering();
    let rig = Rig::new(1, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    *rig.dialer.trap.lock().unwrap() = Some(outside.address);
    let client = web.client();
    client.send(&query("example.org")).unwrap();
    until("the trap is sprung", || rig.dialer.trap.is_poisoned());
    assert_eq!(address(&web.ask("db")), DB);
    rig.dialer.trap.clear_poison();
    *rig.dialer.trap.lock().unwrap() = None;
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
    rig.service.close(web.asker.place);
    assert!(!web.sockets.iter().any(|socket| is_open(*socket)));
}
