//! What holds for any query, and for any bytes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const NAMES: &[&str] = &[
    "web",
    "www.front",
    "web.back.end",
    "db",
    "db1",
    "database",
    "gone",
    "idle",
    "admin",
    "localhost",
    "2.0.9.10.in-addr.arpa",
    "77.0.9.10.in-addr.arpa",
    "_80._tcp.web",
    "_5432._tcp.db",
    "_tcp.db",
    "example.com",
    "",
];
const KINDS: &[u16] = &[1, 28, 1, 28, 12, 33, 6, 15, 16, 65, 255, 252];

fn question() -> impl Strategy<Value = Vec<u8>> {
    let name = (select(NAMES), any::<u64>()).prop_map(|(name, case)| {
        let turned =
            |(n, c): (usize, char)| if case >> (n % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c };
        name.chars().enumerate().map(turned).collect::<String>()
    });
    let edns = prop::option::of((any::<u16>(), prop::bool::weighted(0.1), any::<bool>()));
    (name, select(KINDS), any::<u16>(), edns, any::<[bool; 2]>()).prop_map(
        |(name, kind, id, edns, [rd, cd])| {
            let mut bytes = query(&name, kind);
            bytes[..2].copy_from_slice(&id.to_be_bytes());
            (bytes[2], bytes[3]) = (u8::from(rd), if cd { 0x10 } else { 0 });
            match edns {
                Some((payload, version, dnssec)) => with_edns(bytes, payload, version.into(), dnssec),
                None => bytes,
            }
        },
    )
}

fn transport() -> impl Strategy<Value = Transport> {
    select(&[Transport::Udp, Transport::Tcp][..])
}

/// Whose addresses a search through all entries finds, for a name that is no link's and has no network's name.
fn searched(view: &View, name: &str, v4: bool) -> BTreeSet<IpAddr> {
    let entries = view.zones.iter().flat_map(|zone| zone.entries());
    entries
        .filter(|(_, entry)| entry.names.iter().any(|other| other.eq_ignore_ascii_case(name)))
        .flat_map(|(_, entry)| entry.addresses)
        .filter(|address| address.is_ipv4() == v4)
        .collect()
}

proptest! {
    #[test]
    fn every_reply_is_one_to_its_query(
        bytes in question(),
        over in transport(),
        turn: u32,
        never: bool,
    ) {
        let view = with_elsewhere(if never { Elsewhere::Never } else { own_server() });
        let query = Query::parse(&bytes).unwrap();
        let mut out = Vec::new();
        match answer(&bytes, over, &view, turn, &mut out) {
            Verdict::Silence => prop_assert!(false, "a good query got no answer"),
            Verdict::Elsewhere => {
                prop_assert!(!never);
                prop_assert!(out.is_empty());
                failure(&bytes, &mut out);
            }
            Verdict::Reply => {}
        }
        let message = Message::from_vec(&out).unwrap();
        let flags = message.metadata;
        prop_assert_eq!(flags.id, query.id());
        prop_assert_eq!(flags.message_type, MessageType::Response);
        prop_assert_eq!(flags.recursion_desired, query.rd());
        prop_assert_eq!(flags.checking_disabled, query.cd());
        prop_assert!(flags.recursion_available && !flags.authentic_data);
        prop_assert_eq!(&out[HEADER..HEADER + query.question().len()], query.question());
        prop_assert_eq!(message.edns.is_some(), query.edns().is_some());
        prop_assert!(out.len() <= query.limit(over));
        let mut walked = crate::message::records(&out).unwrap();
        prop_assert!(walked.by_ref().all(|record| record.is_ok()));
        prop_assert_eq!(walked.at(), out.len());
    }

    #[test]
    fn addresses_are_those_that_a_search_finds(name in select(&["web", "www", "db", "db1", "idle"][..]), v4: bool, turn: u32) {
        let view = view();
        let mut out = Vec::new();
        let asked = query(name, if v4 { kind::A } else { kind::AAAA });
        prop_assert_eq!(answer(&asked, Transport::Udp, &view, turn, &mut out), Verdict::Reply);
        let message = Message::from_vec(&out).unwrap();
        let said: Vec<IpAddr> = message.answers.iter().map(|record| record.data.ip_addr().unwrap()).collect();
        prop_assert_eq!(said.len(), said.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(said.into_iter().collect::<BTreeSet<_>>(), searched(&view, name, v4));
    }

    /// Whatever comes, nothing breaks, and what is said of it has its id, is a response, and is not too long.
    #[test]
    fn any_bytes_do_no_harm(
        good in question(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        cut in prop::option::weighted(0.3, any::<Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        over in transport(),
        tailed in prop::bool::weighted(0.3),
    ) {
        let mut bytes = good;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if tailed {
            bytes.extend(tail);
        }
        let most = match over {
            Transport::Udp => 65_507,
            Transport::Tcp => 65_535,
        };
        let mut out = Vec::new();
        let view = view();
        let verdict = answer(&bytes, over, &view, 3, &mut out);
        let mut replies = vec![out.clone()];
        failure(&bytes, &mut out);
        replies.push(out.clone());
        refuse(&bytes, &mut out);
        replies.push(out.clone());
        fit(&bytes, over, &mut out);
        replies.push(out);
        prop_assert_eq!(verdict == Verdict::Reply, !replies[0].is_empty());
        for reply in replies.iter().filter(|reply| !reply.is_empty()) {
            prop_assert!(reply.len() <= most && reply.len() >= HEADER);
            prop_assert_eq!(&reply[..2], &bytes[..2]);
            prop_assert!(reply[2] & 0x80 != 0 && bytes[2] & 0x80 == 0);
            // The kind of query is said again.
            prop_assert_eq!(reply[2] & 0x78, bytes[2] & 0x78);
        }
    }

    #[test]
    fn noise_does_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..700), query: bool) {
        if let (true, [_, _, flags, _, high, low, ..]) = (query, &mut bytes[..]) {
            (*flags, *high, *low) = (1, 0, 1);
        }
        let mut out = Vec::new();
        answer(&bytes, Transport::Udp, &view(), 0, &mut out);
        prop_assert!(out.is_empty() || out[..2] == bytes[..2]);
    }
}
