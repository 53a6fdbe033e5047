//! What no network knows is asked elsewhere: of the host's servers from the host, of a container's own from inside it. A
//! name server that the story plays says what it was asked, by whom.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::world::World;
use crate::world::said::{eventually, only_if};

const FRONT: &str = "network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64";

pub(crate) fn the_hosts_servers_are_asked_from_the_host(w: &World) {
    w.bowline(FRONT);
    let web = w.attach("web", "front", "");
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    let seen = web.digs("www.example");
    assert_eq!((seen.status.as_str(), seen.found()), ("NOERROR", vec!["198.51.100.2"]), "{}", seen.text);
    assert!(seen.has_flag("ra") && !seen.has_flag("aa"), "{}", seen.text);
    assert_eq!(web.digs("+tcp tcp.example").found(), ["198.51.100.2"]);
    assert_eq!(web.digs("nx.example").status, "NXDOMAIN");
    assert_eq!(web.digs("-t TXT none.example").status, "NOERROR");
    let by_udp: Vec<_> = stub.heard().into_iter().filter(|heard| heard.over == "udp").collect();
    assert!(!by_udp.is_empty() && by_udp.iter().all(|heard| heard.from == "192.0.2.1"), "{by_udp:?}");
    // The container's own family does not matter.
    w.bowline("network create six --subnet fd00:6::/64");
    assert_eq!(w.attach("six", "six", "").digs("six.example").found(), ["198.51.100.2"]);
    // It is found again under the name that a program in there uses.
    let known = w.host().run("ip netns exec web getent ahostsv4 www.example");
    assert!(known.starts_with("198.51.100.2"), "{known}");
}

/// As with systemd-resolved, or dnsmasq: nobody but the host reaches them.
pub(crate) fn servers_on_the_hosts_loopback_are_reached(w: &World) {
    w.bowline(FRONT);
    for (address, number) in [("127.0.0.53", 53), ("::1", 54)] {
        w.host_asks(&[address]);
        let at = if address.contains(':') { format!("[{address}]:53") } else { format!("{address}:53") };
        let _stub = w.host().serves_names(&at, number);
        eventually("it is asked", || {
            let said = w.tries("run --network front -- getent ahostsv4 www.example");
            only_if(said.out.starts_with(&format!("198.51.100.{number} ")), said)
        });
    }
}

pub(crate) fn servers_are_reached_by_ipv6(w: &World) {
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let outside = w.outside();
    let near =
        outside.shell("ip -6 -o addr show dev card scope link | tr -s ' ' | cut -d' ' -f4 | cut -d/ -f1");
    let stub = outside.serves_names("[::]:53", 2);
    for (server, from) in
        [("2001:db8::2".to_string(), "2001:db8::1"), (format!("{}%uplink", near.trim()), "fe80::")]
    {
        w.host_asks(&[&server]);
        let mut asked = 0;
        eventually("it is asked", || {
            asked += 1;
            let seen = asker.finds(&format!("www{asked}.{from}.example"));
            let last = stub.heard().pop().map(|heard| heard.from).unwrap_or_default();
            only_if(seen == ["198.51.100.2"] && last.starts_with(from), (&server, seen, last))
        });
    }
}

/// One that only the container itself reaches, and one that sees it come from its own address.
pub(crate) fn own_servers_are_asked_from_inside(w: &World) {
    w.bowline(FRONT);
    let hosts = w.outside().serves_names("192.0.2.2:53", 2);
    let near = w.container("near");
    near.run("ip link set lo up");
    let _own = near.serves_names("127.0.0.53:53", 5);
    w.bowline("endpoint create near --netns near --network front --dns 127.0.0.53");
    assert_eq!(near.digs("www.example").found(), ["198.51.100.5"]);
    assert_eq!(near.digs("+tcp more.example").found(), ["198.51.100.5"]);

    let db = w.attach("db", "front", "");
    let stub = db.serves_names("10.9.0.3:53", 3);
    let web = w.attach("web", "front", "--dns 10.9.0.3");
    assert_eq!(web.digs("www.example").found(), ["198.51.100.3"]);
    assert_eq!(web.digs("db").found(), ["10.9.0.3"], "names of ours are as ever");
    let heard = stub.heard();
    assert!(!heard.is_empty() && heard.iter().all(|heard| heard.from == "10.9.0.4"), "{heard:?}");
    assert_eq!(hosts.heard(), [], "those who have their own do not ask the host's");
    assert_eq!(db.digs("www.example").found(), ["198.51.100.2"], "and what they were told is theirs alone");
}

/// One list for all who have none of their own, whatever the host's own file says.
pub(crate) fn configured_servers_are_asked_instead_of_the_hosts(w: &World) {
    w.host().shell(
        "mkdir -p /etc/bowline; printf '[dns]\\nservers = [\"127.0.0.53\"]\\n' > /etc/bowline/bowline.toml",
    );
    let hosts = w.outside().serves_names("192.0.2.2:53", 2);
    let _configured = w.host().serves_names("127.0.0.53:53", 53);
    w.start();
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    assert_eq!(asker.finds("www.example"), ["198.51.100.53"]);
    w.host_asks(&["192.0.2.2"]);
    w.restart();
    assert_eq!(asker.finds("more.example"), ["198.51.100.53"]);
    assert_eq!(hosts.heard(), []);
    w.host().run("rm -r /etc/bowline");
}

/// Whoever names 127.0.0.11 itself as a server would be asked by himself, for ever.
pub(crate) fn a_resolver_does_not_ask_itself(w: &World) {
    w.host_asks(&["127.0.0.11"]);
    w.start();
    w.bowline(FRONT);
    let line = "endpoint create web --netns web --network front --dns 127.0.0.11";
    let web = w.container("web");
    if w.tries(line).code == 0 {
        let answer = web.asker().ask("www.example", "A");
        assert!(answer.records.is_empty() && answer.took < Duration::from_secs(3), "{answer:?}");
    }
    let other = w.attach("other", "front", "");
    let answer = other.asker().ask("www.example", "A");
    assert!(answer.records.is_empty() && answer.took < Duration::from_secs(3), "{answer:?}");
}

pub(crate) fn options_of_a_query_pass_as_they_are(w: &World) {
    w.bowline(FRONT);
    let web = w.attach("web", "front", "");
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    let line = "-t TXT +nocookie +dnssec +bufsize=1400 +ednsopt=65001:deadbeef opt.example";
    for over in ["", "+tcp"] {
        let seen = web.digs(&format!("{over} {line}"));
        // Root, OPT, 1400 bytes, no extended code, version 0, DO, eight bytes, option 65001.
        assert_eq!(seen.found(), ["\"0000290578000080000008fde90004deadbeef\""], "{}", seen.text);
        assert!(seen.text.contains("OPT=65001: de ad be ef"), "and back: {}", seen.text);
    }
    let seen = web.digs("-t TXT +noedns opt-none.example");
    assert_eq!(seen.found(), ["\"\""], "what nobody asked for is not added: {}", seen.text);
    let seen = web.digs("-t TXT +nocookie +bufsize=1232 +subnet=203.0.113.0/24 opt-subnet.example");
    assert!(seen.text.contains("CLIENT-SUBNET: 203.0.113.0/24"), "{}", seen.text);
}

/// T-33: whoever wants to forge an answer has to guess both.
pub(crate) fn every_question_has_a_port_and_an_id_of_its_own(w: &World) {
    const MANY: usize = 200;
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    for n in 0..MANY {
        assert_eq!(asker.finds(&format!("www{n}.example")), ["198.51.100.2"]);
    }
    let heard = stub.heard();
    let ports: BTreeSet<u16> = heard.iter().map(|heard| heard.port).collect();
    let ids: BTreeSet<u16> = heard.iter().map(|heard| heard.id).collect();
    assert!(ports.len() > MANY * 3 / 4, "{} ports for {} questions", ports.len(), heard.len());
    assert!(ids.len() > MANY * 9 / 10, "{} ids for {} questions", ids.len(), heard.len());
    // In neither does the next follow from the last.
    for numbers in [heard.iter().map(|h| h.port).collect::<Vec<_>>(), heard.iter().map(|h| h.id).collect()] {
        let steps: BTreeSet<u16> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > MANY / 2, "they follow a pattern: {numbers:?}");
    }
}

/// T-33: an answer with another id, to another question, or that is none, costs a second question by TCP.
pub(crate) fn what_is_no_answer_to_the_question_is_not_believed(w: &World) {
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let stub = w.outside().serves_names("192.0.2.2:53", 2);
    for name in ["forged.example", "unasked.example", "echo.example"] {
        assert_eq!(asker.finds(name), ["198.51.100.2"], "{name}");
        let heard = stub.heard();
        let by_tcp = |heard: &&crate::world::dns::Heard| heard.over == "tcp" && heard.name == name;
        assert_eq!(heard.iter().filter(by_tcp).count(), 1, "{name}: {heard:?}");
        assert_eq!(asker.finds(name), ["198.51.100.2"], "{name}, once more");
    }
}

pub(crate) fn long_answers_come_by_tcp(w: &World) {
    w.bowline(FRONT);
    let web = w.attach("web", "front", "");
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    assert_eq!(web.digs("big.example").found().len(), 100);
    assert!(web.digs("+ignore big-udp.example").has_flag("tc"));
    // One that is longer than whoever asked said he can take.
    assert_eq!(web.digs("+noedns wide.example").found().len(), 40);
    assert_eq!(web.digs("+bufsize=1232 +ignore wide.example").found().len(), 40);
    let known = w.host().run("ip netns exec web getent ahostsv4 big-getent.example");
    assert_eq!(known.lines().filter(|line| line.contains("STREAM")).count(), 100, "{known}");
}

pub(crate) fn a_server_that_cannot_tell_is_not_the_last(w: &World) {
    w.host_asks(&["127.0.0.53", "192.0.2.2"]);
    w.start();
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let _first = w.host().serves_names("127.0.0.53:53", 53);
    let second = w.outside().serves_names("192.0.2.2:53", 2);
    for (name, status) in [("fail.example", "SERVFAIL"), ("refuse.example", "REFUSED")] {
        let answer = asker.ask(name, "A");
        assert!([status, "SERVFAIL"].contains(&answer.status.as_str()), "{answer:?}");
        assert!(answer.took < Duration::from_secs(2), "{answer:?}");
        assert!(second.heard_of(name) > 0, "the second was not asked about {name}");
    }
    for n in 0..5 {
        assert_eq!(asker.finds(&format!("only2-{n}.example")), ["198.51.100.2"]);
    }
    let before = second.heard().len();
    assert_eq!(asker.ask("nx.example", "A").status, "NXDOMAIN");
    assert_eq!(second.heard_of("nx.example"), 0, "that is an answer, and the last word: {before}");
}

pub(crate) fn a_dead_server_is_waited_for_once(w: &World) {
    // Nobody has this address, and whoever asks there hears nothing.
    w.host().run("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev uplink nud permanent");
    w.host_asks(&["192.0.2.9", "192.0.2.2"]);
    w.start();
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    let first = asker.ask("first.example", "A");
    assert_eq!(first.data(), ["198.51.100.2"]);
    assert!(first.took < Duration::from_millis(250 + 150), "{first:?}");
    // Of the later ones most are quick; a machine with other work may be slow now and then.
    let mut took: Vec<Duration> = (0..40)
        .map(|n| {
            let answer = asker.ask(&format!("later{n}.example"), "A");
            assert_eq!(answer.data(), ["198.51.100.2"]);
            answer.took
        })
        .collect();
    took.sort_unstable();
    assert!(took[35] < Duration::from_millis(30), "{took:?}");
    w.host().run("ip neigh del 192.0.2.9 dev uplink");
}

pub(crate) fn where_all_are_dead_it_is_said_within_two_seconds(w: &World) {
    w.host().shell(
        "for n in 8 9; do ip neigh add 192.0.2.$n lladdr 02:00:00:00:00:0$n dev uplink nud permanent; done",
    );
    w.host_asks(&["192.0.2.8", "192.0.2.9"]);
    w.start();
    w.bowline(FRONT);
    let mut asker = w.attach("web", "front", "").asker();
    for name in ["one.example", "two.example"] {
        for over_tcp in [false, true] {
            let answer = if over_tcp { asker.ask_by_tcp(name, "A") } else { asker.ask(name, "A") };
            assert_eq!(answer.status, "SERVFAIL", "{answer:?}");
            assert!(answer.took < Duration::from_millis(2200), "{answer:?}");
        }
    }
    assert_eq!(asker.finds("web"), ["10.9.0.2"], "names of ours do not care");
    // Where they come back they are found again.
    let _stub = w.outside().serves_names("192.0.2.2:53", 2);
    w.host().shell("for n in 8 9; do ip neigh del 192.0.2.$n dev uplink; done");
    w.outside().run("ip addr add 192.0.2.9/24 dev card");
    let _back = w.outside().serves_names("192.0.2.9:53", 9);
    eventually("a server that is back is asked", || {
        let seen = asker.finds("three.example");
        only_if(seen == ["198.51.100.9"], seen)
    });
}
