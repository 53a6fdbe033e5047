use expect_test::{Expect, expect};
use hickory_proto::op::{Message, Query as Question};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record as HickoryRecord, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use proptest::prelude::*;

use super::*;

const WEB: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03wEb\0\0\x01\0\x01";
const OPT: &[u8] = b"\0\0\x29\x10\0\0\0\x80\0\0\0";

/// The query for wEb, changed.
fn check(change: impl FnOnce(&mut Vec<u8>), expected: &Expect) {
    let mut bytes = WEB.to_vec();
    change(&mut bytes);
    let shown = match Query::parse(&bytes) {
        Ok(query) => format!("{:?} {} {:?}", query.lower(), query.qtype(), query.edns()),
        Err(bad) => format!("{bad:?}"),
    };
    expected.assert_eq(&shown);
}

fn with_additional(bytes: &mut Vec<u8>, records: &[&[u8]]) {
    bytes[11] = records.len() as u8;
    bytes.extend(records.concat());
}

#[test]
fn a_query_is_read() {
    let query = Query::parse(WEB).unwrap();
    assert_eq!((query.id(), query.name(), query.rd(), query.cd()), (0x1234, &b"\x03wEb\0"[..], true, false));
    assert_eq!(query.question(), &WEB[HEADER..]);
    assert_eq!(question(WEB), Some(&WEB[HEADER..]));
    check(|_| {}, &expect!["web. 1 None"]);
    check(
        |b| with_additional(b, &[OPT]),
        &expect!["web. 1 Some(Edns { payload: 4096, version: 0, dnssec: true })"],
    );
    check(
        |b| with_additional(b, &[b"\xc0\x0c\0\xfa\0\xff\0\0\0\0\0\x01!", OPT]),
        &expect!["web. 1 Some(Edns { payload: 4096, version: 0, dnssec: true })"],
    );
}

#[test]
fn what_must_not_be_answered() {
    check(|b| b.truncate(11), &expect!["Silence"]);
    check(Vec::clear, &expect!["Silence"]);
    check(|b| b[2] |= 0x80, &expect!["Silence"]);
    check(|b| (b[2], b[5]) = (0xa8, 9), &expect!["Silence"]);
}

#[test]
fn what_we_do_not_do() {
    check(|b| b[2] = 0x28, &expect!["NotImp"]);
    check(|b| b[20] = 3, &expect!["Refused"]);
    check(|b| b[20] = 255, &expect!["Refused"]);
}

#[test]
fn what_is_no_query() {
    // Counts that lie.
    check(|b| b[5] = 0, &expect!["FormErr"]);
    check(|b| b[5] = 2, &expect!["FormErr"]);
    check(|b| b[4] = 1, &expect!["FormErr"]);
    check(|b| b[7] = 1, &expect!["FormErr"]);
    check(|b| b[11] = 255, &expect!["FormErr"]);
    check(|b| b.push(0), &expect!["FormErr"]);
    // Questions that are cut.
    for length in HEADER..WEB.len() {
        check(|b| b.truncate(length), &expect!["FormErr"]);
    }
    // Labels that are none.
    check(|b| b[12..14].copy_from_slice(&[0xc0, 0x0c]), &expect!["FormErr"]);
    check(|b| b[12] = 0x41, &expect!["FormErr"]);
    check(|b| b[12] = 0x80, &expect!["FormErr"]);
    check(|b| b[12] = 63, &expect!["FormErr"]);
    // EDNS twice, not of the root, cut.
    check(|b| with_additional(b, &[OPT, OPT]), &expect!["FormErr"]);
    check(|b| with_additional(b, &[b"\x01a\0\0\x29\x10\0\0\0\x80\0\0\0"]), &expect!["FormErr"]);
    check(|b| with_additional(b, &[&OPT[..10]]), &expect!["FormErr"]);
    check(|b| with_additional(b, &[b"\0\0\x29\x10\0\0\0\x80\0\0\x01"]), &expect!["FormErr"]);
}

#[test]
fn pointers_that_lead_nowhere() {
    const TAIL: &[u8] = b"\0\x10\0\x01\0\0\0\0\0\0";
    let pointer = |to: u8| [&[0xc0, to], TAIL].concat();
    let here = WEB.len() as u8;
    check(|b| with_additional(b, &[&pointer(12)]), &expect!["web. 1 None"]);
    check(|b| with_additional(b, &[&pointer(here)]), &expect!["FormErr"]);
    check(|b| with_additional(b, &[&pointer(here + 1)]), &expect!["FormErr"]);
    check(|b| with_additional(b, &[&pointer(0)]), &expect!["FormErr"]);
    check(|b| with_additional(b, &[&pointer(255)]), &expect!["FormErr"]);
    // Two that mean each other.
    check(|b| with_additional(b, &[&pointer(here + 12), &pointer(here)]), &expect!["FormErr"]);
    // Each leads to the one before: as many as are allowed, and one more.
    let chain = |hops: u8| {
        move |b: &mut Vec<u8>| {
            let records: Vec<Vec<u8>> =
                (0..hops).map(|hop| pointer(if hop == 0 { 12 } else { here + 12 * (hop - 1) })).collect();
            with_additional(b, &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    };
    check(chain(16), &expect!["web. 1 None"]);
    check(chain(17), &expect!["FormErr"]);
}

#[test]
fn the_longest_name() {
    let named = |labels: &[usize]| {
        let name: Vec<u8> = labels.iter().flat_map(|n| [vec![*n as u8], vec![b'a'; *n]].concat()).collect();
        [&WEB[..HEADER], &name, b"\0\0\x01\0\x01"].concat()
    };
    assert_eq!(Query::parse(&named(&[63, 63, 63, 61])).unwrap().lower().len(), 254);
    assert_eq!(Query::parse(&named(&[63, 63, 63, 62])).unwrap_err(), Bad::FormErr);
    assert_eq!(Query::parse(&named(&[1; 127])).unwrap().lower().len(), 254);
    assert_eq!(Query::parse(&named(&[1; 128])).unwrap_err(), Bad::FormErr);
}

#[test]
fn how_long_an_answer_may_be() {
    let limit = |payload: u16| {
        let mut bytes = WEB.to_vec();
        let [high, low] = payload.to_be_bytes();
        with_additional(&mut bytes, &[&[0, 0, 0x29, high, low, 0, 0, 0, 0, 0, 0]]);
        let query = Query::parse(&bytes).unwrap();
        (query.limit(Transport::Udp), query.limit(Transport::Tcp))
    };
    assert_eq!(Query::parse(WEB).unwrap().limit(Transport::Udp), 512);
    assert_eq!(limit(0), (512, 65535));
    assert_eq!(limit(1232), (1232, 65535));
    assert_eq!(limit(65535), (65507, 65535));
}

#[test]
fn a_suffix_ends_between_labels() {
    let wire = |text: &str| WireName::from_text(text).unwrap();
    let strip = |name: &[u8], suffix: &str| strip(name, &wire(suffix)).map(<[u8]>::to_vec);
    assert_eq!(strip(&wire("web.Front"), "front"), Some(wire("web").to_vec()));
    assert_eq!(strip(&wire("front"), "front"), Some(vec![]));
    assert_eq!(strip(&wire("webfront"), "front"), None);
    assert_eq!(strip(&wire("ont"), "front"), None);
    // The hyphen before them is 45, as if it were their length.
    let long = "n".repeat(45);
    assert_eq!(strip(&wire(&format!("x-{long}")), &long), None);
    // One label that holds a dot, and one that holds what a length looks like.
    assert_eq!(strip(b"\x09web.front", "front"), None);
    assert_eq!(strip(b"\x09web\x05front", "front"), None);
}

#[test]
fn a_whole_message_is_walked() {
    let name: Name = "web.front.".parse().unwrap();
    let mut message = Message::query();
    message.queries.push(Question::query(name.clone(), RecordType::A));
    message.answers.push(HickoryRecord::from_rdata(name.clone(), 7, RData::A(A::new(10, 9, 0, 2))));
    message.answers.push(HickoryRecord::from_rdata(name.clone(), 8, RData::A(A::new(10, 9, 0, 3))));
    let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, 5);
    message.authorities.push(HickoryRecord::from_rdata(name.clone(), 9, RData::SOA(soa)));
    message.additionals.push(HickoryRecord::from_rdata(name, 10, RData::A(A::new(10, 9, 0, 4))));
    let bytes = message.to_bytes().unwrap();
    let shown: Vec<String> = records(&bytes)
        .unwrap()
        .map(Result::unwrap)
        .map(|r| format!("{:?} {} {} {} {}", r.section, r.kind, r.class, bytes[r.ttl_at + 3], r.data.len()))
        .collect();
    expect![[r#"
        [
            "Answer 1 1 7 4",
            "Answer 1 1 8 4",
            "Authority 6 1 9 24",
            "Additional 1 1 10 4",
        ]
    "#]]
    .assert_debug_eq(&shown);
    for length in 0..bytes.len() {
        let broken = records(&bytes[..length]).map_or(true, |mut records| records.any(|r| r == Err(Broken)));
        assert!(broken, "cut to {length}");
    }
}

proptest! {
    /// What we take for a query hickory takes for the same.
    #[test]
    fn hickory_reads_the_same_question(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..6),
        kind: u16,
        id: u16,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = [&id.to_be_bytes()[..], b"\x01\0\0\x01\0\0\0\0\0\0"].concat();
        for label in labels {
            bytes.push(label.len() as u8);
            bytes.extend(label);
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(query) = Query::parse(&bytes) {
            let message = Message::from_vec(&bytes).unwrap();
            prop_assert_eq!(message.metadata.id, query.id());
            prop_assert_eq!(message.metadata.recursion_desired, query.rd());
            prop_assert_eq!(message.metadata.checking_disabled, query.cd());
            prop_assert_eq!(u16::from(message.queries[0].query_type()), query.qtype());
            let labels: Vec<u8> = message.queries[0]
                .name()
                .iter()
                .flat_map(|label| [&[label.len() as u8], label].concat())
                .collect();
            prop_assert_eq!(&labels, &query.name()[..query.name().len() - 1]);
            prop_assert_eq!(labels.to_ascii_lowercase(), query.lower().to_vec());
        }
    }

    #[test]
    fn any_bytes_are_walked_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(records) = records(&bytes) {
            for record in records {
                let Ok(record) = record else { break };
                prop_assert!(record.owner < record.ttl_at && record.ttl_at + 6 == record.data.start);
                prop_assert!(record.data.end <= bytes.len());
            }
        }
    }
}
