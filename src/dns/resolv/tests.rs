use expect_test::{Expect, expect};

use super::*;

/// What is read, in one line: servers, search list, options.
fn read(text: &str, expected: &Expect) {
    let conf = ResolvConf::parse(text);
    let server = |server: &Server| match &server.zone {
        Some(zone) => format!("{}%{zone}", server.address),
        None => server.address.to_string(),
    };
    let servers: Vec<_> = conf.servers.iter().map(server).collect();
    let parts = [servers.join(" "), conf.search.join(" "), conf.options.join(" ")];
    expected.assert_eq(&parts.join(" | "));
}

fn composed(host: &str, search: &[&str], options: &[&str], expected: &Expect) {
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let wishes = Wishes { search: owned(search), options: owned(options) };
    expected.assert_eq(&compose(&ResolvConf::parse(host), &wishes));
}

#[test]
fn a_file_is_read_as_the_c_library_reads_it() {
    read(
        "nameserver 10.0.0.1\nsearch a.org b.org\noptions ndots:2 rotate\n",
        &expect![[r#"10.0.0.1 | a.org b.org | ndots:2 rotate"#]],
    );
    // No final newline, tabs, CRLF.
    read(
        "nameserver\t10.0.0.1\r\nsearch a.org \tb.org\r\nnameserver fe80::1%eth0",
        &expect![[r#"10.0.0.1 fe80::1%eth0 | a.org b.org | "#]],
    );
    // The last search list or domain wins; an empty one does nothing; options add up.
    read("search a b\ndomain c\n", &expect![[r#" | c | "#]]);
    read("domain c d\nsearch a b\nsearch \n", &expect![[r#" | a b | "#]]);
    read("options a\noptions b c\n", &expect![[r#" |  | a b c"#]]);
    // Comments, and what begins elsewhere than a line.
    read(
        "# nameserver 1.1.1.1\n;nameserver 1.1.1.1\n nameserver 1.1.1.1\nnameserver=1.1.1.1\nNAMESERVER 1.1.1.1\n",
        &expect![[r#" |  | "#]],
    );
    read(
        "sortlist 10.0.0.0/8\nlookup file bind\nnameserver 10.0.0.2 # the second\n",
        &expect![[r#"10.0.0.2 |  | "#]],
    );
    // A line ends where C would end it.
    read(
        "nameserver 10.0.0.1\0junk\nsearch a\0b c\nname\0server 10.0.0.2\n",
        &expect![[r#"10.0.0.1 | a | "#]],
    );
}

#[test]
fn addresses_are_taken_in_all_their_spellings() {
    read(
        "nameserver 127.1\nnameserver 0x7f.0.0.1\nnameserver 010.0.0.1\nnameserver 1\n",
        &expect![[r#"127.0.0.1 127.0.0.1 8.0.0.1 0.0.0.1 |  | "#]],
    );
    for none in [
        "256.1.1.1",
        "1.2.3.4.5",
        "1.2.3.4.0",
        "1.2.3.",
        "",
        "+1.2.3.4",
        "08.0.0.1",
        "4294967296",
        "0x",
        "1.2.3.256",
        "10.0.0.1#53",
        "::g",
        "fe80::1::",
        "10.16777216",
        "99999999999999999999",
    ] {
        assert_eq!(ResolvConf::parse(&format!("nameserver {none}\n")).servers, [], "{none}");
    }
    read(
        "nameserver ::1\nnameserver 2001:db8::1%eth0\nnameserver fe80::1%\nnameserver fe80::2%3\n",
        &expect![[r#"::1 2001:db8::1 fe80::1 fe80::2%3 |  | "#]],
    );
}

#[test]
fn what_is_kept_is_bounded() {
    let servers: String = (0..1000).map(|n| format!("nameserver 10.0.{}.{}\n", n / 250, n % 250)).collect();
    let words: String = (0..1000).map(|n| format!(" d{n}")).collect();
    let conf = ResolvConf::parse(&format!("{servers}search{words}\noptions{words}\noptions{words}\n"));
    assert_eq!((conf.servers.len(), conf.search.len(), conf.options.len()), (8, 32, 32));
    let long = "x".repeat(1 << 20);
    let conf = ResolvConf::parse(&format!("search {long} a\noptions {long} b\n{long}\nnameserver {long}\n"));
    assert_eq!((conf.search, conf.options), (vec!["a".to_string()], vec!["b".to_string()]));
}

#[test]
fn servers_are_asked_where_they_can_be_reached() {
    let of = |text: &str| {
        let conf = ResolvConf::parse(text);
        let found = conf.upstreams(|link| (link == "eth0").then_some(7));
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("nameserver 10.0.0.1\nnameserver 2001:db8::1\n"), "10.0.0.1:53 [2001:db8::1]:53");
    assert_eq!(
        of("nameserver fe80::1%eth0\nnameserver fe80::2%3\nnameserver fe80::3%gone\n"),
        "[fe80::1%7]:53 [fe80::2%3]:53"
    );
    // None named: the C library asks this host. Only ourselves named: there is nobody.
    assert_eq!(of("search a\n"), "127.0.0.1:53");
    assert_eq!(of("nameserver 127.0.0.11\nnameserver ::ffff:127.0.0.11\n"), "");
    assert_eq!(of("nameserver 127.0.0.11\nnameserver 127.0.0.53\n"), "127.0.0.53:53");
}

#[test]
fn a_container_gets_what_it_asked_for_else_what_the_host_has() {
    let host = "nameserver 10.0.0.1\nsearch corp.example lan\noptions timeout:1 edns0\n";
    composed(
        host,
        &[],
        &[],
        &expect![[r#"
        nameserver 127.0.0.11
        search corp.example lan
        options timeout:1 edns0 ndots:0
    "#]],
    );
    composed(
        host,
        &["a.org"],
        &["ndots:2"],
        &expect![[r#"
        nameserver 127.0.0.11
        search a.org
        options ndots:2
    "#]],
    );
    composed(
        host,
        &["."],
        &["rotate"],
        &expect![[r#"
        nameserver 127.0.0.11
        options rotate ndots:0
    "#]],
    );
    composed(
        "search .\noptions ndots:5 ndots: ndots:-1 ndots:x\n",
        &[],
        &[],
        &expect![[r#"
        nameserver 127.0.0.11
        options ndots:5
    "#]],
    );
    composed(
        "options ndots:99999999999\n",
        &[],
        &[],
        &expect![[r#"
        nameserver 127.0.0.11
        options ndots:0
    "#]],
    );
}

#[test]
fn nobody_writes_a_line_of_their_own() {
    let hostile = "a\nnameserver 6.6.6.6";
    composed(
        "search a;b c#d good\noptions x\u{7f} é ok\n",
        &[],
        &[],
        &expect![[r#"
        nameserver 127.0.0.11
        search good
        options ok ndots:0
    "#]],
    );
    composed(
        "",
        &[hostile],
        &[hostile],
        &expect![[r#"
        nameserver 127.0.0.11
        options ndots:0
    "#]],
    );
    let label = "x".repeat(64);
    let long = "x.".repeat(127) + "x";
    for domain in ["", "..", "a..b", ".a", "a b", "a\tb", "a\nb", "a\0b", "é", "a#b", hostile, &label, &long]
    {
        let reason = check_search(domain).expect_err(domain);
        assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
    }
    for domain in [".", "a", "a.", "corp.example", "_tcp.x", "x-1.y", &"x".repeat(63), &long[2..]] {
        assert_eq!(check_search(domain), Ok(()), "{domain}");
    }
    let long = "x".repeat(256);
    for option in [
        "", "a b", "a\nb", "a\rb", "a\0b", "#", ";x", "é", hostile, &long, "ndots:", "ndots:x", "ndots:-1",
        "ndots:+1", "ndots:1 ",
    ] {
        assert!(check_option(option).is_err(), "{option:?}");
    }
    for option in ["ndots:0", "timeout:3", "trust-ad", "use-vc", "edns0", "single-request-reopen"] {
        assert_eq!(check_option(option), Ok(()), "{option}");
    }
}
