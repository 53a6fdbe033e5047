//! Questions that the service does not live to answer, and the next one at the same sockets.

use std::sync::Arc;

use bowline_core::place::Place;

use super::rig::*;
use super::stub::Stub;
use crate::asker::{Asker, Elsewhere};
use crate::serve::Ears;

#[test]
fn what_was_on_its_way_is_answered_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let slate = || Some(folder.path().join("slate"));
    let (silent, answering) = (Stub::silent(), Stub::answering());
    let asker = Arc::new(Asker::new(Place(7), view(Elsewhere::Host(HOST))));
    let (ears, web) = ears(asker.clone());
    let again = Ears { udp: ears.udp.try_clone().unwrap(), tcp: ears.tcp.try_clone().unwrap() };

    let first = Rig::with(2, &[silent.address], slate());
    first.service.open(asker.clone(), ears).unwrap();
    let clients: Vec<_> = (0..50).map(|n| (web.client(), query(&format!("n{n}.example.org")))).collect();
    for (client, query) in &clients {
        client.send(query).unwrap();
    }
    silent.wait(50);
    drop(first);

    let second = Rig::with(2, &[answering.address], slate());
    second.service.open(asker.clone(), again).unwrap();
    second.service.ask_again();
    for (client, query) in &clients {
        let reply = receive(client);
        assert_eq!((&reply[..2], address(&reply)), (&query[..2], OUTSIDE));
    }
    until("nothing is owed any more", || {
        let third = Rig::with(1, &[], slate());
        third.service.owed.lock().unwrap().is_empty()
    });
    assert_eq!(address(&web.ask("example.org")), OUTSIDE);
}
