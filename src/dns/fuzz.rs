//! What holds whatever bytes come. Each function takes what a stranger might send and panics where a promise is broken: fuzzers
//! call it with their own bytes, and a test here with those that were kept (tests/fuzz/corpus).

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bowline_core::name::{Id, Name};
use bowline_core::place::Place;
use bowline_core::port::Protocol;
use hickory_proto::op::Message;

use crate::answer::{Verdict, answer, failure, fit};
use crate::asker::{Elsewhere, View};
use crate::cache::{Cache, Source, question_end, record};
use crate::message::Transport;
use crate::resolv::{ResolvConf, Wishes, check_option, check_search, compose};
use crate::serve::stream::{Next, Stream, frame};
use crate::upstream::{Match, matches, matches_by_tcp, spell};
use crate::zone::{Entry, Zone};

pub type Target = fn(&[u8]);

/// Every function here, by the name of its folder in the corpus.
pub const TARGETS: &[(&str, Target)] =
    &[("query", query), ("response", response), ("resolv_conf", resolv_conf), ("tcp_stream", tcp_stream)];

const SOURCE: Source = Source(7);
const CACHE: usize = 1 << 20;
const OPT: u16 = 41;

/// What a container sends us: it gets a reply that others can read, or silence, and an internal network asks nobody.
pub fn query(data: &[u8]) {
    let mut out = Vec::new();
    for (view, may_ask) in [(view(Elsewhere::Host(Place(1))), true), (view(Elsewhere::Never), false)] {
        for over in [Transport::Udp, Transport::Tcp] {
            for turn in [0, 1, u32::MAX] {
                match answer(data, over, &view, turn, &mut out) {
                    Verdict::Reply => check_reply(data, &out),
                    Verdict::Elsewhere => {
                        assert!(may_ask, "an internal network asks nobody");
                        failure(data, &mut out);
                        check_reply(data, &out);
                        assert_eq!(out[3] & 0x0F, 2, "SERVFAIL");
                    }
                    Verdict::Silence => (),
                }
            }
        }
    }
    query_of_the_cache(data, &mut out);
}

/// What a container sends over a connection, in pieces whose size the first byte says: the messages in it come out whole and in
/// order however it is cut, a frame of no length ends it, and nothing is kept for bytes that were only promised.
pub fn tcp_stream(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else { return };
    let size = usize::from(size) * 64 + 1;
    let (mut stream, mut out, mut messages, mut broken) = (Stream::default(), Vec::new(), Vec::new(), false);
    for piece in bytes.chunks(size) {
        stream.push(piece);
        loop {
            match stream.take() {
                Next::Message(message) => messages.push(message.to_vec()),
                Next::More => break,
                Next::Broken => broken = true,
            }
            if broken {
                break;
            }
        }
        if broken {
            break;
        }
        assert!(!stream.has_next(), "what is whole was taken");
        assert!(stream.room() <= 2 * (usize::from(u16::MAX) + 2 + size).next_power_of_two(), "room");
    }
    assert_eq!((&messages, broken), (&framed(bytes).0, framed(bytes).1), "cut into {size}");
    let view = view(Elsewhere::Never);
    for message in messages {
        if answer(&message, Transport::Tcp, &view, 0, &mut out) == Verdict::Reply {
            check_reply(&message, &out);
            assert!(frame(&out, &mut Vec::new()), "a reply that fits a frame");
        }
    }
}

/// The messages in a stream as RFC 1035 section 4.2.2 says it, all of it being there; and whether a frame of no length ends it.
fn framed(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut messages, mut rest) = (Vec::new(), bytes);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 {
            return (messages, true);
        }
        let Some((message, after)) = after.split_at_checked(length) else { break };
        messages.push(message.to_vec());
        rest = after;
    }
    (messages, false)
}

/// One network with one endpoint, which is built once: a fuzzer calls often.
fn view(elsewhere: Elsewhere) -> View {
    static ZONE: OnceLock<Arc<Zone>> = OnceLock::new();
    let zone = ZONE.get_or_init(|| {
        let subnets = ["10.9.0.0/24", "fd00:9::/64"].map(|subnet| subnet.parse().expect("a subnet"));
        let zone = Zone::new("front".parse::<Name>().expect("a name"), subnets.into());
        let names = ["web", "WWW", "0123456789ab"].map(String::from).into();
        let addresses =
            ["10.9.0.2", "10.9.0.3", "fd00:9::2"].map(|address| address.parse().expect("an address"));
        let services = vec![(Protocol::Tcp, 80), (Protocol::Udp, 53)];
        zone.put(Id(7), Entry { names, addresses: addresses.into(), services });
        Arc::new(zone)
    });
    let links = vec![("db".to_string(), "web".to_string())];
    View { endpoint: "web".into(), zones: vec![zone.clone()], links, elsewhere, ttl: 5 }
}

/// A reply has the query's id and spelling, and others can read it.
fn check_reply(query: &[u8], reply: &[u8]) {
    assert!(query.len() >= 12 && query[2] & 0x80 == 0, "only a query is replied to");
    assert!((12..=usize::from(u16::MAX)).contains(&reply.len()), "{} bytes", reply.len());
    assert_eq!((&reply[..2], reply[2] & 0x80), (&query[..2], 0x80), "its id, and that it is a response");
    if reply[4..6] == [0, 1] {
        let end = question_end(query).expect("a question that is repeated");
        assert_eq!(reply.get(12..end), Some(&query[12..end]), "the question as it was spelled");
    }
    Message::from_vec(reply).expect("a reply that others can read");
}

/// Nothing is found for what nobody answered; an answer to it is found if it is kept.
fn query_of_the_cache(query: &[u8], out: &mut Vec<u8>) {
    let (cache, now) = (Cache::new(CACHE), Instant::now());
    cache.put(SOURCE, query, query, now);
    assert!(cache.is_empty() && !cache.get(SOURCE, query, now, out), "a query is no reply");
    let Some(end) = question_end(query) else { return };
    let mut reply = query[..end].to_vec();
    reply[2] = 0x81;
    reply[3] = 0x80;
    reply[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
    reply.extend_from_slice(&[0xC0, 12]);
    // Of the type and class that were asked for.
    reply.extend_from_slice(&query[end - 4..end]);
    reply.extend_from_slice(&[0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
    cache.put(SOURCE, query, &reply, now);
    assert_eq!(cache.get(SOURCE, query, now, out), cache.len() == 1);
    assert!(out.is_empty() || (out[12..] == reply[12..] && matches(query, out) == Match::Yes));
}

/// What a server sends us, as a reply to its own question: it is believed and kept only if it is sound, and what is kept is
/// the same message later on, but for its times.
pub fn response(data: &[u8]) {
    let question = match question_end(data) {
        Some(end) => &data[12..end],
        None => b"\x07example\x03org\x00\x00\x01\x00\x01",
    };
    let id = data.first_chunk().copied().unwrap_or([1, 2]);
    let plain = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], question].concat();
    let mut edns = [&plain[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
    edns[11] = 1;
    for query in [plain, edns] {
        let believed = matches(&query, data);
        check_by_tcp(&query, data, believed);
        let (cache, now, mut out) = (Cache::new(CACHE), Instant::now(), Vec::new());
        cache.put(SOURCE, &query, data, now);
        assert!(cache.bytes() <= CACHE);
        for seconds in [0, 1, 59, 86_399] {
            if cache.get(SOURCE, &query, now + Duration::from_secs(seconds), &mut out) {
                assert_eq!(believed, Match::Yes, "only what is believed is kept");
                assert!(cache.bytes() > data.len(), "its bytes are counted");
                check_kept(data, &query, &out, seconds);
            }
        }
        assert!(
            !cache.get(SOURCE, &query, now + Duration::from_secs(86_400), &mut out),
            "a day is the longest"
        );
        let mut reply = data.to_vec();
        fit(&query, Transport::Udp, &mut reply);
        // With an OPT it may say itself how much more.
        let most = if query[11] == 0 { 512 } else { 1232 };
        assert!(reply.len() <= most, "{} bytes go into one datagram", reply.len());
    }
}

/// By TCP no less is believed, and all of it once its question is spelled as it was asked.
fn check_by_tcp(query: &[u8], reply: &[u8], by_udp: Match) {
    let mut spelled = reply.to_vec();
    spell(query, &mut spelled);
    assert!(spelled.eq_ignore_ascii_case(reply) || matches_by_tcp(query, reply) == Match::No);
    if matches_by_tcp(query, reply) == Match::Yes {
        assert_eq!(matches(query, &spelled), Match::Yes);
    } else {
        assert_eq!(by_udp, Match::No);
    }
}

fn check_kept(reply: &[u8], query: &[u8], kept: &[u8], seconds: u64) {
    let end = question_end(query).expect("a query of ours");
    assert_eq!(kept.len(), reply.len());
    assert_eq!((&kept[..2], &kept[12..end]), (&query[..2], &query[12..end]), "to this query");
    assert_eq!(kept[2] & 0x82, 0x80, "a response, and all of it");
    assert!(matches!(kept[3] & 0x0F, 0 | 3), "an answer");
    assert_eq!(kept[4..12], reply[4..12], "as many records");
    check_times(reply, kept, end, seconds);
    // Somebody else's reading of it. That it can be read at all is not said: a server may spell a name with its own times.
    let (Ok(before), Ok(after)) = (Message::from_vec(reply), Message::from_vec(kept)) else { return };
    let all = |message: &Message| -> Vec<u32> {
        let records = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
        records.map(|record| record.ttl).collect()
    };
    let (before, after) = (all(&before), all(&after));
    assert_eq!(before.len(), after.len());
    assert!(before.iter().zip(&after).all(|(before, after)| counts_down(*before, *after, seconds)));
}

fn counts_down(before: u32, after: u32, seconds: u64) -> bool {
    u64::from(after) <= u64::from(before).saturating_sub(seconds)
}

/// Every time counts down, and nothing else differs but what is the asker's, and AA.
fn check_times(reply: &[u8], kept: &[u8], end: usize, seconds: u64) {
    let (mut before, mut after) = (reply.to_vec(), kept.to_vec());
    let mut at = end;
    while at < reply.len() {
        let seen = record(reply, at).expect("what is kept was walked");
        if seen.kind != OPT {
            let time =
                |message: &[u8]| u32::from_be_bytes(*message[seen.ttl_at..].first_chunk().expect("a time"));
            assert!(counts_down(time(reply), time(kept), seconds), "it counts down");
            [&mut before, &mut after].into_iter().for_each(|message| message[seen.ttl_at..][..4].fill(0));
        }
        at = seen.end;
    }
    // RD is the asker's.
    [&mut before, &mut after].into_iter().for_each(|message| message[2] &= !0x05);
    assert_eq!(before, after, "nothing else differs");
}

/// The host's file: whatever stands in it, a container gets three lines of which it wrote none.
pub fn resolv_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let conf = ResolvConf::parse(&text);
    assert!(conf.servers.len() <= 8 && conf.search.len() <= 32 && conf.options.len() <= 32);
    let upstreams = conf.upstreams(|link| (link == "eth0").then_some(2));
    assert!(
        upstreams.iter().all(|server| server.port() == 53 && server.ip() != Ipv4Addr::new(127, 0, 0, 11))
    );
    let words: Vec<String> = text.split(' ').map(String::from).collect();
    let hostile = Wishes { search: words.clone(), options: words };
    for wishes in [Wishes::default(), hostile] {
        check_composed(&compose(&conf, &wishes));
    }
}

fn check_composed(text: &str) {
    let mut keywords = text.lines().map(|line| line.split(' ').next().unwrap_or_default());
    assert_eq!(keywords.next(), Some("nameserver"), "{text}");
    assert!(keywords.all(|keyword| matches!(keyword, "search" | "options")), "{text}");
    assert!(text.lines().count() <= 3 && text.ends_with('\n'), "{text}");
    let read = ResolvConf::parse(text);
    assert_eq!(read.servers.len(), 1, "{text}");
    assert_eq!(read.servers[0].address, Ipv4Addr::new(127, 0, 0, 11), "{text}");
    assert!(read.search.iter().all(|domain| check_search(domain).is_ok()), "{text}");
    assert!(read.options.iter().all(|option| check_option(option).is_ok()), "{text}");
}

#[cfg(test)]
mod tests;
