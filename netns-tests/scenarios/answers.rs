//! What a question is answered, record by record: `dig` reads it.

use crate::world::World;

fn front(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24 --subnet fd00:9::/64");
}

pub(crate) fn owned_names_are_answered_with_authority(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "front", "");
    let seen = web.digs("-t A Db");
    assert_eq!((seen.status.as_str(), seen.found()), ("NOERROR", vec!["10.9.0.3"]), "{}", seen.text);
    assert_eq!(seen.answers[0], "Db. 5 IN A 10.9.0.3", "its case is kept, its time is 5 s");
    for flag in ["qr", "aa", "rd", "ra"] {
        assert!(seen.has_flag(flag), "no {flag} in {}", seen.text);
    }
    assert!(seen.text.contains("EDNS: version: 0"), "{}", seen.text);
    assert!(!web.digs("+noedns db").text.contains("EDNS"), "an OPT record that nobody asked for");
    assert!(!web.digs("+norecurse db").has_flag("rd"));
    assert_eq!(web.digs("-t AAAA db").found(), ["fd00:9::3"]);
    assert_eq!(web.digs("+tcp db").found(), ["10.9.0.3"]);
}

/// T-32, in part: none of these is anybody else's to answer.
pub(crate) fn nothing_of_that_kind_is_not_nobody(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    w.bowline("network create back --internal --subnet fd00:8::/64");
    let web = w.container("web");
    w.bowline("endpoint create web --netns web --network front --network back");
    w.attach("four", "front", "");
    w.attach("six", "back", "");
    for line in ["-t AAAA four", "-t A six", "-t MX four", "-t TXT web", "-t HTTPS four.front", "-t NS six"] {
        let seen = web.digs(line);
        assert_eq!((seen.status.as_str(), seen.answers.len()), ("NOERROR", 0), "{line}: {}", seen.text);
        let soa = seen.authority.first().unwrap_or_else(|| panic!("{line}: no SOA in {}", seen.text));
        assert!(soa.contains(" SOA ") && soa.ends_with(" 5"), "it may be remembered for 5 s: {soa}");
    }
    for line in ["-t A nobody", "-t AAAA nobody.front", "-t MX nobody"] {
        let seen = web.digs(line);
        assert_eq!((seen.status.as_str(), seen.authority.len()), ("NXDOMAIN", 1), "{line}: {}", seen.text);
    }
    assert_eq!(web.digs("-t ANY web").status, "REFUSED");
    assert_eq!(web.digs("-c CH -t TXT version.bind").status, "REFUSED");
}

pub(crate) fn addresses_have_names(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "front:alias=store", "--hostname data");
    for address in ["10.9.0.3", "fd00:9::3"] {
        assert_eq!(web.digs(&format!("-x {address}")).found(), ["db.front."], "{address}");
    }
    for address in ["10.9.0.77", "fd00:9::77"] {
        let seen = web.digs(&format!("-x {address}"));
        assert_eq!((seen.status.as_str(), seen.authority.len()), ("NXDOMAIN", 1), "{address}: {}", seen.text);
    }
    let mut asker = web.asker();
    for garbage in
        ["3.0.9.in-addr.arpa", "x.0.9.10.in-addr.arpa", "1.3.0.9.10.in-addr.arpa", "300.0.9.10.in-addr.arpa"]
    {
        assert!(asker.ask(garbage, "PTR").records.is_empty(), "{garbage}");
    }
    assert_eq!(asker.ask("3.0.9.10.IN-ADDR.ARPA.", "PTR").data(), ["db.front"]);
}

pub(crate) fn declared_ports_are_services(w: &World) {
    front(w);
    w.bowline("network create out --subnet 10.8.0.0/24");
    let web = w.attach("web", "front", "");
    w.container("db");
    w.bowline("endpoint create db --netns db --network front:alias=store --network out --expose 5432/tcp -p 5353:53/udp");
    let mut asker = web.asker();
    for name in ["_5432._tcp.db", "_5432._TCP.db.front", "_5432._tcp.store"] {
        assert_eq!(asker.ask(name, "SRV").data(), ["5432 db.front"], "{name}");
    }
    assert_eq!(asker.ask("_53._udp.db", "SRV").data(), ["53 db.front"], "what is published is served too");
    for name in ["_5433._tcp.db", "_5432._udp.db", "_5432._tcp.nobody", "_x._tcp.db"] {
        assert!(asker.ask(name, "SRV").records.is_empty(), "{name}");
    }
    let seen = web.digs("-t SRV _5432._tcp.db");
    assert!(seen.text.contains("10.9.0.3"), "the address comes along: {}", seen.text);
    w.bowline("port unpublish db 5353:53/udp");
    assert!(asker.ask("_53._udp.db", "SRV").records.is_empty(), "what is published no more");
}

pub(crate) fn what_does_not_fit_a_datagram_comes_by_tcp(w: &World) {
    const MANY: usize = 60;
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    w.host().shell(&format!("for n in $(seq {MANY}); do ip netns add c$n; done"));
    let api = w.api();
    for n in 1..=MANY {
        w.bowline(&format!("endpoint create c{n} --netns c{n} --network front:alias=pool"));
    }
    let one = w.inside("c1");
    let cut = one.digs("+noedns +ignore pool");
    assert!(cut.has_flag("tc"), "{}", cut.text);
    let size = cut.text.split("MSG SIZE  rcvd: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    assert!(size.is_some_and(|bytes: usize| bytes <= 512), "{}", cut.text);
    let whole = one.digs("+noedns pool");
    assert_eq!(whole.found().len(), MANY, "dig came again by TCP: {}", whole.text);
    assert!(!whole.has_flag("tc"));
    let wide = one.digs("+bufsize=4096 +ignore pool");
    assert!(!wide.has_flag("tc") && wide.found().len() == MANY, "a datagram has room for it: {}", wide.text);
    assert!(one.digs("+bufsize=100 +ignore pool").has_flag("tc"));
    // Through the C library, which has no idea of any of this.
    let known = w.host().run("ip netns exec c1 getent ahostsv4 pool");
    assert_eq!(known.lines().filter(|line| line.contains("STREAM")).count(), MANY, "{known}");
    for n in 1..=MANY {
        api.remove_endpoint(&format!("c{n}")).unwrap();
    }
    w.host().shell(&format!("for n in $(seq {MANY}); do ip netns del c$n; done"));
}

/// Fifty questions in one segment, and one question byte by byte.
pub(crate) fn tcp_takes_many_questions_at_once(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "front", "");
    let said = web.run_python(
        r#"
import socket, struct
def query(n):
    q = struct.pack('>6H', n, 0x100, 1, 0, 0, 0) + b'\2db\0' + struct.pack('>2H', 1, 1)
    return struct.pack('>H', len(q)) + q
def answers(s, n):
    seen, data = {}, b''
    while len(seen) < n:
        more = s.recv(65536)
        assert more, f'closed after {sorted(seen)}'
        data += more
        while len(data) >= 2 and len(data) >= 2 + (length := struct.unpack('>H', data[:2])[0]):
            seen[struct.unpack('>H', data[2:4])[0]] = data[2:2 + length][-4:]
            data = data[2 + length:]
    return seen
s = socket.create_connection(('127.0.0.11', 53), 5)
s.sendall(b''.join(query(n) for n in range(50)))
seen = answers(s, 50)
assert sorted(seen) == list(range(50)), seen
assert set(seen.values()) == {bytes([10, 9, 0, 3])}, seen
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for byte in query(77):
    s.sendall(bytes([byte]))
assert answers(s, 1) == {77: bytes([10, 9, 0, 3])}
s.shutdown(socket.SHUT_WR)
assert s.recv(1) == b'', 'it is not closed'
print('well')
"#,
    );
    assert_eq!(said, "well\n");
}

pub(crate) fn the_time_to_live_is_configured(w: &World) {
    w.host().shell("mkdir -p /etc/bowline; printf '[dns]\\nttl_seconds = 42\\n' > /etc/bowline/bowline.toml");
    w.start();
    front(w);
    let web = w.attach("web", "front", "");
    let mut asker = web.asker();
    assert_eq!(asker.ask("web", "A").ttl(), Some(42));
    assert_eq!(asker.ask("2.0.9.10.in-addr.arpa", "PTR").ttl(), Some(42));
    w.restart();
    assert_eq!(asker.ask("web", "A").ttl(), Some(42));
    w.host().shell("rm -r /etc/bowline");
}

pub(crate) fn localhost_is_everybodys_own(w: &World) {
    front(w);
    let mut asker = w.attach("web", "front", "").asker();
    for name in ["localhost", "LocalHost.", "x.localhost"] {
        assert_eq!(asker.finds(name), ["127.0.0.1"], "{name}");
        assert_eq!(asker.ask(name, "AAAA").data(), ["::1"], "{name}");
    }
    assert_eq!(asker.ask("1.0.0.127.in-addr.arpa", "PTR").data(), ["localhost"]);
}
