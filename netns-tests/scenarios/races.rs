//! Several hands on one thing at once: whoever loses is told so, and what is left is whole.

use std::thread;

use bowline_api::v1::{CreateEndpoint, Join, Netns};
use bowline_api::{Client, Code};

use crate::world::World;
use crate::world::said::{eventually, only_if};

fn attach(api: &Client, name: &str, network: &str) -> bowline_api::Result<()> {
    let netns = Netns { fd: None, path: Some(format!("/run/netns/{name}")) };
    let networks = vec![Join { network: network.into(), ..Join::default() }];
    let wish = CreateEndpoint { networks, ..CreateEndpoint::named(name, netns) };
    api.create_endpoint(&wish).map(drop)
}

/// Fine, or one of the ways in which somebody else was faster.
#[track_caller]
fn fine_or(codes: &[Code], outcome: bowline_api::Result<()>) {
    if let Err(error) = outcome {
        // What a thread of many panics with is told by nobody else.
        if !codes.contains(&error.code) {
            eprintln!("{} {error}", error.code);
        }
        assert!(codes.contains(&error.code), "{} {error}", error.code);
    }
}

pub(crate) fn many_hands_on_one_endpoint(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create back --subnet 10.8.0.0/24");
    let web = w.container("web");
    let api = w.api();
    let lost = [
        Code::EndpointExists,
        Code::EndpointNotFound,
        Code::AlreadyConnected,
        Code::NotConnected,
        Code::InterfaceTaken,
    ];
    thread::scope(|scope| {
        for client in 0..8 {
            let (api, lost) = (&api, &lost);
            scope.spawn(move || {
                for round in 0..12 {
                    let network = if (client + round) % 2 == 0 { "front" } else { "back" };
                    let join = Join { network: network.into(), ..Join::default() };
                    match (client + round) % 4 {
                        0 => fine_or(lost, attach(api, "web", network)),
                        1 => fine_or(lost, api.connect("web", &join).map(drop)),
                        2 => fine_or(lost, api.disconnect("web", network).map(drop)),
                        _ => fine_or(lost, api.remove_endpoint("web")),
                    }
                }
            });
        }
    });
    drop(api.remove_endpoint("web"));
    eventually("nothing is left of it", || {
        let used: Vec<u64> = ["front", "back"].map(|n| api.network(n).unwrap().subnets[0].used).into();
        let links = web.ip("link show").len();
        only_if(used == [1, 1] && links == 1, (used, links))
    });
    w.has_no_drift();
    attach(&api, "web", "front").unwrap();
    web.reaches("10.9.0.1");
}

pub(crate) fn namespaces_that_go_while_they_are_attached(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let api = w.api();
    let gone = [Code::NetnsGone, Code::InvalidNetns];
    for _ in 0..3 {
        w.host().shell("for n in $(seq 0 15); do ip netns add n$n; done");
        thread::scope(|scope| {
            for client in 0..4 {
                let (api, gone) = (&api, &gone);
                scope.spawn(move || {
                    for n in (client..16).step_by(4) {
                        fine_or(gone, attach(api, &format!("n{n}"), "front"));
                    }
                });
            }
            w.host().shell("for n in $(seq 0 15); do ip netns del n$n; done");
        });
        eventually("everything is released", || {
            let network = api.network("front").unwrap();
            let left = w.host().run("ip -o link show master bl-front").lines().count();
            let known = api.endpoints().unwrap().len();
            only_if((network.subnets[0].used, left, known) == (1, 0, 0), (network.subnets, left, known))
        });
    }
    w.has_no_drift();
}

pub(crate) fn a_bridge_deleted_under_those_who_join(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.host().shell("for n in $(seq 0 31); do ip netns add n$n; done");
    let api = w.api();
    thread::scope(|scope| {
        for client in 0..4 {
            let api = &api;
            scope.spawn(move || {
                for n in (client..32).step_by(4) {
                    // One that finds no bridge is told so, and comes again.
                    eventually(&format!("n{n} is attached"), || {
                        attach(api, &format!("n{n}"), "front").map_err(|e| e.to_string())
                    });
                }
            });
        }
        for _ in 0..5 {
            drop(w.host().tries("ip link del bl-front"));
        }
    });
    w.has_no_drift();
    for n in 0..32 {
        w.inside(&format!("n{n}")).reaches("10.9.0.1");
    }
    w.removes_everything();
    w.host().shell("for n in $(seq 0 31); do ip netns del n$n; done");
}

pub(crate) fn networks_removed_under_those_who_join(w: &World) {
    for name in ["a", "b", "c", "d"] {
        w.container(name);
    }
    let api = w.api();
    let lost = [Code::NetworkExists, Code::NetworkNotFound, Code::NetworkInUse, Code::EndpointNotFound];
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let (api, lost) = (&api, &lost);
            scope.spawn(move || {
                for _ in 0..10 {
                    let wish = bowline_api::v1::CreateNetwork::named("front");
                    fine_or(lost, api.create_network(&wish).map(drop));
                    fine_or(lost, attach(api, name, "front"));
                    fine_or(lost, api.remove_endpoint(name));
                    fine_or(lost, api.remove_network("front"));
                }
            });
        }
    });
    w.removes_everything();
    assert_eq!(w.host().table(), None);
    assert!(w.host().link("bl-front").is_none());
}
