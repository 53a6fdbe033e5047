//! Other firewalls on the same host: what they drop is named with what helps, and of theirs nothing is changed.

mod firewalls;

use bowline_api::v1::{
    CreateEndpoint, CreateNetwork, Join, Netns, Obstacle, Publish, PublishSpec, SubnetSpec,
};

use crate::world::World;
use crate::world::background::Background;
use crate::world::place::Place;
use crate::world::said::{assert_same, eventually, only_if};
use firewalls::{DOCKER, DOCKER_NFTABLES, FIREWALLD, Firewall, KUBERNETES, LIBVIRT, PLAIN, UFW};

/// All that is not ours, rule by rule with their numbers, but without what they counted.
const FOREIGN: &str = "
nft list tables | grep -v ' bowline$' | while read -r table; do nft -s -a list $table; done
for save in iptables-save ip6tables-save; do $save 2>&- | sed -E '/^#/d; s/\\[[0-9:]+\\]//'; done
";

const CLEAR: &str = "nft list tables | grep -v ' bowline$' | while read -r table; do nft delete $table; done";

/// A network with a member that has published a port, and somebody outside to talk to.
struct Town<'w> {
    world: &'w World,
    web: Place<'w>,
    _servers: [Background; 2],
}

fn town(w: &World) -> Town<'_> {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.attach("web", "front", "-p 8080:80");
    Town { world: w, web, _servers: [web.serves(80), w.outside().serves(90)] }
}

impl Town<'_> {
    #[track_caller]
    fn works(&self) {
        assert_eq!(obstacles(self.world), []);
        for (host, outside) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            assert_eq!(self.world.outside().seen_by(host, 8080), outside);
            assert_eq!(self.web.seen_by(outside, 90), host);
        }
    }

    /// The chains that drop are named, and by doing what is said everything works.
    #[track_caller]
    fn is_told_what_helps(&self, firewall: &Firewall) {
        let named = obstacles(self.world);
        let mut chains: Vec<_> = named.iter().map(|o| (o.table.as_str(), o.chain.as_str())).collect();
        // One chain may drop different things for different reasons.
        chains.dedup();
        assert_eq!(chains, firewall.in_the_way);
        // No firewall here lets pass what a member sends.
        for outside in ["192.0.2.2", "2001:db8::2"] {
            self.web.does_not_fetch(outside, 90);
        }
        let said = self.world.bowline("system firewall").out;
        for line in said.lines().filter_map(|line| line.trim().strip_prefix("fix ")) {
            self.world.host().shell(&format!("PATH=/mnt/tools:$PATH\n{line}"));
        }
        self.works();
    }
}

fn obstacles(w: &World) -> Vec<Obstacle> {
    w.api().firewall().expect("ask for the firewall").obstacles
}

/// The log says it as well.
#[track_caller]
fn logged(w: &World, firewall: &Firewall) {
    let log = w.log();
    for (table, chain) in firewall.in_the_way {
        let says = |line: &&str| {
            line.contains("another firewall is in the way")
                && line.contains(&format!("table={table} chain={chain} "))
        };
        assert!(log.lines().any(|line| says(&line)), "nothing of {table} {chain} in the log");
    }
}

fn foreign(w: &World) -> String {
    w.host().shell(FOREIGN)
}

#[track_caller]
fn clears(w: &World) {
    w.removes_everything();
    w.host().shell(CLEAR);
}

fn was_there_before(w: &World, firewall: &Firewall) {
    w.host().shell(firewall.load);
    let before = foreign(w);
    let town = town(w);
    logged(w, firewall);
    if firewall.in_the_way.is_empty() {
        town.works();
        w.restart();
        town.works();
        assert_same("the other firewall", &before, &foreign(w));
    } else {
        assert_same("the other firewall", &before, &foreign(w));
        town.is_told_what_helps(firewall);
    }
    clears(w);
}

fn comes_later(w: &World, firewall: &Firewall) {
    let town = town(w);
    town.works();
    w.host().shell(firewall.load);
    let before = foreign(w);
    // It changes nothing of others', but says who is in the way.
    w.bowline("system repair");
    logged(w, firewall);
    assert_same("the other firewall", &before, &foreign(w));
    if firewall.in_the_way.is_empty() {
        town.works();
    } else {
        town.is_told_what_helps(firewall);
    }
    clears(w);
}

pub(crate) fn docker_that_was_there_lets_us_pass_at_once(w: &World) {
    w.host().shell(DOCKER.load);
    let before = foreign(w);
    let town = town(w);
    town.works();
    // What we added is in the one chain that is meant for it, and says whose it is.
    let now = foreign(w);
    let added: Vec<&str> = now.lines().filter(|line| !before.contains(line)).collect();
    let ours = |line: &&str| line.contains("bl-front") && line.contains("bowline");
    assert!(!added.is_empty() && added.iter().all(ours), "{added:#?}");
    let saved = w.host().run("iptables-save -t filter");
    for way in ["-i", "-o"] {
        let rule = format!("-A DOCKER-USER {way} bl-front -m comment --comment bowline -j ACCEPT");
        assert!(saved.contains(&rule), "no {rule} in {saved}");
    }
    w.restart();
    town.works();
    assert_same("Docker's chains", &now, &foreign(w));
    w.removes_everything();
    assert_same("Docker's chains", &before, &foreign(w));
    clears(w);
}

pub(crate) fn docker_that_comes_later_is_named(w: &World) {
    let town = town(w);
    w.host().shell(DOCKER.load);
    town.is_told_what_helps(&DOCKER);
    clears(w);
}

pub(crate) fn docker_that_comes_later_is_asked_by_a_repair(w: &World) {
    let town = town(w);
    for _ in 0..2 {
        w.host().shell(DOCKER.load);
        assert_eq!(obstacles(w).len(), 2);
        w.outside().does_not_fetch("192.0.2.1", 8080);
        w.bowline("system repair");
        town.works();
        w.host().shell(CLEAR);
    }
    town.works();
}

pub(crate) fn dockers_nftables_that_were_there(w: &World) {
    was_there_before(w, &DOCKER_NFTABLES);
}

pub(crate) fn dockers_nftables_that_come_later(w: &World) {
    comes_later(w, &DOCKER_NFTABLES);
}

pub(crate) fn ufw_that_was_there(w: &World) {
    was_there_before(w, &UFW);
}

pub(crate) fn ufw_that_comes_later(w: &World) {
    comes_later(w, &UFW);
}

pub(crate) fn firewalld_that_was_there(w: &World) {
    was_there_before(w, &FIREWALLD);
}

pub(crate) fn firewalld_that_comes_later(w: &World) {
    comes_later(w, &FIREWALLD);
}

pub(crate) fn libvirt_that_was_there(w: &World) {
    was_there_before(w, &LIBVIRT);
}

pub(crate) fn libvirt_that_comes_later(w: &World) {
    comes_later(w, &LIBVIRT);
}

pub(crate) fn kubernetes_that_was_there(w: &World) {
    was_there_before(w, &KUBERNETES);
}

pub(crate) fn kubernetes_that_comes_later(w: &World) {
    comes_later(w, &KUBERNETES);
}

pub(crate) fn a_firewall_of_nobodys_that_was_there(w: &World) {
    was_there_before(w, &PLAIN);
}

pub(crate) fn a_firewall_of_nobodys_that_comes_later(w: &World) {
    comes_later(w, &PLAIN);
}

/// What a network does not let in is no loss, whoever drops it.
pub(crate) fn only_what_we_let_pass_is_spoken_of(w: &World) {
    w.host().shell(PLAIN.load);
    let how = |w: &World| obstacles(w).into_iter().map(|o| o.how).collect::<Vec<_>>().join("; ");
    w.bowline("network create hidden --internal --subnet 10.7.0.0/24");
    assert_eq!(how(w), "");
    w.bowline("network create front --subnet 10.9.0.0/24");
    // A rule of the chain lets one port pass, so some of what comes from outside may not be dropped.
    let (out, published) =
        ("drops connections from bl-front to uplink", "may drop published ports of bl-front from uplink");
    let policy = "by its policy";
    assert_eq!(how(w), format!("{out}, {policy}; {published}, {policy}"));
    w.bowline("network update front --isolation open");
    let direct = "direct connections to bl-front from uplink";
    assert_eq!(how(w), format!("{out}, {policy}; {published}, {direct}, {policy}"));
    assert!(w.bowline("port check 8080").err.contains("inet filter forward"), "it is a warning, too");
    w.removes_everything();
    assert_eq!(how(w), "");
    clears(w);
}

const BUS: &str = "
mkdir -p /run/dbus
cat > /run/bus.conf <<'END'
<busconfig><type>custom</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*'/>
<allow receive_sender='*'/></policy></busconfig>
END
";

/// A firewalld that runs is asked over the bus, and again each time that it has forgotten.
pub(crate) fn firewalld_that_runs_has_our_bridges_in_a_zone(w: &World) {
    w.host().shell(&format!("{BUS}{}", FIREWALLD.load));
    let mut bus =
        w.host().starts("dbus-daemon --nofork --nopidfile --print-address=1 --config-file=/run/bus.conf");
    bus.wait_for_line("unix:path=");
    let starts = || {
        let mut command = w.host().command("python3");
        command.args(["-c", include_str!("coexist/firewalld.py")]);
        let mut firewalld = Background::start("firewalld".into(), &mut command);
        firewalld.wait_for_line("ready");
        firewalld
    };
    let trusts = |round: u32| {
        let rule = format!("iifname \"bl-front\" goto filter_FWD_trusted comment \"{round}\"");
        eventually("the bridge is in its zone", || {
            let zones = w.host().run("nft list chain inet firewalld filter_FORWARD_ZONES");
            only_if(zones.contains(&rule), zones)
        });
    };
    let firewalld = starts();
    let before = foreign(w);
    let town = town(w);
    trusts(1);
    town.works();
    for round in 2..5 {
        firewalld.signal("HUP");
        trusts(round);
        town.works();
    }
    drop(firewalld);
    let again = starts();
    trusts(1);
    town.works();
    w.restart();
    town.works();
    again.signal("HUP");
    trusts(2);
    w.removes_everything();
    w.host().run("nft list chain inet firewalld filter_FORWARD_ZONES");
    let plain =
        |text: &str| text.lines().map(|l| l.split(" # ").next().unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(plain(&foreign(w)), plain(&before));
    drop(again);
    drop(bus);
    w.host().run("rm -rf /run/dbus /run/bus.conf");
    clears(w);
}

const ROUNDS: usize = 50;
const PORTS_A_ROUND: u16 = 7;

/// Twenty operations a round.
fn works_a_round(w: &World, round: usize) {
    let api = w.api();
    let subnet = SubnetSpec::new(format!("10.{}.0.0/24", 10 + round));
    let wish = CreateNetwork { subnets: vec![subnet], ipv6: true, ..CreateNetwork::named("front") };
    api.create_network(&wish).expect("create a network");
    for name in ["web", "db"] {
        let netns = Netns { fd: None, path: Some(format!("/run/netns/{name}")) };
        let join = Join { network: "front".into(), ..Join::default() };
        let wish = CreateEndpoint { networks: vec![join], ..CreateEndpoint::named(name, netns) };
        api.create_endpoint(&wish).expect("create an endpoint");
    }
    for port in 0..PORTS_A_ROUND {
        let spec = PublishSpec { host_port: Some(8000 + port), port: 80, ..PublishSpec::default() };
        let publish = Publish { ports: vec![spec] };
        api.publish("web", &publish).expect("publish a port");
        api.unpublish("web", &publish).expect("take a port back");
    }
    for name in ["web", "db"] {
        api.remove_endpoint(name).expect("remove an endpoint");
    }
    eventually("the network can be removed", || api.remove_network("front").map_err(|e| e.to_string()));
}

pub(crate) fn they_are_the_same_after_a_thousand_operations(w: &World) {
    for firewall in [&DOCKER, &DOCKER_NFTABLES, &FIREWALLD, &PLAIN] {
        w.host().shell(firewall.load);
    }
    // Beside Docker's, in the same tables.
    for firewall in [&LIBVIRT, &KUBERNETES] {
        let load = firewall.load.replace("iptables-restore", "iptables-restore --noflush");
        w.host().shell(&load.replace(":FORWARD ACCEPT", ":FORWARD DROP"));
    }
    w.container("web");
    w.container("db");
    let before = foreign(w);
    for part in ["DOCKER-USER", "LIBVIRT_FWI", "KUBE-FORWARD", "docker-bridges", "firewalld", "inet filter"] {
        assert!(before.contains(part), "{part} is not loaded: {before}");
    }
    for round in 0..ROUNDS {
        works_a_round(w, round);
    }
    assert_same("what is not ours", &before, &foreign(w));
    clears(w);
}
