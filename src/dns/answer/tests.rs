mod any;
mod kinds;
mod names;
mod sizes;
mod speed;

use std::net::SocketAddr;
use std::sync::Arc;

use bowline_core::name::Id;
use bowline_core::place::Place;
use bowline_core::port::Protocol;
use expect_test::Expect;
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{Record, RecordType};

use super::*;
use crate::zone::{Entry, Zone};

fn entry(names: &[&str], addresses: &[&str], services: &[(Protocol, u16)]) -> Entry {
    Entry {
        names: names.iter().map(ToString::to_string).collect(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        services: services.to_vec(),
    }
}

/// Two networks that share an endpoint, with links to one who is there and one who is not.
fn view() -> View {
    let front = Zone::new(
        "front".parse().unwrap(),
        vec!["10.9.0.0/24".parse().unwrap(), "fd00:9::/64".parse().unwrap()],
    );
    let services = [(Protocol::Tcp, 80), (Protocol::Udp, 53)];
    let names = ["web", "web-host", "0123456789ab", "www"];
    front.put(Id(1), entry(&names, &["10.9.0.2", "fd00:9::2"], &services));
    front.put(Id(2), entry(&["db1", "db", "db.example.com"], &["10.9.0.3"], &[(Protocol::Tcp, 5432)]));
    front.put(Id(3), entry(&["db2", "db"], &["10.9.0.4"], &[(Protocol::Tcp, 5432)]));
    front.put(Id(4), entry(&["idle"], &[], &[]));
    let back = Zone::new("Back.End".parse().unwrap(), vec!["10.8.0.0/20".parse().unwrap()]);
    back.put(Id(1), entry(&["web"], &["10.8.0.2"], &services));
    back.put(Id(5), entry(&["Admin"], &["10.8.15.9"], &[]));
    let links = [
        ("database", "db1"),
        ("Gone", "nobody"),
        ("admin", "web"),
        ("loop", "database"),
        ("bad", "a b"),
        ("in.some.domain", "db1"),
    ];
    View {
        endpoint: "me".into(),
        zones: vec![Arc::new(front), Arc::new(back)],
        links: links.iter().map(|(alias, target)| (alias.to_string(), target.to_string())).collect(),
        elsewhere: Elsewhere::Host(Place(1)),
        ttl: 5,
    }
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn with_edns(mut query: Vec<u8>, payload: u16, version: u8, dnssec: bool) -> Vec<u8> {
    query[11] = 1;
    let [high, low] = payload.to_be_bytes();
    query.extend([0, 0, 41, high, low, 0, version, if dnssec { 0x80 } else { 0 }, 0, 0, 0]);
    query
}

fn kind_of(text: &str) -> u16 {
    match text.strip_prefix("TYPE") {
        Some(number) => number.parse().unwrap(),
        None => text.parse::<RecordType>().unwrap().into(),
    }
}

/// How it went, and the records of each section.
fn shown(reply: &[u8]) -> String {
    let message = Message::from_vec(reply).unwrap();
    let flags = message.metadata;
    assert_eq!((flags.id, flags.message_type), (0x1234, MessageType::Response));
    assert!(flags.recursion_available);
    // As dig has it, and not as a sentence.
    let mut text = format!("{:?}", flags.response_code).to_uppercase();
    for (name, set) in [("aa", flags.authoritative), ("tc", flags.truncation)] {
        if set {
            text += &format!(" {name}");
        }
    }
    let sections = [
        ("", &message.answers),
        ("authority: ", &message.authorities),
        ("additional: ", &message.additionals),
    ];
    for (title, records) in sections {
        for record in records {
            text += &format!("\n{title}{}", line(record));
        }
    }
    text
}

fn line(record: &Record) -> String {
    format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
}

/// One line of dig's: the name and its type.
fn asked_of(view: &View, question: &str) -> String {
    let (name, kind) = question.split_once(' ').unwrap();
    let mut out = vec![1, 2, 3];
    match answer(&query(name, kind_of(kind)), Transport::Udp, view, 0, &mut out) {
        Verdict::Reply => shown(&out),
        Verdict::Elsewhere => {
            assert_eq!(out, []);
            "elsewhere".into()
        }
        Verdict::Silence => "silence".into(),
    }
}

fn check(question: &str, expected: &Expect) {
    expected.assert_eq(&asked_of(&view(), question));
}

fn with_elsewhere(elsewhere: Elsewhere) -> View {
    View { elsewhere, ..view() }
}

fn own_server() -> Elsewhere {
    Elsewhere::Own(vec![SocketAddr::from(([10, 9, 0, 53], 53))])
}
