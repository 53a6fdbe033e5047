//! What can be told of hosts without starting one.

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::sync::Barrier;
use std::thread;

use bowline_api::Code;
use bowline_api::v1::{EndpointDns, Interface, Join};
use bowline_linux::process::{Identity, User};
use clap::{Args, FromArgMatches};
use expect_test::expect;

use super::end::signal;
use super::record::{Os, Phase, Spec, State, Wiring};
use super::run::{host_line, variables, wiring};
use super::shelf::{Shelf, Status};
use super::{files, life, list};
use crate::fixture::{Scratch, ports};
use crate::join::{self, JoinArgs};
use crate::publish::PublishArgs;
use crate::wishes::DnsArgs;

fn spec() -> Spec {
    Spec {
        name: "web".into(),
        command: vec![Os::from("true")],
        wiring: Wiring::Own(Vec::new()),
        hostname: None,
        env: Vec::new(),
        workdir: None,
        called_in: Some(Os::from("/")),
        user: None,
        add_hosts: Vec::new(),
        labels: [("tier".to_string(), "front".to_string())].into(),
        ports: PublishArgs::default(),
        resolver: DnsArgs::default(),
        detached: true,
        remove: false,
    }
}

fn interface(addresses: &[&str], aliases: &[&str]) -> Interface {
    Interface {
        name: "eth0".into(),
        network: "front".into(),
        network_id: "0".repeat(32),
        mac: "02:00:00:00:00:01".into(),
        vlan: None,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        gateways: Vec::new(),
        default_route: true,
        gw_priority: 0,
        mtu_bytes: 1500,
        rate_in_bits_per_s: None,
        rate_out_bits_per_s: None,
        aliases: aliases.iter().map(ToString::to_string).collect(),
        lease: None,
        host_link: "blabcdefghijk".into(),
        bridge: None,
        bridge_mac: None,
        routes: Vec::new(),
        sysctls: Default::default(),
    }
}

fn flags(words: &[&str]) -> JoinArgs {
    let command = JoinArgs::augment_args(clap::Command::new("run").no_binary_name(true));
    JoinArgs::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

fn wired(networks: &[&str], words: &[&str]) -> Result<Wiring, Code> {
    let joins = networks.iter().map(|text| join::parse(text).unwrap()).collect();
    wiring(joins, flags(words)).map_err(|error| error.code)
}

#[test]
fn a_command_is_on_lan_unless_told_otherwise() {
    let lan = Join { network: "lan".into(), ..Join::default() };
    assert_eq!(wired(&[], &[]), Ok(Wiring::Own(vec![lan.clone()])));
    let with_ip = Join { ip: Some("10.9.0.5".parse().unwrap()), ..lan };
    assert_eq!(wired(&[], &["--ip", "10.9.0.5"]), Ok(Wiring::Own(vec![with_ip])));
    assert_eq!(wired(&["none"], &[]), Ok(Wiring::Own(Vec::new())));
    assert_eq!(wired(&["host"], &[]), Ok(Wiring::Host));
}

#[test]
fn a_rate_is_of_each_network_that_has_none_of_its_own() {
    let Ok(Wiring::Own(joins)) = wired(&["front:rate-in=1mbit", "back"], &["--rate-in", "10mbit"]) else {
        panic!("both are networks");
    };
    let rates: Vec<_> =
        joins.iter().map(|join| (join.rate_in_bits_per_s, join.rate_out_bits_per_s)).collect();
    assert_eq!(rates, [(Some(1_000_000), None), (Some(10_000_000), None)]);
}

#[test]
fn networks_that_do_not_go_together_are_refused() {
    for (networks, words) in [
        (&["none", "front"][..], &[][..]),
        (&["front", "host"], &[]),
        (&["host", "host"], &[]),
        (&["none"], &["--ip", "10.9.0.5"]),
        (&["host:alias=x"], &[]),
        (&["front", "back"], &["--alias", "x"]),
        (&["host"], &["--rate-in", "10mbit"]),
    ] {
        assert_eq!(wired(networks, words), Err(Code::InvalidOption), "{networks:?} {words:?}");
    }
}

#[test]
fn variables_are_given_or_taken_from_the_caller() {
    let read = |wishes: &[&str]| variables(&wishes.iter().map(OsString::from).collect::<Vec<_>>());
    let path = std::env::var_os("PATH").unwrap();
    assert_eq!(
        read(&["A=b=c", "EMPTY=", "PATH", "NOT_SET_ANYWHERE"]).unwrap(),
        [(Os::from("A"), Os::from("b=c")), (Os::from("EMPTY"), Os::from("")), (Os::from("PATH"), Os(path))]
    );
    for bad in ["", "=x"] {
        assert_eq!(read(&[bad]).unwrap_err().code, Code::InvalidOption, "{bad:?}");
    }
}

#[test]
fn of_several_values_of_a_variable_the_last_counts() {
    let pair = |key: &str, value: &str| (OsString::from(key), OsString::from(value));
    let user = User { uid: 33, gid: 33, groups: vec![], name: Some("web".into()), home: Some("/srv".into()) };
    let extra =
        [(Os::from("A"), Os::from("1")), (Os::from("A"), Os::from("2")), (Os::from("USER"), Os::from("me"))];
    let env =
        life::environment(vec![pair("HOME", "/root"), pair("A", "0"), pair("B", "b")], Some(&user), &extra);
    let wanted =
        [pair("B", "b"), pair("HOME", "/srv"), pair("LOGNAME", "web"), pair("A", "2"), pair("USER", "me")];
    assert_eq!(env, wanted);
    assert_eq!(life::environment(vec![pair("HOME", "/root")], None, &[]), [pair("HOME", "/root")]);
}

#[test]
fn lines_for_hosts_take_both_families() {
    let line = |text: &str| host_line(text).map(|(name, ip)| format!("{name} {ip}"));
    assert_eq!(line("db:10.9.0.5").as_deref(), Ok("db 10.9.0.5"));
    assert_eq!(line("db:fd00::5").as_deref(), Ok("db fd00::5"));
    assert_eq!(line("db=[fd00::5]").as_deref(), Ok("db fd00::5"));
    for bad in ["db", "db:", ":10.9.0.5", "db:red", "a b:10.9.0.5", "db:10.9.0.5\n1.1.1.1 x"] {
        assert!(line(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_command_finds_itself_by_all_its_names() {
    let mut wish = spec();
    wish.add_hosts.push(("db".into(), "10.8.0.5".parse().unwrap()));
    let two =
        [interface(&["10.9.0.2/24", "fd00:9::2/64"], &["api", "web"]), interface(&["10.8.0.2/24"], &[])];
    expect![[r#"
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        ff02::1	ip6-allnodes
        ff02::2	ip6-allrouters
        10.9.0.2	box web api
        fd00:9::2	box web api
        10.8.0.2	box web
        10.8.0.5	db
    "#]]
    .assert_eq(&files::hosts(&wish, "box", &two));
    expect![[r#"
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        ff02::1	ip6-allnodes
        ff02::2	ip6-allrouters
        127.0.1.1	web
    "#]]
    .assert_eq(&files::hosts(&spec(), "web", &[]));
}

#[test]
fn what_was_asked_of_a_resolver_goes_in_place_of_what_the_host_says_of_that() {
    let here = "# made by hand\nnameserver 1.1.1.1\nsearch example.org\noptions ndots:2\n";
    let check = |asked: DnsArgs, wanted: &str| assert_eq!(files::resolver(&asked, here), wanted);
    check(DnsArgs::default(), here);
    check(
        DnsArgs {
            servers: vec!["10.9.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            ..DnsArgs::default()
        },
        "nameserver 10.9.0.1\nnameserver fd00::1\nsearch example.org\noptions ndots:2\n",
    );
    check(
        DnsArgs {
            search: vec!["a.example".into(), "b.example".into()],
            options: vec!["ndots:1".into(), "rotate".into()],
            ..DnsArgs::default()
        },
        "nameserver 1.1.1.1\nsearch a.example b.example\noptions ndots:1 rotate\n",
    );
    let none = DnsArgs { search: vec![".".into()], ..DnsArgs::default() };
    check(none, "nameserver 1.1.1.1\noptions ndots:2\n");
}

#[test]
fn where_the_daemon_answers_for_names_the_file_is_what_it_says() {
    let scratch = Scratch::new("resolv");
    let shelf = Shelf::new(scratch.path("hosts"));
    let mut wish = spec();
    wish.resolver.servers.push("192.0.2.53".parse().unwrap());
    let state = State::new(Identity::this().unwrap());
    let place = shelf.claim(&"web".parse().unwrap(), &wish, &state).unwrap();
    let written = |dns: Option<&EndpointDns>| {
        files::write(&place, &wish, "web", &[], dns).unwrap();
        std::fs::read_to_string(place.file("resolv.conf")).unwrap()
    };
    let dns = EndpointDns { resolv_conf: "nameserver 127.0.0.11\n".into(), ..EndpointDns::default() };
    assert_eq!(written(Some(&dns)), "nameserver 127.0.0.11\n");
    assert!(written(None).starts_with("nameserver 192.0.2.53\n"));
}

#[test]
fn a_file_that_a_command_has_open_follows_where_it_is_answered() {
    let scratch = Scratch::new("follow-resolv");
    let shelf = Shelf::new(scratch.path("hosts"));
    let mut wish = spec();
    wish.resolver.servers.push("192.0.2.53".parse().unwrap());
    let place = shelf.claim(&"web".parse().unwrap(), &wish, &State::new(Identity::this().unwrap())).unwrap();
    let dns = EndpointDns { resolv_conf: "nameserver 127.0.0.11\n".into(), ..EndpointDns::default() };
    files::follow(&place, Some(&dns)).unwrap();
    assert!(!place.file("resolv.conf").exists(), "on the host's own network there is none");
    files::write(&place, &wish, "web", &[], None).unwrap();
    let mut open = std::fs::File::open(place.file("resolv.conf")).unwrap();
    let mut text = || {
        let mut text = String::new();
        open.rewind().unwrap();
        open.read_to_string(&mut text).unwrap();
        text
    };
    assert!(text().starts_with("nameserver 192.0.2.53\n"));
    files::follow(&place, Some(&dns)).unwrap();
    assert_eq!(text(), "nameserver 127.0.0.11\n");
    files::follow(&place, None).unwrap();
    assert!(text().starts_with("nameserver 192.0.2.53\n"));
}

#[test]
fn signals_have_names_and_numbers() {
    for (text, number) in [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigkill", 9),
        ("1", 1),
        ("64", 64),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("SYS", 31),
    ] {
        assert_eq!(signal(text), Ok(number), "{text}");
    }
    for text in ["", "0", "65", "-9", "NOPE", "SIG", "RTMIN+31", "RTMIN3"] {
        assert!(signal(text).is_err(), "{text:?}");
    }
}

#[test]
fn of_many_who_claim_a_name_exactly_one_has_it() {
    let scratch = Scratch::new("claim");
    let shelf = Shelf::new(scratch.path("hosts"));
    let name = "web".parse().unwrap();
    let state = State::new(Identity::this().unwrap());
    for _ in 0..50 {
        let start = Barrier::new(4);
        let won = thread::scope(|scope| {
            let claim = || {
                start.wait();
                shelf.claim(&name, &spec(), &state).map_err(|error| error.code)
            };
            let claims: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(won.iter().filter(|claim| claim.is_ok()).count(), 1);
        assert_eq!(won.iter().filter(|claim| matches!(claim, Err(Code::EndpointExists))).count(), 3);
        shelf.at(&name).forget().unwrap();
    }
    assert_eq!(shelf.list().unwrap().len(), 0);
    let left = std::fs::read_dir(scratch.path("hosts")).unwrap().count();
    assert_eq!(left, 0, "the losers leave nothing");
}

#[test]
fn a_host_is_kept_as_it_was_written_down() {
    let scratch = Scratch::new("shelf");
    let shelf = Shelf::new(scratch.path("hosts"));
    let this = Identity::this().unwrap();
    let mut state = State::new(this);
    let place = shelf.claim(&"web".parse().unwrap(), &spec(), &state).unwrap();
    assert_eq!((place.spec().unwrap(), place.state().unwrap()), (spec(), state.clone()));
    assert_eq!(place.status().unwrap(), Status::Starting);
    state.phase = Phase::Running;
    place.record(&state).unwrap();
    assert_eq!(shelf.find("web").unwrap().status().unwrap(), Status::Running);
    // Whoever watched over it has gone, and the pid is somebody else's.
    state.supervisor.start += 1;
    place.record(&state).unwrap();
    assert_eq!(place.status().unwrap(), Status::Dead);
    assert!(place.supervisor().unwrap().is_none());
    state.phase = Phase::Exited;
    state.exit_code = Some(7);
    place.record(&state).unwrap();
    assert_eq!(place.status().unwrap(), Status::Exited(7));
    assert_eq!(shelf.list().unwrap().len(), 1);
    let error = shelf.claim(&"web".parse().unwrap(), &spec(), &state).unwrap_err();
    assert_eq!((error.code, error.fix.as_deref()), (Code::EndpointExists, Some("bowline rm web")));
    place.forget().unwrap();
    place.forget().unwrap();
    assert_eq!(shelf.find("web").unwrap_err().code, Code::EndpointNotFound);
}

#[test]
fn what_is_no_name_is_no_path() {
    let scratch = Scratch::new("path");
    let shelf = Shelf::new(scratch.path("hosts"));
    assert!(shelf.list().unwrap().is_empty(), "a shelf that is not there is empty");
    for text in ["..", "../hosts", ".new.web.1.0", "/etc", "", "a/b"] {
        assert_eq!(shelf.find(text).unwrap_err().code, Code::EndpointNotFound, "{text:?}");
    }
}

#[test]
fn what_an_older_version_wrote_down_is_a_host_without_ports_or_wishes() {
    let mut old = serde_json::to_value(spec()).unwrap();
    for key in ["ports", "resolver"] {
        old.as_object_mut().unwrap().remove(key).unwrap();
    }
    old["dns"] = serde_json::json!(["192.0.2.53"]);
    assert_eq!(serde_json::from_value::<Spec>(old).unwrap(), spec());
    let state = State::new(Identity::this().unwrap());
    let mut old = serde_json::to_value(&state).unwrap();
    old.as_object_mut().unwrap().remove("ports").unwrap();
    assert_eq!(serde_json::from_value::<State>(old).unwrap(), state);
}

#[test]
fn where_a_command_is_reached_is_one_line() {
    let mut state = State::new(Identity::this().unwrap());
    state.interfaces = vec![interface(&["10.9.0.2/24", "fd00:9::2/64"], &[])];
    state.ports = ports();
    assert_eq!(
        list::line("web", &state),
        "web 10.9.0.2 fd00:9::2 (front) *:8080->80/tcp 127.0.0.1:5300-5310->53-63/udp [::1]:8080->80/tcp 443/tcp"
    );
}

#[test]
fn a_damaged_record_says_how_to_get_rid_of_it() {
    let scratch = Scratch::new("damaged");
    let shelf = Shelf::new(scratch.path("hosts"));
    let place =
        shelf.claim(&"web".parse().unwrap(), &spec(), &State::new(Identity::this().unwrap())).unwrap();
    place.put("state.json", b"{").unwrap();
    let error = place.state().unwrap_err();
    assert_eq!(
        (error.code, error.fix.as_deref()),
        (Code::StateCorrupt, Some("remove what is left of it: bowline rm -f web"))
    );
}
