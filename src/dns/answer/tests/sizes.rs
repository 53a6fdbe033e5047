//! How long answers become, and what is left out of those that would be too long.

use expect_test::expect;

use super::*;

/// A network of so many that go by one name, each with an address and a port.
fn crowd(size: u32) -> View {
    let zone = Zone::new("front".parse().unwrap(), vec!["10.0.0.0/8".parse().unwrap()]);
    for n in 0..size {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        zone.put(Id(n.into()), entry(&[&format!("web{n}"), "all"], &[&address], &[(Protocol::Tcp, 80)]));
    }
    View { zones: vec![Arc::new(zone)], ..view() }
}

/// How long, whether cut, and how many answers.
fn measure(view: &View, query: &[u8], over: Transport) -> (usize, bool, usize) {
    let mut out = Vec::new();
    assert_eq!(answer(query, over, view, 7, &mut out), Verdict::Reply);
    let message = Message::from_vec(&out).unwrap();
    assert_eq!(message.edns.is_some(), Query::parse(query).unwrap().edns().is_some());
    (out.len(), message.metadata.truncation, message.answers.len())
}

#[test]
fn addresses_up_to_what_the_client_takes() {
    let asked = query("all", kind::A);
    assert_eq!(measure(&crowd(30), &asked, Transport::Udp), (21 + 30 * 16, false, 30));
    assert_eq!(measure(&crowd(31), &asked, Transport::Udp), (21 + 30 * 16, true, 30));
    assert_eq!(measure(&crowd(31), &asked, Transport::Tcp), (21 + 31 * 16, false, 31));
    let wide = with_edns(asked.clone(), 1232, 0, false);
    assert_eq!(measure(&crowd(75), &wide, Transport::Udp), (32 + 75 * 16, false, 75));
    assert_eq!(measure(&crowd(76), &wide, Transport::Udp), (32 + 75 * 16, true, 75));
    let narrow = with_edns(asked.clone(), 100, 0, false);
    assert_eq!(measure(&crowd(76), &narrow, Transport::Udp), (32 + 30 * 16, true, 30));
    let many = crowd(5_000);
    assert_eq!(measure(&many, &asked, Transport::Tcp), (21 + 4094 * 16, true, 4094));
    assert_eq!(
        measure(&many, &with_edns(asked, 65535, 0, false), Transport::Udp),
        (32 + 4092 * 16, true, 4092)
    );
}

#[test]
fn services_up_to_what_the_client_takes() {
    let many = crowd(5_000);
    let asked = query("_80._tcp.all", kind::SRV);
    let check = |query: &[u8], over, expected: Expect| {
        expected.assert_eq(&format!("{:?}", measure(&many, query, over)))
    };
    check(&asked, Transport::Udp, expect!["(504, true, 14)"]);
    check(&with_edns(asked.clone(), 512, 0, false), Transport::Udp, expect!["(498, true, 13)"]);
    check(&with_edns(asked.clone(), 1232, 0, false), Transport::Udp, expect!["(1224, true, 35)"]);
    check(&asked, Transport::Tcp, expect!["(17546, true, 256)"]);
}

#[test]
fn edns_is_answered_with_edns() {
    let mut out = Vec::new();
    for (name, kind) in
        [("web", kind::A), ("web", kind::ANY), ("2.0.9.10.in-addr.arpa", kind::PTR), ("web", 16)]
    {
        for dnssec in [false, true] {
            answer(&with_edns(query(name, kind), 4096, 0, dnssec), Transport::Udp, &view(), 0, &mut out);
            let edns = Message::from_vec(&out).unwrap().edns.unwrap();
            let flags = (edns.max_payload(), edns.version(), edns.flags().dnssec_ok, edns.rcode_high());
            assert_eq!(flags, (1232, 0, dnssec, 0), "{name}");
        }
    }
}

#[test]
fn what_nobody_answered() {
    let mut out = vec![1];
    failure(&with_edns(query("wEb.Example", 65), 4096, 0, true), &mut out);
    expect![[r#"\x124\x81\x82\x00\x01\x00\x00\x00\x00\x00\x01\x03wEb\x07Example\x00\x00A\x00\x01\x00\x00)\x04\xd0\x00\x00\x80\x00\x00\x00"#]].assert_eq(&out.escape_ascii().to_string());
    refuse(&query("wEb.Example", 65), &mut out);
    expect![[r#"\x124\x81\x85\x00\x01\x00\x00\x00\x00\x00\x00\x03wEb\x07Example\x00\x00A\x00\x01"#]]
        .assert_eq(&out.escape_ascii().to_string());
    failure(b"\x12\x34\x81\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01", &mut out);
    assert_eq!(out, []);
}

#[test]
fn replies_of_others_are_cut() {
    let asked = query("example.com", 16);
    let reply = |length: usize| {
        let mut reply = asked.clone();
        reply[2..4].copy_from_slice(&[0x81, 0x83]);
        reply.resize(length, 7);
        reply
    };
    let cut = |query: &[u8], over, length| {
        let mut bytes = reply(length);
        fit(query, over, &mut bytes);
        if bytes == reply(length) { "whole".into() } else { shown(&bytes) }
    };
    assert_eq!(cut(&asked, Transport::Udp, 512), "whole");
    assert_eq!(cut(&asked, Transport::Udp, 513), "NXDOMAIN tc");
    assert_eq!(cut(&asked, Transport::Tcp, 65535), "whole");
    let wide = with_edns(asked.clone(), 1232, 0, false);
    assert_eq!(cut(&wide, Transport::Udp, 1232), "whole");
    assert_eq!(cut(&wide, Transport::Udp, 1233), "NXDOMAIN tc");
    let mut bytes = reply(600);
    fit(b"no query", Transport::Udp, &mut bytes);
    assert_eq!(bytes, []);
}
