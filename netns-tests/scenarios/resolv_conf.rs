//! The file that leads programs to the resolver: what it says, where it is, and whose it is.

use bowline_api::v1::{CreateEndpoint, DnsWishes, Join, Netns};

use crate::world::World;
use crate::world::said::{eventually, only_if};

fn front(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
}

pub(crate) fn the_file_says_what_the_host_says_or_was_asked_for(w: &World) {
    front(w);
    let lines = "# by hand\nnameserver 192.0.2.2\nsearch corp.example lab.example\noptions timeout:1 edns0\n";
    std::fs::write(w.machine.path("/etc/resolv.conf"), lines).unwrap();
    let read = |options: &str| {
        let line = format!("run --network front {options} -- cat /etc/resolv.conf");
        let said = w.bowline(&line).out;
        let words = |first: &str| -> Vec<String> {
            let found: Vec<_> = said.lines().filter(|l| l.split(' ').next() == Some(first)).collect();
            assert!(found.len() < 2, "{first} is said twice in {said}");
            found.iter().flat_map(|l| l.split(' ').skip(1)).map(str::to_string).collect()
        };
        (words("nameserver"), words("search"), words("options"))
    };
    // The file is followed, and is heard of a moment after it is written.
    eventually("the host's words are taken over", || {
        let said = read("");
        let words = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let search = words(&["corp.example", "lab.example"]);
        let wanted = (words(&["127.0.0.11"]), search, words(&["timeout:1", "edns0", "ndots:0"]));
        only_if(said == wanted, said)
    });
    let (server, search, options) = read(
        "--dns 192.0.2.9 --dns-search a.example --dns-search b.example --dns-opt ndots:3 --dns-opt rotate",
    );
    assert_eq!(server, ["127.0.0.11"], "its own server is asked for it, not by it");
    assert_eq!(search, ["a.example", "b.example"]);
    assert_eq!(options, ["ndots:3", "rotate"]);
    assert_eq!(read("--dns-search .").1, [""; 0]);

    // The same for whoever comes in by `ip netns exec`, and for who asks.
    w.attach("web", "front", "--dns-search a.example --dns-opt ndots:1");
    let inside = w.host().run("ip netns exec web cat /etc/resolv.conf");
    assert!(inside.contains("nameserver 127.0.0.11\nsearch a.example\noptions ndots:1"), "{inside}");
    assert_eq!(w.api_json("/v1/endpoints/web")["dns"]["resolv_conf"], inside.as_str());
    let host = w.host().run("cat /etc/resolv.conf");
    assert_eq!(host, lines, "the host's own is left alone");
}

pub(crate) fn search_domains_lead_to_names_of_ours(w: &World) {
    front(w);
    w.attach("db", "front", "");
    let script = "getent ahostsv4 db";
    for options in ["--dns-search front", "--dns-search nowhere.example --dns-opt ndots:5", ""] {
        let line = format!("run --network front {options} -- {script}");
        let said = w.bowline(&line);
        assert!(said.out.starts_with("10.9.0.2"), "{said}");
    }
}

/// What an administrator wrote for a namespace stands, before and after.
pub(crate) fn a_file_that_was_there_is_left_alone(w: &World) {
    front(w);
    w.host().shell("mkdir -p /etc/netns/web; echo nameserver 192.0.2.77 > /etc/netns/web/resolv.conf");
    let web = w.attach("web", "front", "");
    let read = || w.host().run("cat /etc/netns/web/resolv.conf");
    assert_eq!(read(), "nameserver 192.0.2.77\n");
    assert_eq!(web.digs("web").found(), ["10.9.0.2"]);
    w.restart();
    w.bowline("endpoint rm web");
    assert_eq!(read(), "nameserver 192.0.2.77\n");
    w.host().run("rm -r /etc/netns/web");
}

pub(crate) fn what_was_written_over_ours_is_left_alone(w: &World) {
    front(w);
    w.host().shell("mkdir -p /etc/netns/web; echo 10.9.0.77 old > /etc/netns/web/hosts");
    w.attach("web", "front", "");
    assert!(w.host().run("cat /etc/netns/web/resolv.conf").starts_with("nameserver 127.0.0.11"));
    w.bowline("endpoint rm web");
    assert_eq!(w.host().run("ls /etc/netns/web"), "hosts\n", "ours goes, what is not ours stays");
    w.bowline("endpoint create web --netns web --network front");
    w.host().shell("cd /etc/netns/web; echo nameserver 192.0.2.77 > new; mv new resolv.conf");
    w.restart();
    w.bowline("network disconnect front web");
    w.bowline("network connect front web");
    w.bowline("endpoint rm web");
    assert_eq!(w.host().run("cat /etc/netns/web/resolv.conf"), "nameserver 192.0.2.77\n");
    w.host().run("rm -r /etc/netns/web");
}

/// Whoever writes a domain does not write a server.
pub(crate) fn nothing_is_smuggled_into_it(w: &World) {
    front(w);
    w.container("web");
    let api = w.api();
    let wish = |dns: DnsWishes| {
        let netns = Netns { fd: None, path: Some("/run/netns/web".into()) };
        let join = Join { network: "front".into(), ..Join::default() };
        CreateEndpoint { networks: vec![join], dns, ..CreateEndpoint::named("web", netns) }
    };
    let evil = "a.example\nnameserver 203.0.113.66";
    let long = format!("{}.example", "a".repeat(64));
    for text in
        [evil, "a b", "a\tb", "a\rb", "a\0b", "", "a..b", "a;b", "a#b", long.as_str(), "bücher.example"]
    {
        let error =
            api.create_endpoint(&wish(DnsWishes { search: vec![text.into()], ..DnsWishes::default() }));
        assert_eq!(error.expect_err(text).code.to_string(), "BWL-1114", "{text:?}");
    }
    for text in [evil, "ndots:1 rotate", "rotate\n", "", "a\0b"] {
        let error =
            api.create_endpoint(&wish(DnsWishes { options: vec![text.into()], ..DnsWishes::default() }));
        assert_eq!(error.expect_err(text).code.to_string(), "BWL-1114", "{text:?}");
    }
    assert_eq!(api.endpoints().unwrap(), []);
    assert!(!w.machine.path("/etc/netns/web").exists());
}
