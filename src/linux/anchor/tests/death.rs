//! What all of this is for: that a namespace dies when others have let go of it, and lives while we have its sockets.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;

use bowline_core::port::Protocol;

use super::{Named, Watched, by_notice, eventually, ip, with_an_empty_run};
use crate::dial::dial_at;
use crate::{netns, resolver};

#[test]
fn a_deleted_namespace_lives_until_its_sockets_are_closed() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let host = netns::create().unwrap();
        netns::run(&host, || {
            ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", named.name]);
        })
        .unwrap();
        let near = || {
            let show = || Command::new("ip").args(["link", "show", "near"]).output().unwrap();
            netns::run(&host, show).unwrap().status.success()
        };
        ip(&["-n", named.name, "link", "set", "lo", "up"]);
        let ears = netns::run(named.file(), resolver::make).unwrap().unwrap();
        watched.hold(named.place, &named.file(), Some(&named.path()));
        watched.is_kept_by(named.place, named.path());
        named.delete();
        watched.tells_of(named.place);

        // A dying namespace lets nobody in.
        let to = "127.0.0.11:53".parse().unwrap();
        let inside = UdpSocket::from(dial_at(ears.udp.as_fd(), Protocol::Udp, to).unwrap());
        inside.send(b"alive?").unwrap();
        eventually("a query inside arrives", || ears.udp.recv_from(&mut [0; 16]).is_ok());
        assert!(near(), "the sockets keep the namespace");
        drop((inside, ears));
        eventually("the card's other end goes with its namespace", || !near());
    });
}

#[test]
fn watching_keeps_no_namespace() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let host = netns::create().unwrap();
        let named = Named::new("web");
        netns::run(&host, || {
            ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", named.name]);
        })
        .unwrap();
        watched.hold(named.place, &named.file(), Some(&named.path()));
        watched.is_kept_by(named.place, named.path());
        named.delete();
        eventually("the card's other end goes with its namespace", || {
            let show = || Command::new("ip").args(["link", "show", "near"]).output().unwrap();
            !netns::run(&host, show).unwrap().status.success()
        });
    });
}
