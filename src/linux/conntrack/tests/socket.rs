//! The socket by itself: what is gone, what is another, and answers that do not fit.

use std::net::UdpSocket;

use bowline_core::Code;
use bowline_core::family::Family;
use bowline_core::port::Protocol;

use super::world::{TRACKING, await_tracked, send, tracked, world};
use crate::conntrack::flows::Question;
use crate::conntrack::socket::Socket;
use crate::conntrack::wire::{Flow, Removal};

const ALL: Question = Question { family: None, port: None };

/// One flow, which `send` makes anew, and what removes it.
fn with_a_flow(test: impl FnOnce(&mut Socket, &Removal, &dyn Fn()) + Send) {
    world(TRACKING, |_| {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = || {
            sender.send_to(b"word", "127.0.0.1:53").unwrap();
        };
        send();
        await_tracked(&["udp 127.0.0.1 > 127.0.0.1:53"]);
        let mut socket = Socket::open().unwrap();
        let of_udp = |flow: &Flow<'_>| (flow.original.port == Some(53)).then(|| flow.removal());
        let removals = socket.dump(&ALL, of_udp).unwrap();
        assert_eq!(removals.len(), 1);
        test(&mut socket, &removals[0], &send);
    });
}

#[test]
fn a_flow_of_the_same_ends_but_another_number_is_kept() {
    with_a_flow(|socket, removal, _| {
        let mut another = removal.clone();
        *another.0.last_mut().unwrap() ^= 1;
        assert_eq!(socket.remove(&[another]).unwrap(), 0);
        assert_eq!(tracked().len(), 1);
        assert_eq!(socket.remove(std::slice::from_ref(removal)).unwrap(), 1);
        assert!(tracked().is_empty());
    });
}

#[test]
fn the_kernel_shows_no_more_than_it_was_asked_for() {
    world(TRACKING, |_| {
        ["127.0.0.1:53", "127.0.0.1:54", "[::1]:53"].into_iter().for_each(send);
        await_tracked(&["udp 127.0.0.1 > 127.0.0.1:53", "udp 127.0.0.1 > 127.0.0.1:54", "udp ::1 > ::1:53"]);
        let mut socket = Socket::open().unwrap();
        assert_eq!(socket.count().unwrap(), 3);
        let udp = Some((Protocol::Udp, 53));
        for (family, port, expected) in [
            (None, None, 3),
            (Some(Family::V4), None, 2),
            (Some(Family::V4), udp, 1),
            (Some(Family::V6), udp, 1),
            (Some(Family::V6), Some((Protocol::Tcp, 53)), 0),
        ] {
            let question = Question { family, port };
            assert_eq!(socket.dump(&question, |_| Some(())).unwrap().len(), expected, "{question:?}");
        }
    });
}

#[test]
fn flows_that_are_gone_are_not_counted() {
    with_a_flow(|socket, removal, _| {
        // As many refusals as there can be.
        let removals = vec![removal.clone(); 10_000];
        assert_eq!(socket.remove(&removals).unwrap(), 1);
        assert_eq!(socket.remove(&[]).unwrap(), 0);
    });
}

#[test]
fn answers_that_do_not_fit_are_an_error_that_spoils_nothing_else() {
    with_a_flow(|socket, removal, send| {
        socket.make_room(1);
        let failure = socket.remove(&vec![removal.clone(); 128]).unwrap_err();
        assert_eq!(failure.error("remove flows").code, Code::Busy);
        socket.make_room(200 << 10);
        assert!(tracked().is_empty(), "it was removed all the same");
        send();
        await_tracked(&["udp 127.0.0.1 > 127.0.0.1:53"]);
        assert_eq!(socket.dump(&ALL, |_| Some(())).unwrap().len(), 1);
    });
}
