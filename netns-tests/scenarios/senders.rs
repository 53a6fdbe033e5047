//! What a member may say about who it is. Mallory has every right in its own namespace; web and app are its neighbours.

use crate::world::World;
use crate::world::place::{ANSWER, Place, SILENCE};

fn town<'w>(w: &'w World, options: &str) -> (Place<'w>, Place<'w>, Place<'w>) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let (web, app) = (w.attach("web", "front", ""), w.attach("app", "front", ""));
    (web, app, w.attach("mallory", "front", options))
}

/// Forgets where its neighbours are, so that they are looked for again.
fn forgets(place: Place<'_>) {
    place.run("ip neigh flush all");
}

pub(crate) fn an_address_of_another_is_not_believed(w: &World) {
    let (_web, app, mallory) = town(w, "");
    app.reaches("10.9.0.4");
    mallory.shell("ip addr add 10.9.0.99/24 dev eth0; ip addr add fd00:9::99/64 dev eth0 nodad");
    for (own, claimed) in [("10.9.0.3", "10.9.0.99"), ("fd00:9::3", "fd00:9::99")] {
        let said = mallory.ping(SILENCE, &format!("-I {claimed} {own}"));
        assert!(said.code != 0, "wanted silence from {said}");
        forgets(app);
        app.does_not_reach(claimed);
    }
    // Its own addresses are as good as ever.
    mallory.reaches("10.9.0.3");
    mallory.reaches("fd00:9::3 -I fd00:9::4");
    mallory.reaches("192.0.2.2");
}

pub(crate) fn a_neighbours_address_cannot_be_taken_over(w: &World) {
    let (web, app, mallory) = town(w, "");
    let (_web, _mallory) = (web.serves(80), mallory.serves(81));
    mallory.shell(
        "sysctl -qw net.ipv6.conf.eth0.accept_dad=0
         ip addr add 10.9.0.2/24 dev eth0; ip addr add fd00:9::2/64 dev eth0 nodad
         ip addr add 10.9.0.1/24 dev eth0; ip addr add fd00:9::1/64 dev eth0 nodad",
    );
    let before = (app.run("ip -j neigh"), w.host().run("bridge -j fdb show br bl-front"));
    assert!(!before.0.is_empty());
    for _ in 0..5 {
        forgets(app);
        w.host().run("ip neigh flush dev bl-front");
        for address in ["10.9.0.2", "fd00:9::2"] {
            app.fetches(address, 80);
            app.does_not_fetch(address, 81);
            w.host().fetches(address, 80);
        }
        app.reaches("192.0.2.2");
    }
    assert_eq!(w.host().run("bridge -j fdb show br bl-front"), before.1);
}

pub(crate) fn another_mac_is_not_believed(w: &World) {
    let (_web, app, mallory) = town(w, "");
    mallory.reaches("10.9.0.3");
    mallory.shell("ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up");
    for address in ["10.9.0.3", "10.9.0.1"] {
        mallory.does_not_reach(address);
    }
    let learned = w.host().run("bridge fdb show br bl-front");
    assert!(!learned.contains("02:00:00:00:00:99"), "{learned}");
    app.reaches("10.9.0.2");
    w.bowline("endpoint rm mallory");
}

pub(crate) fn a_member_is_no_dhcp_server(w: &World) {
    let (_web, app, mallory) = town(w, "");
    let _client = app.answers_udp("app", 68);
    mallory.asks_udp("10.9.0.3", 68);
    for (address, port) in [("10.9.0.3", 67), ("fd00:9::3", 547)] {
        let said = mallory.asks_udp_from(port, address, 68);
        assert!(said.code != 0, "port {port}: {said}");
    }
    assert_eq!(mallory.asks_udp_from(66, "10.9.0.3", 68).code, 0);
}

pub(crate) fn who_routes_for_others_is_let_off(w: &World) {
    let (_web, app, mallory) = town(w, "--no-antispoof");
    mallory.shell("ip addr add 10.9.0.99/24 dev eth0; ip addr add fd00:9::99/64 dev eth0 nodad");
    for (own, claimed) in [("10.9.0.3", "10.9.0.99"), ("fd00:9::3", "fd00:9::99")] {
        mallory.ping(ANSWER, &format!("-I {claimed} {own}")).well();
        app.reaches(claimed);
    }
    assert!(w.bowline("endpoint inspect mallory").json()[0]["antispoof"] == false);
    // It stays so, and its neighbours are still checked.
    w.restart();
    app.reaches("10.9.0.99");
    app.run("ip addr add 10.9.0.98/24 dev eth0");
    let said = app.ping(SILENCE, "-I 10.9.0.98 10.9.0.4");
    assert!(said.code != 0, "wanted silence from {said}");
}

pub(crate) fn a_restart_does_not_stop_honest_senders(w: &World) {
    let (web, app, _) = town(w, "");
    let _echo = web.echoes(7);
    let talks = (app.talks_to("10.9.0.2", 7), app.talks_to("fd00:9::2", 7));
    w.restart();
    w.kill();
    w.start();
    talks.0.ends().well();
    talks.1.ends().well();
    let table = w.host().run("nft list set bridge bowline guarded");
    assert_eq!(table.matches("\"bl").count(), 3, "{table}");
    w.bowline("endpoint rm app");
    w.bowline("network ls");
    crate::world::said::eventually("nothing of it is left in the sets", || {
        let table = w.host().run("nft list set bridge bowline guarded");
        crate::world::said::only_if(table.matches("\"bl").count() == 2, table)
    });
}

pub(crate) fn many_made_up_neighbours_do_not_fill_the_hosts_table(w: &World) {
    // T-17: the kernel's table of neighbours is one for all namespaces.
    let (_web, app, mallory) = town(w, "");
    mallory.shell("for i in $(seq 1 200); do for j in $(seq 1 5); do echo addr add 10.9.$((i % 250)).$j/16 dev eth0; done; done | ip -force -batch - 2>&- || true");
    mallory.shell(
        "for j in $(seq 1 5); do timeout 1 ping -n -q -c 1 -W 0.1 -I 10.9.7.$j 10.9.0.1 >&- || true; done",
    );
    let known = w.host().run("ip neigh show dev bl-front");
    assert!(!known.contains("10.9.7."), "{known}");
    app.reaches("10.9.0.2");
    let fresh = w.attach("fresh", "front", "");
    fresh.reaches("10.9.0.2");
}
