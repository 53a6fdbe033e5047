use std::time::Duration;

use hickory_proto::op::Message;

use super::*;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const OPT: u16 = 41;

const ONE: Source = Source(1);
const TWO: Source = Source(2);

fn spelled(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

/// A query that wants recursion.
fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    [&[high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &spelled(name)[..], &kind.to_be_bytes(), &[0, 1]].concat()
}

/// With an OPT whose marks and options are these.
fn with_opt(mut query: Vec<u8>, marks: u32, options: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41, 4, 208]);
    query.extend_from_slice(&marks.to_be_bytes());
    query.extend_from_slice(&(options.len() as u16).to_be_bytes());
    query.extend_from_slice(options);
    query
}

/// One record of the question's name. What a CNAME or an SOA says does not matter, but for the minimum of the SOA.
#[derive(Debug, Clone, Copy)]
struct Rr(u16, u32);

const MINIMUM: u32 = 300;

fn soa_data(minimum: u32) -> Vec<u8> {
    [&[0xC0, 12, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &minimum.to_be_bytes()].concat()
}

/// A reply to a query with no OPT: what the three sections hold.
fn reply(query: &[u8], code: u8, sections: [&[Rr]; 3]) -> Vec<u8> {
    let end = question_end(query).unwrap();
    let mut reply = query[..end].to_vec();
    (reply[2], reply[3]) = (0x85, 0x80 | code);
    for (section, records) in sections.into_iter().enumerate() {
        reply[7 + 2 * section] = records.len() as u8;
        for Rr(kind, ttl) in records {
            let data = match *kind {
                A => vec![10, 0, 0, 1],
                AAAA => vec![0; 16],
                NS | CNAME => vec![0xC0, 12],
                SOA => soa_data(MINIMUM),
                OPT => vec![],
                _ => vec![1, b'x'],
            };
            reply.extend_from_slice(if *kind == OPT { &[0] } else { &[0xC0, 12] });
            reply.extend_from_slice(&kind.to_be_bytes());
            reply.extend_from_slice(&[0, 1]);
            reply.extend_from_slice(&ttl.to_be_bytes());
            reply.extend_from_slice(&(data.len() as u16).to_be_bytes());
            reply.extend_from_slice(&data);
        }
    }
    reply
}

fn cache() -> Cache {
    Cache::new(1 << 20)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// For how many seconds an answer is given, found by asking; the times to live that the first and the last one said.
fn lives(query: &[u8], reply: &[u8]) -> Option<(u64, u32, u32)> {
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::new());
    cache.put(ONE, query, reply, now);
    let mut said = |after: u64| {
        cache.get(ONE, query, now + seconds(after), &mut out).then(|| {
            let message = Message::from_vec(&out).expect("what is kept can be read");
            let records = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
            records.map(|record| record.ttl).min().unwrap()
        })
    };
    let first = said(0)?;
    let (mut alive, mut dead) = (0, 200_000);
    assert_eq!(said(dead), None);
    while dead - alive > 1 {
        let middle = (alive + dead) / 2;
        *(if said(middle).is_some() { &mut alive } else { &mut dead }) = middle;
    }
    Some((dead, first, said(alive).unwrap()))
}

fn check(code: u8, sections: [&[Rr]; 3], expected: Option<(u64, u32, u32)>) {
    let query = query(1, "a.example", A);
    assert_eq!(lives(&query, &reply(&query, code, sections)), expected, "{code} {sections:?}");
}

#[test]
fn an_answer_lives_as_long_as_its_shortest_record() {
    check(0, [&[Rr(A, 60)], &[], &[]], Some((60, 60, 1)));
    check(0, [&[Rr(CNAME, 20), Rr(A, 60)], &[], &[]], Some((20, 20, 1)));
    check(0, [&[Rr(A, 60)], &[Rr(NS, 40)], &[Rr(A, 30)]], Some((30, 30, 1)));
    // A day is the longest, and what is said then is what is left.
    check(0, [&[Rr(A, 604_800)], &[], &[]], Some((86_400, 604_800, 518_401)));
    check(0, [&[Rr(A, 0)], &[], &[]], None);
    check(0, [&[Rr(A, 1 << 31 | 60)], &[], &[]], None);
    check(0, [&[Rr(A, 60)], &[], &[Rr(A, 0)]], None);
}

#[test]
fn what_does_not_exist_is_remembered_as_its_soa_says() {
    check(3, [&[], &[Rr(SOA, 60)], &[]], Some((60, 60, 1)));
    // The minimum is what the record's own time is lowered to, so that who hears it later forgets it with us.
    check(3, [&[], &[Rr(SOA, 3_600)], &[]], Some((300, 300, 1)));
    check(0, [&[], &[Rr(SOA, 3_600)], &[]], Some((300, 300, 1)));
    check(0, [&[Rr(CNAME, 100)], &[Rr(SOA, 3_600)], &[]], Some((100, 100, 1)));
    check(3, [&[Rr(CNAME, 400)], &[Rr(SOA, 3_600)], &[]], Some((300, 300, 1)));
    // No SOA: nobody said for how long. An SOA elsewhere says nothing about it.
    for sections in [
        [&[][..], &[], &[]],
        [&[], &[Rr(NS, 60)], &[]],
        [&[Rr(CNAME, 60)], &[], &[]],
        [&[], &[], &[Rr(SOA, 60)]],
    ] {
        check(0, sections, None);
        check(3, sections, None);
    }
    let asked = query(1, "a.example", A);
    let mut long = reply(&asked, 3, [&[], &[Rr(SOA, 90_000)], &[]]);
    let minimum = long.len() - 4;
    long[minimum..].copy_from_slice(&90_000_u32.to_be_bytes());
    assert_eq!(lives(&asked, &long), Some((3 * 3_600, 90_000, 79_201)));
    // What is of the type that was asked for, but is no answer, answers nothing.
    check(0, [&[], &[Rr(NS, 60)], &[Rr(A, 60)]], None);
    // An SOA that was asked for is an answer like any other.
    let asked = query(1, "a.example", SOA);
    assert_eq!(lives(&asked, &reply(&asked, 0, [&[Rr(SOA, 3_600)], &[], &[]])), Some((3_600, 3_600, 1)));
}

#[test]
fn the_soa_beside_an_answer_is_left_as_it_is() {
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::new());
    let asked = query(1, "a.example", A);
    cache.put(ONE, &asked, &reply(&asked, 0, [&[Rr(A, 60)], &[Rr(SOA, 3_600)], &[]]), now);
    assert!(cache.get(ONE, &asked, now + seconds(10), &mut out));
    assert_eq!(Message::from_vec(&out).unwrap().authorities[0].ttl, 3_590);
}

/// A reply with one record for each of these names, as they are on the wire.
fn named(asked: &[u8], names: &[Vec<u8>]) -> Vec<u8> {
    let mut reply = reply(asked, 0, [&[], &[], &[]]);
    reply[7] = names.len() as u8;
    for name in names {
        reply.extend_from_slice(name);
        reply.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
    }
    reply
}

#[test]
fn names_that_no_other_reader_would_follow_are_not_kept() {
    let asked = query(1, "a.example", A);
    let first = question_end(&asked).unwrap();
    // Each name points to the one before, sixteen bytes ahead of it, and the first to the question.
    let chain = |hops: usize| -> Vec<Vec<u8>> {
        let to = |n: usize| if n == 0 { 12 } else { first + 16 * (n - 1) };
        (0..hops).map(|n| (0xC000 | to(n) as u16).to_be_bytes().to_vec()).collect()
    };
    // So many hops are more than any server writes.
    assert!(lives(&asked, &named(&asked, &chain(16))).is_some());
    assert_eq!(lives(&asked, &named(&asked, &chain(17))), None);
    // Of 255 bytes and one more.
    let long = |last: usize| [vec![vec![b'a'; 63]; 3], vec![vec![b'b'; last]]].concat();
    let wire = |last| -> Vec<u8> {
        let labels: Vec<u8> =
            long(last).iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
        [&labels[..], &[0]].concat()
    };
    assert!(lives(&asked, &named(&asked, &[wire(61)])).is_some());
    assert_eq!(lives(&asked, &named(&asked, &[wire(62)])), None);
    // The same of a question, which has no pointers.
    let question = |name: &[u8]| [&asked[..12], name, &[0, 1, 0, 1]].concat();
    let kept = |query: &[u8]| {
        lives(
            query,
            &[
                &query[..2],
                &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0],
                &query[12..],
                &[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1],
            ]
            .concat(),
        )
    };
    assert!(kept(&question(&wire(61))).is_some());
    assert_eq!(kept(&question(&wire(62))), None);
    assert_eq!(kept(&question(&[&[64][..], &[b'a'; 64], &[0]].concat())), None);
    assert_eq!(kept(&question(&[0xC0, 12])), None);
}

#[test]
fn other_codes_and_parts_of_answers_are_not_kept() {
    (1..16).filter(|code| *code != 3).for_each(|code| check(code, [&[Rr(A, 60)], &[Rr(SOA, 60)], &[]], None));
    let asked = query(1, "a.example", A);
    let good = reply(&asked, 0, [&[Rr(A, 60)], &[Rr(SOA, 60)], &[]]);
    assert!(lives(&asked, &good).is_some());
    let but = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(lives(&asked, &bad), None, "byte {at} is {byte}");
    };
    but(2, 0x05); // a query
    but(2, 0x87); // cut
    but(2, 0x8D); // another kind of request
    but(5, 0);
    but(5, 2);
    but(7, 2);
    but(7, 0);
    but(9, 2);
    but(13, b'b'); // another name
    but(24, 28); // another type
    let records = question_end(&asked).unwrap();
    but(records + 1, u8::try_from(records).unwrap()); // a name that is itself
    but(records + 1, 11); // a name in the header
    but(records, 0x80);
    but(records + 10, 255);
    but(records + 3, 250); // a signature of this exchange
    for length in 0..good.len() {
        assert_eq!(lives(&asked, &good[..length]), None, "{length}");
    }
    assert_eq!(lives(&asked, &[&good[..], &[0]].concat()), None);
}

#[test]
fn the_answer_is_to_who_asks() {
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::new());
    let asked = query(1, "www.Example.org", A);
    cache.put(ONE, &asked, &reply(&asked, 0, [&[Rr(A, 60)], &[], &[]]), now);
    let mut other = query(0xBEEF, "WWW.eXample.ORG", A);
    other[2] = 0;
    assert!(cache.get(ONE, &other, now + seconds(7), &mut out));
    let end = question_end(&other).unwrap();
    assert_eq!(out[..2], [0xBE, 0xEF]);
    assert_eq!(out[2..4], [0x80, 0x80], "a reply, no authority, recursion as asked");
    assert_eq!(out[12..end], other[12..]);
    assert_eq!(out[end + 6..end + 10], 53_u32.to_be_bytes());
    assert_eq!(out.len(), end + 16);
    // Time does not run backwards, but threads read it in any order.
    assert!(cache.get(ONE, &asked, now - seconds(1), &mut out));
    assert_eq!(out[end + 6..end + 10], 60_u32.to_be_bytes());
}

#[test]
fn what_is_asked_otherwise_is_answered_otherwise() {
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::new());
    let asked = query(1, "a.example", A);
    let marked = |low: u8| {
        let mut query = asked.clone();
        query[3] = low;
        query
    };
    let kinds = [
        asked.clone(),
        marked(0x10),
        marked(0x20),
        with_opt(asked.clone(), 0, &[]),
        with_opt(asked.clone(), 0x8000, &[]),
        query(1, "a.example", AAAA),
        query(1, "b.example", A),
        query(1, "a.example.b", A),
    ];
    for (n, kept) in kinds.iter().enumerate() {
        cache.put(ONE, kept, &reply(kept, 0, [&[Rr(A, 60), Rr(AAAA, 60)], &[], &[]]), now);
        assert_eq!(cache.len(), n + 1);
        assert!(cache.get(ONE, kept, now, &mut out) && !cache.get(TWO, kept, now, &mut out));
        kinds[n + 1..].iter().for_each(|other| assert!(!cache.get(ONE, other, now, &mut out)));
        assert!(out.is_empty());
    }
    assert_eq!(cache.flush(), kinds.len());
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
}

#[test]
fn what_is_between_one_asker_and_the_server_is_not_shared() {
    let asked = query(1, "a.example", A);
    let edns = with_opt(asked.clone(), 0, &[]);
    let answer = reply(&asked, 0, [&[Rr(A, 60)], &[], &[]]);
    assert!(lives(&edns, &answer).is_some());
    let cookie = [0, 10, 0, 1, 7];
    let unshared = [
        with_opt(asked.clone(), 0, &cookie),
        with_opt(asked.clone(), 0x0001_0000, &[]),
        with_opt(asked.clone(), 0x4000, &[]),
        with_opt(edns.clone(), 0, &[]),
        [&asked[..], &[0]].concat(),
        [&edns[..], &[0]].concat(),
        query(1, "a.example", 255),
        query(1, "a.example", 252),
        query(1, "a.example", OPT),
    ];
    unshared.iter().for_each(|query| assert_eq!(lives(query, &answer), None, "{query:x?}"));
    for (at, byte) in [
        (2, 0),
        (2, 0x81),
        (2, 0x29),
        (2, 0x03),
        (3, 0x40),
        (3, 0x80),
        (3, 3),
        (5, 0),
        (5, 2),
        (7, 1),
        (9, 1),
        (11, 1),
    ] {
        let mut query = asked.clone();
        query[at] = byte;
        assert_eq!(lives(&query, &answer), None, "byte {at} is {byte}");
    }
    for length in 0..edns.len() {
        assert_eq!(lives(&edns[..length], &answer), None, "{length}");
    }
}

#[test]
fn the_opt_of_an_answer_must_be_true_for_everybody() {
    let asked = query(1, "a.example", A);
    let edns = with_opt(asked.clone(), 0, &[]);
    let answer = reply(&asked, 0, [&[Rr(A, 60)], &[], &[]]);
    let check = |query: &[u8], marks: u32, options: &[u8], kept: bool| {
        let reply = with_opt(answer.clone(), marks, options);
        assert_eq!(lives(query, &reply).is_some(), kept, "{marks:x} {options:?}");
    };
    check(&edns, 0, &[], true);
    check(&edns, 0x8000, &[], true);
    check(&edns, 0, &[0, 15, 0, 2, 0, 3], true);
    // BADVERS, a version, a cookie, one that is cut, none asked for.
    check(&edns, 0x0100_0000, &[], false);
    check(&edns, 0x0001_0000, &[], false);
    check(&edns, 0, &[0, 10, 0, 1, 7], false);
    check(&edns, 0, &[0, 15, 0, 3, 0, 3], false);
    check(&edns, 0, &[0, 15, 0], false);
    check(&asked, 0, &[], false);
    let signed = [&answer[..], &[0, 0, 24, 0, 255, 0, 0, 0, 60, 0, 0]].concat();
    for signature in [24, 249, 250] {
        let mut signed = signed.clone();
        signed[11] = 1;
        let at = answer.len() + 2;
        signed[at] = signature;
        assert_eq!(lives(&asked, &signed), None, "{signature}");
    }
    let twice = with_opt(with_opt(answer.clone(), 0, &[]), 0, &[]);
    assert_eq!(lives(&edns, &twice), None);
    // Its marks are no time to live.
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::new());
    cache.put(ONE, &edns, &with_opt(answer.clone(), 0x8000, &[]), now);
    assert!(cache.get(ONE, &edns, now + seconds(9), &mut out));
    assert_eq!(out[out.len() - 6..], [0, 0, 0x80, 0, 0, 0]);
}

#[test]
fn an_answer_to_somebody_who_wants_no_recursion_teaches_nothing() {
    let mut asked = query(1, "a.example", A);
    let answer = reply(&asked, 0, [&[Rr(A, 60)], &[], &[]]);
    asked[2] = 0;
    assert_eq!(lives(&asked, &answer), None);
}

mod room;
