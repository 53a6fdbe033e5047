use super::*;

const SECOND: Duration = Duration::from_secs(1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const AT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const DICE: u32 = u32::MAX / 2;
const HOP: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);

fn who() -> Identity {
    Identity {
        mac: Mac([2, 0, 0, 0, 0, 1]),
        client_id: vec![255, 1, 2, 3],
        hostname: Some("web".into()),
        answer_to_all: false,
    }
}

/// A client, the clock, and what it did last.
struct Story {
    client: Client,
    now: Duration,
}

impl Story {
    fn begin() -> Story {
        let mut client = Client::new(who());
        client.begin(None, Duration::ZERO, 7);
        Story { client, now: Duration::ZERO }
    }

    fn bound() -> Story {
        let mut story = Story::begin();
        story.tick();
        story.answer(Kind::Offer, SERVER, AT);
        story.answer(Kind::Ack, SERVER, AT);
        story.wait();
        assert!(matches!(story.client.phase, Phase::Bound(_)));
        story
    }

    /// To the moment that the client asked for.
    fn wait(&mut self) -> Vec<Act> {
        self.now = self.client.due();
        self.tick()
    }

    fn tick(&mut self) -> Vec<Act> {
        self.client.tick(self.now, DICE)
    }

    fn message(&self, kind: Kind, server: Ipv4Addr, yiaddr: Ipv4Addr) -> Message {
        let mut message = Message::new(kind, self.client.xid, who().mac);
        message.is_reply = true;
        message.yiaddr = yiaddr;
        put_address(&mut message, option::SERVER, server);
        put_address(&mut message, option::MASK, Ipv4Addr::new(255, 255, 255, 0));
        message.options.insert(option::LEASE_TIME, 1000_u32.to_be_bytes().to_vec());
        message
    }

    fn answer(&mut self, kind: Kind, server: Ipv4Addr, yiaddr: Ipv4Addr) -> Vec<Act> {
        let message = self.message(kind, server, yiaddr);
        self.client.hear(&message, Some(HOP), self.now, DICE)
    }
}

/// The one message among what is done.
fn sent(acts: &[Act]) -> (Message, Heading) {
    let [Act::Send(bytes, heading)] = acts else { panic!("{acts:?}") };
    (Message::parse(bytes).unwrap(), *heading)
}

#[test]
fn from_nothing_to_a_lease() {
    let mut story = Story::begin();
    let (discover, heading) = sent(&story.tick());
    assert_eq!((discover.kind(), heading, discover.xid), (Some(Kind::Discover), Heading::ToAll, 7));
    assert_eq!(discover.options[&option::HOSTNAME], b"web");
    assert_eq!(discover.options[&option::CLIENT], who().client_id);
    assert!(!discover.broadcast);

    let (request, heading) = sent(&story.answer(Kind::Offer, SERVER, AT));
    assert_eq!((request.kind(), heading, request.xid), (Some(Kind::Request), Heading::ToAll, 7));
    assert_eq!(request.address(option::REQUESTED_ADDRESS), Some(AT));
    assert_eq!(request.address(option::SERVER), Some(SERVER));

    assert_eq!(story.answer(Kind::Ack, SERVER, AT), [Act::Question(AT)]);
    let acts = story.wait();
    let [Act::Bound(lease), Act::Statement(AT)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!((lease.address.ip(), lease.server, lease.hop), (AT, SERVER, Some(HOP)));
    assert_eq!(story.client.due(), lease.renew);
}

#[test]
fn who_shares_a_mac_asks_for_answers_to_all() {
    let mut client = Client::new(Identity { answer_to_all: true, ..who() });
    client.begin(Some(AT), Duration::ZERO, 7);
    let (discover, _) = sent(&client.tick(Duration::ZERO, DICE));
    assert!(discover.broadcast);
    assert_eq!(discover.address(option::REQUESTED_ADDRESS), Some(AT));
}

#[test]
fn it_asks_again_ever_more_rarely_and_never_ends() {
    let mut story = Story::begin();
    let waits: Vec<u64> = (0..9)
        .map(|_| {
            story.wait();
            ((story.client.due() - story.now).as_secs_f64()).round() as u64
        })
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    let (discover, _) = sent(&story.wait());
    assert_eq!(u64::from(discover.secs), story.now.as_secs());
    for (dice, least, most) in [(0, 0.75, 0.76), (u32::MAX, 1.24, 1.25)] {
        let wait = jittered(SECOND, dice).as_secs_f64();
        assert!((least..=most).contains(&wait), "{wait}");
    }
}

#[test]
fn an_offer_that_is_not_kept_is_given_up() {
    let mut story = Story::begin();
    story.tick();
    story.answer(Kind::Offer, SERVER, AT);
    let kinds: Vec<_> = (0..4).map(|_| sent(&story.wait()).0.kind().unwrap()).collect();
    assert_eq!(kinds, [Kind::Request, Kind::Request, Kind::Request, Kind::Discover]);
}

#[test]
fn what_is_no_answer_to_its_question_changes_nothing() {
    let mut story = Story::begin();
    assert_eq!(story.answer(Kind::Offer, SERVER, AT), [], "it has not asked yet");
    story.tick();
    let good = story.message(Kind::Offer, SERVER, AT);
    let wrong = [
        Message { xid: 8, ..good.clone() },
        Message { chaddr: Mac([2, 0, 0, 0, 0, 2]), ..good.clone() },
        Message { is_reply: false, ..good.clone() },
        story.message(Kind::Ack, SERVER, AT),
        story.message(Kind::Nak, SERVER, AT),
        story.message(Kind::Offer, SERVER, Ipv4Addr::UNSPECIFIED),
        {
            let mut of_another = good.clone();
            of_another.options.insert(option::CLIENT, vec![255, 9]);
            of_another
        },
    ];
    for message in wrong {
        assert_eq!(story.client.hear(&message, None, story.now, DICE), [], "{message:?}");
        assert_eq!(story.client.phase, Phase::Selecting);
    }
    story.client.hear(&good, None, story.now, DICE);
    for (kind, server, at) in [(Kind::Ack, OTHER, AT), (Kind::Ack, SERVER, OTHER), (Kind::Nak, OTHER, AT)] {
        assert_eq!(story.answer(kind, server, at), [], "{kind:?} of {server}");
        assert!(matches!(story.client.phase, Phase::Requesting(_)));
    }
}

#[test]
fn a_refused_request_begins_anew_a_little_later() {
    let mut story = Story::begin();
    story.tick();
    story.answer(Kind::Offer, SERVER, AT);
    assert_eq!(story.answer(Kind::Nak, SERVER, AT), []);
    assert_eq!((&story.client.phase, story.client.due()), (&Phase::Selecting, story.now + SECOND));
}

#[test]
fn an_address_that_somebody_has_is_declined() {
    let mut story = Story::begin();
    story.tick();
    story.answer(Kind::Offer, SERVER, AT);
    story.answer(Kind::Ack, SERVER, AT);
    let theirs = crate::statement(Mac([2, 0, 0, 0, 0, 2]), AT);
    let (decline, heading) = sent(&story.client.hear_arp(&theirs, story.now, DICE));
    assert_eq!((decline.kind(), heading), (Some(Kind::Decline), Heading::ToAll));
    assert_eq!(decline.address(option::REQUESTED_ADDRESS), Some(AT));
    assert_eq!(decline.address(option::SERVER), Some(SERVER));
    assert_eq!(sent(&story.wait()).0.kind(), Some(Kind::Discover));
    assert!(story.now > Duration::ZERO, "not at once");
}

#[test]
fn the_server_is_asked_from_t1_on_anybody_from_t2_on_and_then_it_is_over() {
    let mut story = Story::bound();
    let Phase::Bound(lease) = story.client.phase.clone() else { panic!() };
    let mut asked = Vec::new();
    loop {
        let acts = story.wait();
        if let [Act::Lost(why)] = acts.as_slice() {
            assert_eq!((*why, story.now), (Lost::Expired, lease.expires));
            break;
        }
        let (request, heading) = sent(&acts);
        assert_eq!((request.kind(), request.ciaddr), (Some(Kind::Request), AT));
        assert_eq!(request.address(option::REQUESTED_ADDRESS), None);
        assert_eq!(request.address(option::SERVER), None);
        asked.push(((story.now - lease.began).as_secs(), heading));
    }
    let (server, all) = (Heading::ToServer { from: AT, server: SERVER }, Heading::ToAllFrom(AT));
    let expected =
        [(500, server), (687, server), (781, server), (841, server), (875, all), (937, all), (997, all)];
    assert_eq!(asked, expected);
    // Then it looks for another, or the same.
    let (discover, heading) = sent(&story.tick());
    assert_eq!((discover.kind(), heading), (Some(Kind::Discover), Heading::ToAll));
    assert_eq!(discover.address(option::REQUESTED_ADDRESS), Some(AT));
}

#[test]
fn a_renewal_prolongs_from_when_it_was_asked_for() {
    let mut story = Story::bound();
    story.wait();
    let asked = story.now;
    story.now += SECOND;
    let acts = story.answer(Kind::Ack, SERVER, AT);
    let [Act::Bound(lease)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(lease.expires, asked + 1000 * SECOND);
    assert_eq!(story.client.due(), asked + 500 * SECOND);
}

#[test]
fn a_no_of_the_server_ends_a_lease_and_one_of_another_does_not_until_all_are_asked() {
    let mut story = Story::bound();
    story.wait();
    assert_eq!(story.answer(Kind::Nak, OTHER, AT), []);
    while !matches!(story.client.phase, Phase::Rebinding(_)) {
        story.wait();
    }
    assert_eq!(story.answer(Kind::Nak, OTHER, AT), [Act::Lost(Lost::Refused)]);
    let (discover, _) = sent(&story.tick());
    assert_eq!(discover.address(option::REQUESTED_ADDRESS), None);
}

#[test]
fn another_address_may_come_with_a_renewal() {
    let mut story = Story::bound();
    story.wait();
    let acts = story.answer(Kind::Ack, SERVER, OTHER);
    let [Act::Bound(lease)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(lease.address.ip(), OTHER);
}

#[test]
fn a_lease_is_taken_up_again_in_any_part_of_its_time() {
    let story = Story::bound();
    let Phase::Bound(lease) = story.client.phase else { panic!() };
    let after = |seconds: u64| {
        let mut client = Client::new(who());
        client.resume(lease.clone());
        client.tick(lease.began + Duration::from_secs(seconds), DICE)
    };
    assert_eq!(after(499), []);
    assert_eq!(sent(&after(600)).1, Heading::ToServer { from: AT, server: SERVER });
    assert_eq!(sent(&after(900)).1, Heading::ToAllFrom(AT));
    assert_eq!(after(1000), [Act::Lost(Lost::Expired)]);
}

#[test]
fn a_card_made_anew_asks_whether_its_lease_holds() {
    let story = Story::bound();
    let Phase::Bound(lease) = story.client.phase.clone() else { panic!() };
    let reboot = || {
        let mut client = Client::new(who());
        client.reboot(lease.clone(), story.now, 9);
        Story { client, now: story.now }
    };
    let mut unheard = reboot();
    let (request, heading) = sent(&unheard.tick());
    assert_eq!(
        (request.kind(), heading, request.ciaddr),
        (Some(Kind::Request), Heading::ToAll, Ipv4Addr::UNSPECIFIED)
    );
    assert_eq!(request.address(option::REQUESTED_ADDRESS), Some(AT));
    assert_eq!(request.address(option::SERVER), None);
    for _ in 0..3 {
        unheard.wait();
    }
    assert_eq!(unheard.client.phase, Phase::Bound(lease.clone()), "it holds as long as it said");

    let mut confirmed = reboot();
    confirmed.tick();
    assert!(matches!(confirmed.answer(Kind::Ack, OTHER, AT).as_slice(), [Act::Bound(_), Act::Statement(AT)]));
    let mut refused = reboot();
    refused.tick();
    assert_eq!(refused.answer(Kind::Nak, OTHER, AT), [Act::Lost(Lost::Refused)]);
}

#[test]
fn a_release_goes_to_the_server_that_gave_the_lease() {
    let story = Story::bound();
    let Phase::Bound(lease) = story.client.phase else { panic!() };
    let (bytes, heading) = Client::release(&who(), &lease, 11);
    let release = Message::parse(&bytes).unwrap();
    assert_eq!((release.kind(), release.ciaddr), (Some(Kind::Release), AT));
    assert_eq!(heading, Heading::ToServer { from: AT, server: SERVER });
    assert_eq!(release.options[&option::CLIENT], who().client_id);
}

#[test]
fn a_lease_without_an_end_is_never_asked_about() {
    let mut client = Client::new(who());
    let Phase::Bound(lease) = Story::bound().client.phase else { panic!() };
    client.resume(Lease { renew: Lease::NEVER, rebind: Lease::NEVER, expires: Lease::NEVER, ..lease });
    assert_eq!(client.tick(Duration::from_secs(1 << 40), DICE), []);
}
