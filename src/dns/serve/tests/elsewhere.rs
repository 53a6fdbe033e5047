//! Names of others: who is asked, how often, and what comes of it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::rig::*;
use super::stub::{Stub, answer, rcode};
use crate::asker::Elsewhere;
use crate::log::From;
use crate::message::Transport;

#[test]
fn a_name_of_others_is_asked_once_and_then_remembered() {
    let outside = Stub::answering();
    let rig = Rig::new(2, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    for from in [From::Server(outside.address), From::Cache, From::Cache] {
        assert_eq!(address(&web.ask("example.org")), OUTSIDE);
        assert_eq!(rig.service.log(0, 1)[0].from, from);
    }
    assert_eq!(outside.count(Transport::Udp), 1);
    assert_eq!(rig.dialer.dialled.lock().unwrap()[0].0, HOST);
    assert_eq!(rig.service.flush(), 1);
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
    assert_eq!(outside.count(Transport::Udp), 2);
}

#[test]
fn a_query_goes_on_as_it_came_but_for_its_id() {
    let outside = Stub::answering();
    let rig = Rig::new(1, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let client = web.client();
    let sent: Vec<_> = (0..32).map(|n| query(&format!("n{n}.ExAmple.org"))).collect();
    for query in &sent {
        client.send(query).unwrap();
        assert_eq!(receive(&client)[..query.len()][12..], query[12..], "the question as it was spelled");
    }
    let seen = outside.queries();
    assert!(seen.iter().zip(&sent).all(|(seen, sent)| seen[2..] == sent[2..]));
    let same_ids = seen.iter().zip(&sent).filter(|(seen, sent)| seen[..2] == sent[..2]).count();
    assert!(same_ids < 4, "{same_ids} of 32 ids were the client's own");
}

#[test]
fn a_query_that_is_longer_than_any_is_not_sent_on() {
    let outside = Stub::answering();
    let rig = Rig::new(1, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let mut stream = web.stream();
    // With an OPT that is as long as it takes.
    for (length, expected) in [(4096, 0), (4097, 1), (65_535, 1)] {
        let mut long = query("example.org");
        long[11] = 1;
        let data = (length - long.len() - 11) as u16;
        let option = data - 4;
        long.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
        long.extend(data.to_be_bytes());
        long.extend([0xfd, 0xe9]);
        long.extend(option.to_be_bytes());
        long.resize(length, 0);
        send(&mut stream, &long);
        let reply = next(&mut stream).unwrap();
        assert_eq!((&reply[..2], code(&reply)), (&long[..2], expected), "{length} bytes");
    }
    assert_eq!(outside.count(Transport::Tcp), 1);
    // Of a name of ours its length is no matter.
    send(&mut stream, &query("db"));
    assert_eq!(address(&next(&mut stream).unwrap()), DB);
}

#[test]
fn servers_of_its_own_are_asked_from_its_own_namespace() {
    let (host, own) = (Stub::answering(), Stub::answering());
    let rig = Rig::new(2, &[host.address]);
    let web = rig.container(Elsewhere::Own(vec![own.address]));
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
    assert_eq!((own.count(Transport::Udp), host.count(Transport::Udp)), (1, 0));
    assert!(rig.dialer.dialled.lock().unwrap().iter().all(|(place, _)| *place == web.asker.place));
    // What one's own servers say is for nobody else.
    let other = rig.container(Elsewhere::Host(HOST));
    assert_eq!(address(&other.ask("example.org")), OUTSIDE);
    assert_eq!(host.count(Transport::Udp), 1);
}

#[test]
fn an_internal_namespace_asks_nobody() {
    let outside = Stub::answering();
    let rig = Rig::new(2, &[outside.address]);
    let web = rig.container(Elsewhere::Never);
    assert_eq!(code(&web.ask("example.org")), NXDOMAIN);
    let (reply, _) = rig.service.resolve(web.asker.place, &query("example.org")).unwrap();
    assert_eq!(code(&reply), NXDOMAIN);
    let mut stream = web.stream();
    send(&mut stream, &query("example.org"));
    assert_eq!(code(&next(&mut stream).unwrap()), NXDOMAIN);
    assert!(rig.dialer.dialled.lock().unwrap().is_empty());
}

#[test]
fn a_namespace_that_became_internal_asks_nobody_more() {
    let (silent, next) = (Stub::silent(), Stub::answering());
    let rig = Rig::new(1, &[silent.address, next.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let client = web.client();
    client.send(&query("example.org")).unwrap();
    silent.wait(1);
    web.asker.set(view(Elsewhere::Never));
    assert_eq!(code(&receive(&client)), NXDOMAIN);
    assert_eq!(next.count(Transport::Udp), 0);
    assert_eq!(rig.service.log(0, 1)[0].from, From::Here);
}

#[test]
fn an_answer_for_a_namespace_that_became_internal_is_kept_from_it() {
    let (held, free) = std::sync::mpsc::channel::<()>();
    let free = std::sync::Mutex::new(free);
    let outside = Stub::new(move |query, _| {
        free.lock().unwrap().recv().unwrap();
        Some(answer(query))
    });
    let rig = Rig::new(1, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let client = web.client();
    client.send(&query("example.org")).unwrap();
    outside.wait(1);
    web.asker.set(view(Elsewhere::Never));
    held.send(()).unwrap();
    assert_eq!(code(&receive(&client)), NXDOMAIN);
}

#[test]
fn where_all_are_silent_the_client_is_told_within_two_seconds() {
    let (one, two) = (Stub::silent(), Stub::silent());
    let rig = Rig::new(2, &[one.address, two.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    assert_eq!(code(&web.ask("example.org")), SERVFAIL);
    let took = rig.service.log(0, 1)[0].took;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!((one.count(Transport::Udp), two.count(Transport::Udp)), (1, 1));
    assert_eq!(rig.service.log(0, 1)[0].from, From::Nobody);
}

fn nobody() -> SocketAddr {
    // Its socket is closed at once: ICMP says so.
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_server_that_is_not_there_costs_next_to_nothing() {
    let outside = Stub::answering();
    let rig = Rig::new(1, &[nobody(), outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
    let took = rig.service.log(0, 1)[0].took;
    assert!(took < Duration::from_millis(190), "it waited for silence: {took:?}");
    rig.service.set_servers(vec![nobody(), nobody()]);
    assert_eq!(code(&web.ask("example.net")), SERVFAIL);
    rig.service.set_servers(Vec::new());
    assert_eq!(code(&web.ask("example.com")), SERVFAIL);
}

#[test]
fn a_server_that_cannot_say_is_followed_by_the_next() {
    let refusing = Stub::new(|query, _| Some(rcode(query, 5)));
    let outside = Stub::answering();
    let rig = Rig::new(1, &[refusing.address, outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
    rig.service.set_servers(vec![refusing.address]);
    assert_eq!(code(&web.ask("example.net")), 5, "what it said, where nobody says better");
    assert_eq!(rig.service.log(0, 1)[0].from, From::Server(refusing.address));
}

#[test]
fn a_reply_of_another_id_is_not_believed_and_the_server_is_asked_by_tcp() {
    let lying = Stub::new(|query, over| {
        let mut reply = answer(query);
        if over == Transport::Udp {
            reply[0] ^= 0x55;
            *reply.last_mut().unwrap() = 66;
        }
        Some(reply)
    });
    let rig = Rig::new(1, &[lying.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
    assert_eq!((lying.count(Transport::Udp), lying.count(Transport::Tcp)), (1, 1));
}

#[test]
fn a_server_that_lies_by_tcp_too_is_as_none() {
    let lying = Stub::new(|query, _| {
        let mut reply = answer(query);
        reply[0] ^= 0x55;
        Some(reply)
    });
    let rig = Rig::new(1, &[lying.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    assert_eq!(code(&web.ask("example.org")), SERVFAIL);
    assert_eq!((lying.count(Transport::Udp), lying.count(Transport::Tcp)), (1, 1));
}

#[test]
fn a_server_that_folds_the_case_is_believed_by_tcp_and_the_name_comes_back_as_it_was_asked() {
    let folding = Stub::new(|query, _| {
        let mut reply = answer(query);
        reply[12..query.len() - 4].make_ascii_lowercase();
        Some(reply)
    });
    let rig = Rig::new(1, &[folding.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let (client, sent) = (web.client(), query("ExAmple.Org"));
    client.send(&sent).unwrap();
    let reply = receive(&client);
    assert_eq!((address(&reply), &reply[12..sent.len()]), (OUTSIDE, &sent[12..]));
    assert_eq!((folding.count(Transport::Udp), folding.count(Transport::Tcp)), (1, 1));
}

#[test]
fn what_one_suffers_by_tcp_or_by_faults_of_ours_is_no_matter_for_others() {
    // By TCP it says what nobody asked.
    let first = Stub::new(|query, over| {
        let mut reply = answer(query);
        reply[0] ^= if over == Transport::Tcp { 0x55 } else { 0 };
        Some(reply)
    });
    let second = Stub::answering();
    let rig = Rig::new(1, &[first.address, second.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let by_tcp = |name: &str| {
        let mut stream = web.stream();
        send(&mut stream, &query(name));
        assert_eq!(address(&next(&mut stream).unwrap()), OUTSIDE);
        assert_eq!(rig.service.log(0, 1)[0].from, From::Server(second.address));
    };
    let by_udp = |name: &str| {
        assert_eq!(address(&web.ask(name)), OUTSIDE);
        rig.service.log(0, 1)[0].from
    };
    by_tcp("one.example.org");
    assert_eq!(by_udp("two.example.org"), From::Server(first.address));
    *rig.dialer.fault.lock().unwrap() = Some(first.address);
    assert_eq!(by_udp("three.example.org"), From::Server(second.address));
    by_tcp("four.example.org");
    *rig.dialer.fault.lock().unwrap() = None;
    assert_eq!(by_udp("five.example.org"), From::Server(first.address));
}

fn cutting() -> Stub {
    Stub::new(|query, over| match over {
        Transport::Udp => {
            let mut reply = rcode(query, 0);
            reply[2] |= 2;
            Some(reply)
        }
        Transport::Tcp => Some(answer(query)),
    })
}

#[test]
fn a_cut_answer_is_passed_on_and_whole_by_tcp() {
    let cutting = cutting();
    let rig = Rig::new(1, &[cutting.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let reply = web.ask("example.org");
    assert_eq!((code(&reply), reply[2] & 2), (0, 2));
    assert_eq!(cutting.count(Transport::Tcp), 0);
    let mut stream = web.stream();
    send(&mut stream, &query("example.org"));
    assert_eq!(address(&next(&mut stream).unwrap()), OUTSIDE);
    assert_eq!((cutting.count(Transport::Udp), cutting.count(Transport::Tcp)), (1, 1));
}

#[test]
fn the_daemon_itself_gets_a_cut_answer_whole() {
    let cutting = cutting();
    let rig = Rig::new(1, &[cutting.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let (reply, line) = rig.service.resolve(web.asker.place, &query("example.org")).unwrap();
    assert_eq!((address(&reply), line.answers), (OUTSIDE, vec!["192.0.2.1".to_owned()]));
    assert_eq!((cutting.count(Transport::Udp), cutting.count(Transport::Tcp)), (1, 1));
}

#[test]
fn a_server_that_is_back_is_heard() {
    let dead = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_dead = dead.clone();
    let first = Stub::new(move |query, _| {
        (!is_dead.load(std::sync::atomic::Ordering::Relaxed)).then(|| answer(query))
    });
    let second = Stub::answering();
    let rig = Rig::new(1, &[first.address, second.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let from = |n: usize| {
        assert_eq!(address(&web.ask(&format!("n{n}.example.org"))), OUTSIDE);
        rig.service.log(0, 1)[0].from
    };
    assert_eq!(from(0), From::Server(second.address));
    dead.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut n = 0;
    until("the first is asked first again", || {
        n += 1;
        from(n) == From::Server(first.address)
    });
}

#[test]
fn what_is_under_way_for_a_closed_place_is_dropped_with_its_sockets() {
    let silent = Stub::silent();
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Own(vec![silent.address]));
    for n in 0..20 {
        web.client().send(&query(&format!("n{n}.example.org"))).unwrap();
    }
    silent.wait(20);
    let dialled: Vec<_> = rig.dialer.dialled.lock().unwrap().iter().map(|(_, socket)| *socket).collect();
    assert!(dialled.iter().all(|socket| is_open(*socket)));
    rig.service.close(web.asker.place);
    assert!(!dialled.iter().chain(&web.sockets).any(|socket| is_open(*socket)));
}

#[test]
fn sockets_to_servers_are_closed_once_answered() {
    let outside = Stub::answering();
    let rig = Rig::new(2, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    for n in 0..20 {
        assert_eq!(address(&web.ask(&format!("n{n}.example.org"))), OUTSIDE);
    }
    let dialled = rig.dialer.dialled.lock().unwrap().clone();
    assert_eq!(dialled.len(), 20);
    until("they are closed", || !dialled.iter().any(|(_, socket)| is_open(*socket)));
}

#[test]
fn a_socket_that_takes_long_to_make_elsewhere_keeps_nobody_else_waiting() {
    let (own, host) = (Stub::answering(), Stub::answering());
    let rig = Rig::new(1, &[host.address]);
    let (web, other) =
        (rig.container(Elsewhere::Own(vec![own.address])), rig.container(Elsewhere::Host(HOST)));
    let held = rig.dialer.hold(own.address);
    let (client, mut stream) = (web.client(), web.stream());
    client.send(&query("example.org")).unwrap();
    send(&mut stream, &query("example.net"));
    until("it is made", || rig.dialer.dialled.lock().unwrap().len() == 1);
    assert_eq!(address(&web.ask("db")), DB);
    assert_eq!(address(&other.ask("example.org")), OUTSIDE);
    drop(held);
    assert_eq!(address(&receive(&client)), OUTSIDE);
    assert_eq!(address(&next(&mut stream).unwrap()), OUTSIDE);
    assert_eq!((own.count(Transport::Udp), own.count(Transport::Tcp)), (1, 1));
}

#[test]
fn who_may_not_ask_any_more_once_the_socket_is_made_does_not() {
    let own = Stub::answering();
    let rig = Rig::new(1, &[]);
    let web = rig.container(Elsewhere::Own(vec![own.address]));
    let held = rig.dialer.hold(own.address);
    let client = web.client();
    client.send(&query("example.org")).unwrap();
    until("it is made", || rig.dialer.dialled.lock().unwrap().len() == 1);
    web.asker.set(view(Elsewhere::Never));
    drop(held);
    assert_eq!(code(&receive(&client)), NXDOMAIN);
    assert!(own.queries().is_empty());
    let socket = rig.dialer.dialled.lock().unwrap()[0].1;
    until("it is closed", || !is_open(socket));
}

#[test]
fn a_place_that_is_closed_while_a_socket_is_made_there_keeps_none() {
    let own = Stub::answering();
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Own(vec![own.address]));
    let held = rig.dialer.hold(own.address);
    for n in 0..4 {
        web.client().send(&query(&format!("n{n}.example.org"))).unwrap();
    }
    until("one is made", || !rig.dialer.dialled.lock().unwrap().is_empty());
    std::thread::scope(|scope| {
        let open = scope.spawn(|| {
            rig.service.close(web.asker.place);
            let dialled = rig.dialer.dialled.lock().unwrap().clone();
            dialled.iter().filter(|(_, socket)| is_open(*socket)).count()
        });
        until("it is being closed", || rig.service.resolve(web.asker.place, &query("db")).is_err());
        drop(held);
        assert_eq!(open.join().unwrap(), 0);
    });
    assert!(own.queries().is_empty());
}
