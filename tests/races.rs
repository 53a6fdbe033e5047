//! Several hands at once, and operations that fail half way: what was answered for stays, and nothing is given twice.

use std::net::Ipv4Addr;
use std::thread;

use bowline_api::Code;
use bowline_api::v1::{CreateEndpoint, EndpointState, Join};

use crate::support::{Daemon, endpoint, until};

fn with_ip(name: &str, ip: [u8; 4]) -> CreateEndpoint {
    let join = Join { network: "front".into(), ip: Some(Ipv4Addr::from(ip)), ..Join::default() };
    CreateEndpoint { networks: vec![join], ..endpoint(name, &["front"]) }
}

#[test]
fn a_repair_takes_nothing_from_those_who_join_meanwhile() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/16");
    thread::scope(|scope| {
        let joining: Vec<_> = (0..4)
            .map(|hand| {
                let daemon = &daemon;
                scope.spawn(move || {
                    (0..40).for_each(|n| drop(daemon.endpoint(&format!("e{hand}-{n}"), &["front"])));
                })
            })
            .collect();
        let mut steps = Vec::new();
        while !joining.iter().all(thread::ScopedJoinHandle::is_finished) {
            steps.extend(daemon.client().repair().unwrap().steps);
        }
        assert_eq!(steps, [""; 0], "there was nothing to repair");
    });
    assert_eq!(daemon.client().endpoints().unwrap().len(), 160);
}

#[test]
fn a_stopped_endpoint_stays_where_the_next_of_its_name_is_refused() {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.network("front", "10.9.0.0/24");
    client.create_endpoint(&with_ip("web", [10, 9, 0, 50])).unwrap();
    client.create_endpoint(&with_ip("db", [10, 9, 0, 60])).unwrap();
    client.stop_endpoint("web").unwrap();
    let refused = client.create_endpoint(&with_ip("web", [10, 9, 0, 60])).unwrap_err();
    assert_eq!(refused.code, Code::AddressTaken);
    assert_eq!(client.endpoint("web").unwrap().state, EndpointState::Stopped);
    client.remove_endpoint("web").unwrap();
    let taken = until("the address is free", || client.create_endpoint(&with_ip("new", [10, 9, 0, 50])).ok());
    assert_eq!(taken.interfaces[0].addresses, ["10.9.0.50/24"]);
}

#[test]
fn an_address_that_came_by_name_is_given_up_like_one_that_was_asked_for() {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.network("front", "10.9.0.0/24");
    client.create_endpoint(&with_ip("web", [10, 9, 0, 70])).unwrap();
    client.stop_endpoint("web").unwrap();
    let again =
        until("its name may be taken up", || client.create_endpoint(&endpoint("web", &["front"])).ok());
    assert_eq!(again.interfaces[0].addresses, ["10.9.0.70/24"]);
    client.disconnect("web", "front").unwrap();
    until("another may have it", || client.create_endpoint(&with_ip("db", [10, 9, 0, 70])).ok());
}

#[test]
fn kills_amid_addresses_that_change_hands_never_keep_it_from_starting() {
    let mut daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/29");
    for _ in 0..8 {
        let client = daemon.client();
        thread::scope(|scope| {
            let hands: Vec<_> = (0..6)
                .map(|hand| {
                    let client = client.clone();
                    // Until the daemon is gone; a full subnet is no failure.
                    scope.spawn(move || {
                        let name = format!("w{hand}");
                        loop {
                            let made = client.create_endpoint(&endpoint(&name, &["front"]));
                            let ended = made.is_err_and(|e| e.code == Code::Unreachable);
                            if ended
                                || client.remove_endpoint(&name).is_err_and(|e| e.code == Code::Unreachable)
                            {
                                break;
                            }
                        }
                    })
                })
                .collect();
            let busy = |_: &()| client.info().is_ok_and(|info| info.addresses_used > 2);
            until("addresses change hands", || Some(()).filter(busy));
            daemon.kill();
            hands.into_iter().for_each(|hand| hand.join().unwrap());
        });
        daemon.start_again();
    }
}

#[test]
fn an_endpoint_on_no_network_outlives_a_kill() {
    let mut daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    daemon.endpoint("web", &[]);
    for _ in 0..10 {
        let client = daemon.client();
        thread::scope(|scope| {
            let hand = scope.spawn(|| {
                let join = Join { network: "front".into(), ..Join::default() };
                while client.connect("web", &join).is_ok() && client.disconnect("web", "front").is_ok() {}
            });
            let connected = || client.endpoint("web").is_ok_and(|web| !web.interfaces.is_empty());
            until("it comes and goes", || connected().then_some(()));
            daemon.kill();
            hand.join().unwrap();
        });
        daemon.start_again();
        assert_eq!(daemon.client().endpoint("web").unwrap().state, EndpointState::Live);
        daemon.client().disconnect("web", "front").ok();
    }
}
