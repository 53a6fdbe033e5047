//! Bad input on the real kernel: one clear error with its code, at once, and nothing changed.

use std::time::{Duration, Instant};

use bowline_api::Code;
use bowline_api::v1::{CreateEndpoint, CreateNetwork, Join, Netns, SubnetSpec};

use crate::world::said::Said;
use crate::world::{Snapshot, World};

/// What the contract says; a debug build on a busy machine needs some of it.
const AT_ONCE: Duration = Duration::from_millis(10);

fn wish(netns: &str, network: &str) -> CreateEndpoint {
    let netns = Netns { fd: None, path: Some(netns.into()) };
    let networks = vec![Join { network: network.into(), ..Join::default() }];
    CreateEndpoint { networks, ..CreateEndpoint::named("web", netns) }
}

/// Refused with this code, and the quickest of some tries is in time.
fn refused<T: std::fmt::Debug>(what: &str, code: Code, act: impl Fn() -> bowline_api::Result<T>) {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let asked = Instant::now();
        let error = act().expect_err(what);
        quickest = quickest.min(asked.elapsed());
        assert_eq!(error.code, code, "{what}: {error}");
    }
    assert!(quickest < AT_ONCE, "{what} took {quickest:?}");
}

pub(crate) fn what_is_no_namespace(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.host().shell(
        "mkdir /run/bad; cd /run/bad; echo text > file; mkdir dir; mkfifo fifo; ln -s /run/bad/file link
         python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"/run/bad/socket\")'
         ip netns add vanished; ln -s /run/netns/vanished gone; ip netns del vanished",
    );
    let before = Snapshot::of(w);
    let api = w.api();
    for (path, code, text) in [
        ("/run/bad/file", Code::InvalidNetns, "BWL-1301"),
        ("/run/bad/dir", Code::InvalidNetns, "BWL-1301"),
        ("/run/bad/fifo", Code::InvalidNetns, "BWL-1301"),
        ("/run/bad/socket", Code::InvalidNetns, "BWL-1301"),
        ("/run/bad/link", Code::InvalidNetns, "BWL-1301"),
        ("/dev/null", Code::InvalidNetns, "BWL-1301"),
        ("/proc/self/ns/mnt", Code::InvalidNetns, "BWL-1301"),
        ("/run/bad/gone", Code::NetnsGone, "BWL-1302"),
        ("/run/netns/never", Code::NetnsGone, "BWL-1302"),
        ("/proc/1/ns/net", Code::NetnsIsHost, "BWL-1303"),
    ] {
        refused(path, code, || api.create_endpoint(&wish(path, "front")));
        let exit = if code == Code::NetnsGone { 3 } else { 2 };
        w.tries(&format!("endpoint create web --netns {path} --network front")).refused(text, exit);
    }
    w.is_still(&before);
    assert_eq!(api.endpoints().unwrap(), []);
    assert_eq!(api.network("front").unwrap().subnets[0].used, 1);
    w.host().run("rm -rf /run/bad");
}

pub(crate) fn what_does_not_fit(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.container("web");
    let before = Snapshot::of(w);
    let api = w.api();
    let network = |name: &str, cidr: &str| CreateNetwork {
        subnets: vec![SubnetSpec::new(cidr)],
        ..CreateNetwork::named(name)
    };
    let join = |change: fn(&mut Join)| {
        let mut wish = wish("/run/netns/web", "front");
        change(&mut wish.networks[0]);
        wish
    };
    refused("name", Code::InvalidName, || api.create_network(&network("../x", "10.8.0.0/24")));
    refused("reserved", Code::ReservedName, || api.create_network(&network("host", "10.8.0.0/24")));
    refused("twice", Code::NetworkExists, || api.create_network(&network("front", "10.8.0.0/24")));
    refused("subnet", Code::InvalidSubnet, || api.create_network(&network("x", "10.8.0.1/24")));
    refused("overlap", Code::SubnetOverlap, || api.create_network(&network("x", "10.9.0.128/25")));
    refused("uplink", Code::SubnetOverlap, || api.create_network(&network("x", "192.0.2.0/24")));
    refused("mtu", Code::InvalidMtu, || {
        api.create_network(&CreateNetwork { mtu_bytes: Some(100), ..network("x", "10.8.0.0/24") })
    });
    refused("no network", Code::NetworkNotFound, || api.create_endpoint(&wish("/run/netns/web", "fromt")));
    refused("no endpoint", Code::EndpointNotFound, || api.endpoint("nobody"));
    refused("outside the subnet", Code::InvalidAddress, || {
        api.create_endpoint(&join(|j| j.ip = "10.8.0.5".parse().ok()))
    });
    refused("other family", Code::InvalidAddress, || {
        api.create_endpoint(&join(|j| j.ip6 = "fd00::5".parse().ok()))
    });
    refused("the gateway's", Code::AddressTaken, || {
        api.create_endpoint(&join(|j| j.ip = "10.9.0.1".parse().ok()))
    });
    refused("multicast mac", Code::InvalidMac, || {
        api.create_endpoint(&join(|j| j.mac = Some("01:00:5e:00:00:01".into())))
    });
    refused("interface", Code::InvalidInterface, || {
        api.create_endpoint(&join(|j| j.interface = Some("a/b".into())))
    });
    refused("remove nobody", Code::EndpointNotFound, || api.remove_endpoint("nobody"));
    refused("remove nothing", Code::NetworkNotFound, || api.remove_network("nothing"));
    w.is_still(&before);

    w.bowline("endpoint create web --netns web --network front");
    refused("in use", Code::NetworkInUse, || api.remove_network("front"));
    refused("exists", Code::EndpointExists, || api.create_endpoint(&wish("/run/netns/web", "front")));
}

/// A daemon that cannot start: what it says, and that nothing came of it.
#[track_caller]
fn cannot_start(w: &World, args: &[&str]) -> Said {
    let before = (w.host().run("ip -o addr"), w.host().run("nft list ruleset"), w.machine.mounts());
    let said = w.start_with(args).err().unwrap_or_else(|| panic!("a daemon started with {args:?}"));
    assert_eq!((w.host().run("ip -o addr"), w.host().run("nft list ruleset"), w.machine.mounts()), before);
    said
}

pub(crate) fn directories_that_cannot_be_used(w: &World) {
    w.host().shell(
        "mkdir /run/ro /run/full /run/tiny
         mount -t tmpfs -o ro tmpfs /run/ro
         mount -t tmpfs -o size=64k tmpfs /run/full; dd if=/dev/zero of=/run/full/all bs=4k status=none 2>/dev/null || true
         echo text > /run/file",
    );
    cannot_start(w, &["--state-dir", "/run/ro/state"]).refused("BWL-3005", 1);
    cannot_start(w, &["--state-dir", "/run/ro"]).refused("BWL-3005", 1);
    cannot_start(w, &["--run-dir", "/run/ro"]).refused("BWL-3005", 1);
    cannot_start(w, &["--state-dir", "/run/full"]).refused("BWL-3005", 1).naming(&["/run/full"]);
    cannot_start(w, &["--state-dir", "/run/file"]).refused("BWL-3005", 1);
    let long = format!("/run/{}/s", "l".repeat(120));
    cannot_start(w, &["--socket", &long]).refused("BWL-3004", 2).naming(&["107"]);
    cannot_start(w, &["--socket", "/run/file"]).refused("BWL-3004", 2);
    assert_eq!(w.host().run("cat /run/file"), "text\n");
    w.host().shell("umount /run/ro /run/full; rm -rf /run/ro /run/full /run/tiny /run/file");
    w.start();
}

pub(crate) fn a_configuration_that_is_wrong(w: &World) {
    w.host().shell("mkdir -p /etc/bowline; echo '[pools]\nipv4 = 7' > /etc/bowline/bowline.toml");
    cannot_start(w, &[]).refused("BWL-3008", 2);
    w.host().shell("printf '[pools]\nipv5 = 7\n' > /etc/bowline/bowline.toml");
    cannot_start(w, &[]).refused("BWL-3008", 2);
    cannot_start(w, &["--config", "/etc/bowline/none.toml"]).refused("BWL-3008", 2);
    w.host().shell("rm -r /etc/bowline");
    w.start();
}

pub(crate) fn a_state_that_is_damaged(w: &World) {
    w.start();
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    w.stop();
    w.host().run("cp /var/lib/bowline/state.redb /mnt/good");
    let store = "/var/lib/bowline/state.redb";
    for spoil in [
        format!("head -c 4096 /dev/urandom > {store}"),
        format!("truncate -s 1000 {store}"),
        format!(
            "cp /mnt/good {store}; printf 'damage' | dd of={store} bs=1 seek=20 conv=notrunc status=none"
        ),
        format!("rm {store}; mkdir {store}"),
    ] {
        w.host().shell(&spoil);
        let said = cannot_start(w, &[]);
        assert!(said.err.contains("BWL-3006") || said.err.contains("BWL-3005"), "after {spoil}: {said}");
        assert_eq!(said.code, 1);
        assert!(!said.err.contains("panicked"), "{said}");
        web.reaches("10.9.0.1");
        w.host().shell(&format!("rm -r {store}; cp /mnt/good {store}"));
    }
    w.start();
    w.has_no_drift();
    assert_eq!(w.api().endpoints().unwrap().len(), 1);
    web.reaches("10.9.0.1");
}

pub(crate) fn a_disk_that_fills_while_it_runs(w: &World) {
    w.host().shell("mkdir /run/small; mount -t tmpfs -o size=4m tmpfs /run/small");
    w.start_with(&["--state-dir", "/run/small"]).unwrap_or_else(|said| panic!("{said}"));
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    w.host().shell("dd if=/dev/zero of=/run/small/all bs=4k status=none 2>/dev/null || true");
    let before = (w.host().run("ip -o addr"), w.host().run("nft list ruleset"));
    let mut refused = None;
    for n in 0..200 {
        let said = w.tries(&format!("network create more{n}"));
        if said.code != 0 {
            refused = Some(said);
            break;
        }
        w.bowline(&format!("network rm more{n}"));
    }
    let said = refused.expect("a full disk is noticed sooner or later");
    said.refused("BWL-3005", 1);
    assert_eq!((w.host().run("ip -o addr"), w.host().run("nft list ruleset")), before);
    web.reaches("10.9.0.1");
    w.bowline("endpoint ls");
    w.host().run("rm /run/small/all");
    w.bowline("network create after --subnet 10.7.0.0/24");
    w.has_no_drift();
    w.removes_everything();
    w.stop();
    w.host().run("umount /run/small");
    w.host().run("rmdir /run/small");
    w.start();
}

pub(crate) fn nobody_is_not_root(w: &World) {
    let nobody = |line: &str| {
        let program = crate::world::daemon::BINARY;
        let copy = "/run/bowline-for-all";
        if !w.machine.path(copy).exists() {
            w.host().run(&format!("install -m 755 {program} {copy}"));
        }
        w.host().tries(&format!("setpriv --reuid 65534 --regid 65534 --clear-groups {copy} {line}"))
    };
    nobody("network ls").refused("BWL-3001", 5);
    nobody("network create front").refused("BWL-3001", 5);
    nobody("system info").refused("BWL-3001", 5);
    w.host().run("install -d -o 65534 /run/nobody");
    let said = nobody("daemon --run-dir /run/nobody --state-dir /run/nobody --socket /run/nobody/s");
    said.refused("BWL-3001", 5);
    assert!(nobody("version").out.contains("client"));
    nobody("--help").well();
    w.host().run("rm -rf /run/bowline-for-all /run/nobody");
}
