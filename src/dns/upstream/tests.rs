use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::message::Transport;

fn address(n: usize) -> SocketAddr {
    ([10, 0, 0, u8::try_from(n).unwrap()], 53).into()
}

fn servers(count: usize) -> Servers {
    Servers::new((1..=count).map(address).collect())
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a server does when it is asked, so long after.
#[derive(Debug, Clone, Copy)]
enum Does {
    Nothing,
    After(u64, Event),
}

use Does::{After, Nothing};

/// How a query went.
#[derive(Debug, PartialEq)]
struct Went {
    /// Who was asked, and after how many milliseconds.
    asked: Vec<(usize, u64)>,
    /// Who answered, and after how many; nobody.
    end: (Option<usize>, u64),
}

/// Runs one query in simulated time: whatever is due first happens first. Who asks listens on as long as it is worth it.
fn query(servers: &mut Servers, now: Instant, does: &[Does]) -> Went {
    let mut race = Race::begin(servers, Transport::Udp, now);
    let (mut at, mut coming, mut asked, mut end) = (now, BTreeMap::new(), Vec::new(), None);
    loop {
        let wake = match race.step(servers, at) {
            Step::Ask(server) => {
                asked.push((server, (at - now).as_millis() as u64));
                if let After(later, event) = does[server] {
                    coming.insert((at + ms(later), server), event);
                }
                continue;
            }
            Step::Wait(until) => until,
            Step::GiveUp => {
                end.get_or_insert((None, (at - now).as_millis() as u64));
                let Some(until) = race.lingers(servers, at) else { break };
                until
            }
        };
        assert!(wake > at, "it would wake again at once");
        match coming.first_entry().filter(|next| next.key().0 <= wake) {
            Some(next) => {
                let ((when, server), event) = next.remove_entry();
                at = when;
                race.heard(servers, server, event, at);
                if event == Event::Answered && end.is_none() {
                    end = Some((Some(server), (at - now).as_millis() as u64));
                }
            }
            None => at = wake,
        }
    }
    Went { asked, end: end.expect("it was over") }
}

const GOOD: Does = After(1, Event::Answered);

#[test]
fn the_first_that_is_healthy_is_asked_alone() {
    let (mut servers, now) = (servers(3), Instant::now());
    let went = query(&mut servers, now, &[GOOD, GOOD, GOOD]);
    assert_eq!(went, Went { asked: vec![(0, 0)], end: (Some(0), 1) });
}

#[test]
fn a_dead_first_server_costs_its_patience_once() {
    let (mut servers, now) = (servers(2), Instant::now());
    let first = query(&mut servers, now, &[Nothing, GOOD]);
    assert_eq!(first, Went { asked: vec![(0, 0), (1, 200)], end: (Some(1), 201) });
    // For an hour, ten times a second, it costs nobody anything, and is asked less and less.
    let mut probes = Vec::new();
    for tenth in 10..36_000 {
        let went = query(&mut servers, now + ms(100 * tenth), &[Nothing, GOOD]);
        assert_eq!((went.asked[0], went.end), ((1, 0), (Some(1), 1)), "after {tenth} tenths");
        if let Some(probe) = went.asked.get(1) {
            assert_eq!(*probe, (0, 0));
            probes.push(tenth / 10);
        }
    }
    assert_eq!(probes[..7], [1, 3, 7, 15, 31, 61, 91], "seconds");
    assert!(probes.len() < 130, "{}", probes.len());
}

#[test]
fn a_server_that_is_back_is_found_by_a_probe_and_is_first_again() {
    let (mut servers, now) = (servers(2), Instant::now());
    query(&mut servers, now, &[Nothing, GOOD]);
    assert!(servers.is_suspect(0));
    // It answers later than the other, which has answered by then: it is listened to all the same.
    let slower = After(20, Event::Answered);
    let went = query(&mut servers, now + ms(1_300), &[slower, GOOD]);
    assert_eq!(went, Went { asked: vec![(1, 0), (0, 0)], end: (Some(1), 1) });
    assert!(!servers.is_suspect(0));
    assert_eq!(query(&mut servers, now + ms(1_400), &[slower, GOOD]).asked, [(0, 0)]);
}

#[test]
fn a_server_that_is_always_late_does_not_cost_its_patience_again_and_again() {
    let (mut servers, now) = (servers(2), Instant::now());
    let late = After(300, Event::Answered);
    let mut waited = 0;
    for second in 0..100 {
        waited += query(&mut servers, now + ms(1_000 * second), &[late, GOOD]).end.1;
    }
    assert_eq!(waited, 201 + 99);
}

#[test]
fn a_hundred_queries_under_way_when_a_server_dies_wait_once_and_all_at_the_same_time() {
    let (mut servers, now) = (servers(2), Instant::now());
    query(&mut servers, now, &[GOOD, GOOD]);
    // One each two milliseconds. The second answers one later than it is asked; the first is silent.
    let mut races: Vec<(Instant, Option<Race>)> = (0..100).map(|n| (now + ms(2 * n), None)).collect();
    let mut due: BTreeSet<(Instant, usize, bool)> =
        races.iter().enumerate().map(|(n, (began, _))| (*began, n, false)).collect();
    let mut slowest = Duration::ZERO;
    let mut answered = 0;
    while let Some((at, n, is_answer)) = due.pop_first() {
        let (began, race) = &mut races[n];
        let race = race.get_or_insert_with(|| Race::begin(&servers, Transport::Udp, at));
        if is_answer {
            race.heard(&mut servers, 1, Event::Answered, at);
            slowest = slowest.max(at - *began);
            answered += 1;
            continue;
        }
        loop {
            match race.step(&mut servers, at) {
                Step::Ask(1) => assert!(due.insert((at + ms(1), n, true))),
                Step::Ask(_) => (),
                Step::Wait(until) => {
                    due.insert((until, n, false));
                    break;
                }
                Step::GiveUp => break,
            }
        }
    }
    assert_eq!(answered, 100);
    assert!(slowest <= ms(201), "{slowest:?}");
    assert_eq!(query(&mut servers, now + ms(420), &[Nothing, GOOD]).end, (Some(1), 1));
}

#[test]
fn who_cannot_answer_is_passed_over_at_once() {
    let now = Instant::now();
    for (event, suspected) in [(Event::Declined, false), (Event::Unreachable, true), (Event::Failed, false)] {
        let mut servers = servers(3);
        let went = query(&mut servers, now, &[After(5, event), After(5, event), GOOD]);
        assert_eq!(went, Went { asked: vec![(0, 0), (1, 5), (2, 10)], end: (Some(2), 11) });
        assert_eq!(servers.is_suspect(0), suspected, "{event:?}");
    }
}

#[test]
fn all_declined_or_unreachable_is_over_at_once() {
    let now = Instant::now();
    for event in [Event::Declined, Event::Unreachable, Event::Failed] {
        let went = query(&mut servers(2), now, &[After(5, event), After(5, event)]);
        assert_eq!(went.end, (None, 10), "{event:?}");
    }
    assert_eq!(query(&mut servers(0), now, &[]), Went { asked: vec![], end: (None, 0) });
}

#[test]
fn all_dead_is_given_up_within_two_seconds_and_then_all_are_asked_at_once() {
    let (mut servers, now) = (servers(8), Instant::now());
    let went = query(&mut servers, now, &[Nothing; 8]);
    assert_eq!(went.asked, (0..8).map(|n| (n as usize, 200 * n)).collect::<Vec<_>>());
    assert_eq!(went.end, (None, 1_800));
    let mut does = [Nothing; 8];
    does[6] = GOOD;
    let went = query(&mut servers, now + ms(1_900), &does);
    assert_eq!(went.asked, (0..8).map(|n| (n, 0)).collect::<Vec<_>>());
    assert_eq!(went.end, (Some(6), 1));
    assert_eq!(query(&mut servers, now + ms(1_950), &does).asked, [(6, 0)]);
}

#[test]
fn a_name_that_nobody_can_answer_costs_no_more_for_a_server_that_is_dead() {
    let (mut servers, now) = (servers(2), Instant::now());
    query(&mut servers, now, &[Nothing, GOOD]);
    let declined = After(5, Event::Declined);
    let cannot = |servers: &mut Servers, after| query(servers, now + ms(after), &[Nothing, declined]);
    assert_eq!(cannot(&mut servers, 500), Went { asked: vec![(1, 0)], end: (None, 5) });
    // Now and then it is asked all the same.
    assert_eq!(cannot(&mut servers, 1_500), Went { asked: vec![(1, 0), (0, 0)], end: (None, 200) });
    assert_eq!(cannot(&mut servers, 1_600).end, (None, 5));
}

#[test]
fn a_slow_server_is_still_asked_where_the_other_cannot_answer() {
    let (mut servers, now) = (servers(2), Instant::now());
    let (late, declined) = (After(300, Event::Answered), After(5, Event::Declined));
    query(&mut servers, now, &[late, GOOD]);
    assert!(servers.is_suspect(0));
    let went = query(&mut servers, now + ms(500), &[late, declined]);
    assert_eq!(went, Went { asked: vec![(1, 0), (0, 5)], end: (Some(0), 305) });
    // What was taken for dead and is slow is found out by the next probe.
    let mut servers = Servers::new(servers.addresses().to_vec());
    query(&mut servers, now, &[Nothing, GOOD]);
    assert_eq!(query(&mut servers, now + ms(1_500), &[late, declined]).end, (None, 200));
    assert_eq!(query(&mut servers, now + ms(2_500), &[late, declined]).end, (Some(0), 305));
}

#[test]
fn a_name_that_takes_long_is_waited_for_while_its_server_is_alive() {
    let (mut servers, now) = (servers(1), Instant::now());
    let mut slow = Race::begin(&servers, Transport::Udp, now);
    assert_eq!(slow.step(&mut servers, now), Step::Ask(0));
    assert_eq!(slow.step(&mut servers, now), Step::Wait(now + ms(1_800)));
    query(&mut servers, now + ms(500), &[GOOD]);
    assert_eq!(slow.step(&mut servers, now + ms(1_800)), Step::Wait(now + ms(5_000)));
    assert_eq!(slow.step(&mut servers, now + ms(5_000)), Step::GiveUp);
    // It answered others meanwhile: the name is to blame.
    assert!(!servers.is_suspect(0));
}

#[test]
fn what_a_server_says_twice_or_unasked_changes_nothing() {
    let (mut servers, now) = (servers(2), Instant::now());
    let mut race = Race::begin(&servers, Transport::Udp, now);
    for server in [0, 1, 7, 8, usize::MAX] {
        race.heard(&mut servers, server, Event::Unreachable, now);
    }
    assert_eq!(race.step(&mut servers, now), Step::Ask(0));
    race.heard(&mut servers, 0, Event::Declined, now);
    race.heard(&mut servers, 0, Event::Unreachable, now);
    assert_eq!(race.step(&mut servers, now), Step::Ask(1));
    assert!(!servers.is_suspect(0) && !servers.is_suspect(1));
}

#[test]
fn what_happens_by_tcp_or_by_a_fault_of_ours_is_no_matter_of_health() {
    for event in [Event::Answered, Event::Declined, Event::Unreachable, Event::Failed] {
        let (mut servers, now) = (servers(3), Instant::now());
        let mut race = Race::begin(&servers, Transport::Tcp, now);
        assert_eq!(race.step(&mut servers, now), Step::Ask(0));
        assert_eq!(race.step(&mut servers, now + ms(200)), Step::Ask(1));
        race.heard(&mut servers, 1, event, now + ms(210));
        while race.step(&mut servers, now + ms(1_900)) != Step::GiveUp {}
        assert!((0..3).all(|server| !servers.is_suspect(server)), "{event:?}");
    }
    // As asked by UDP, and then by TCP instead.
    let (mut servers, now) = (servers(2), Instant::now());
    let mut race = Race::begin(&servers, Transport::Udp, now);
    assert_eq!(race.step(&mut servers, now), Step::Ask(0));
    race.again_by_tcp(0);
    assert_eq!(race.step(&mut servers, now + ms(200)), Step::Ask(1));
    race.heard(&mut servers, 1, Event::Answered, now + ms(210));
    assert_eq!((servers.is_suspect(0), race.lingers(&servers, now + ms(210))), (false, None));
    let went = query(&mut servers, now + ms(300), &[After(5, Event::Failed), GOOD]);
    assert_eq!(went, Went { asked: vec![(0, 0), (1, 5)], end: (Some(1), 6) });
    assert!(!servers.is_suspect(0));
}

#[test]
fn a_suspect_is_neither_probed_nor_healed_by_tcp() {
    let (mut servers, now) = (servers(2), Instant::now());
    query(&mut servers, now, &[Nothing, GOOD]);
    let mut race = Race::begin(&servers, Transport::Tcp, now + ms(1_500));
    assert_eq!(race.step(&mut servers, now + ms(1_500)), Step::Ask(1));
    race.heard(&mut servers, 1, Event::Declined, now + ms(1_500));
    assert_eq!(race.lingers(&servers, now + ms(1_500)), None);
    // It would only be asked in the place of others, and the time of the probe by UDP is not moved.
    assert_ne!(race.step(&mut servers, now + ms(1_500)), Step::Ask(0));
    let went = query(&mut servers, now + ms(1_501), &[GOOD, GOOD]);
    assert_eq!(went.asked, [(1, 0), (0, 0)]);
    assert!(!servers.is_suspect(0));
    query(&mut servers, now + ms(3_000), &[Nothing, GOOD]);
    let mut race = Race::begin(&servers, Transport::Tcp, now + ms(3_300));
    assert_eq!(race.step(&mut servers, now + ms(3_300)), Step::Ask(1));
    race.heard(&mut servers, 1, Event::Failed, now + ms(3_300));
    assert_eq!(race.step(&mut servers, now + ms(3_300)), Step::Ask(0));
    race.heard(&mut servers, 0, Event::Answered, now + ms(3_301));
    assert!(servers.is_suspect(0));
}

#[test]
fn a_new_list_knows_what_was_known_and_an_old_race_does_it_no_harm() {
    let (mut old, now) = (servers(3), Instant::now());
    let mut race = Race::begin(&old, Transport::Udp, now);
    query(&mut old, now, &[Nothing, GOOD, GOOD]);
    let mut new = old.replaced_by(vec![address(9), address(1), address(9)]);
    assert_eq!(new.addresses(), [address(9), address(1)]);
    assert_eq!((new.is_suspect(0), new.is_suspect(1)), (false, true));
    let mut asked = Vec::new();
    while let Step::Ask(server) = race.step(&mut new, now + ms(900)) {
        asked.push(server);
        race.heard(&mut new, server, Event::Unreachable, now + ms(900));
    }
    assert_eq!(asked, [0, 1]);
    assert_eq!(Servers::new((1..30).map(address).collect()).addresses().len(), MOST_SERVERS);
}

/// A query or reply for `name`, with a question of type A.
fn message(head: [u8; 4], questions: u8, name: &[u8]) -> Vec<u8> {
    [&head[..], &[0, questions, 0, 0, 0, 0, 0, 0], name, &[0, 1, 0, 1]].concat()
}

#[test]
fn a_reply_is_believed_if_it_is_one_to_this_query() {
    let name = b"\x03wWw\x07Example\x00";
    let sent = message([7, 9, 0x01, 0], 1, name);
    let check = |reply: &[u8], expected| assert_eq!(matches(&sent, reply), expected, "{reply:x?}");
    check(&message([7, 9, 0x81, 0x80], 1, name), Match::Yes);
    check(&message([7, 9, 0x81, 0x83], 1, name), Match::Yes);
    check(&message([7, 8, 0x81, 0x80], 1, name), Match::No);
    check(&message([7, 9, 0x01, 0x80], 1, name), Match::No);
    check(&message([7, 9, 0xA9, 0x80], 1, name), Match::No);
    check(&message([7, 9, 0x81, 0x80], 2, name), Match::No);
    check(&message([7, 9, 0x81, 0x80], 1, b"\x03www\x07example\x00"), Match::No);
    check(&message([7, 9, 0x81, 0x80], 1, b"\x03wWx\x07Example\x00"), Match::No);
    let full = message([7, 9, 0x81, 0x80], 1, name);
    (0..full.len()).for_each(|length| check(&full[..length], Match::No));
    let other_type = [&full[..full.len() - 3], &[28, 0, 1]].concat();
    check(&other_type, Match::No);
    // Refusals may leave the question out; what has records needs it.
    for (code, expected) in
        [(1, Match::Yes), (2, Match::Yes), (4, Match::Yes), (5, Match::Yes), (0, Match::No), (3, Match::No)]
    {
        check(&[7, 9, 0x81, 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0], expected);
    }
    check(&[7, 9, 0x81, 0x82, 0, 0, 0, 1, 0, 0, 0, 0], Match::No);
    check(&[7, 8, 0x81, 0x82, 0, 0, 0, 0, 0, 0, 0, 0], Match::No);
    // Nothing is a reply to what is no query: a label of 64, a pointer.
    for name in [[&[64][..], &[b'a'; 64], &[0]].concat(), vec![0xC0, 12]] {
        let sent = message([7, 9, 0x01, 0], 1, &name);
        assert_eq!(matches(&sent, &message([7, 9, 0x81, 0x80], 1, &name)), Match::No);
    }
}

#[test]
fn by_tcp_a_question_may_come_back_in_another_case() {
    let name = b"\x03wWw\x07Example\x00";
    let sent = message([7, 9, 0x01, 0], 1, name);
    let folded = message([7, 9, 0x81, 0x80], 1, b"\x03www\x07example\x00");
    assert_eq!((matches(&sent, &folded), matches_by_tcp(&sent, &folded)), (Match::No, Match::Yes));
    let mut spelled = folded.clone();
    spell(&sent, &mut spelled);
    assert_eq!((&spelled[..12], &spelled[12..]), (&folded[..12], &sent[12..]));
    let other = message([7, 9, 0x81, 0x80], 1, b"\x03wwx\x07example\x00");
    let id = message([7, 8, 0x81, 0x80], 1, name);
    // 65 and 97 differ as letters do, and are two types.
    let (mut upper, mut lower) = (sent.clone(), folded.clone());
    (upper[sent.len() - 3], lower[sent.len() - 3]) = (65, 97);
    for (sent, reply) in [(&sent, &other), (&sent, &id), (&upper, &lower), (&sent, &sent)] {
        assert_eq!(matches_by_tcp(sent, reply), Match::No, "{reply:x?}");
    }
    // What has no question, or ends before, stays as it is.
    for reply in [&[7, 9, 0x81, 0x82, 0, 0, 0, 0, 0, 0, 0, 0][..], &folded[..15], &folded[..5], &[]] {
        let mut spelled = reply.to_vec();
        spell(&sent, &mut spelled);
        assert_eq!(spelled, reply);
    }
}
