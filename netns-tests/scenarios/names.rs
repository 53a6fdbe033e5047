//! Who is called what, for whom, and since when. Nobody outside is asked here: the networks are internal, so that a name
//! that is nobody's is answered at once.

use bowline_api::v1::Join;

use crate::world::World;
use crate::world::said::{eventually, only_if};

fn front(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24 --subnet fd00:9::/64");
}

fn back(w: &World) {
    w.bowline("network create back --internal --subnet 10.8.0.0/24");
}

fn join(network: &str) -> Join {
    Join { network: network.into(), ..Join::default() }
}

pub(crate) fn all_that_an_endpoint_is_called_leads_to_it(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "front:alias=store,alias=Back_Up", "--hostname Data.Base");
    let id = w.api().endpoint("db").unwrap().id;
    let mut asker = web.asker();
    for name in ["db", "data.base", "store", "back_up", &id[..12]] {
        let upper = name.to_ascii_uppercase();
        for spelled in
            [name.into(), format!("{name}."), format!("{name}.front"), format!("{upper}.Front."), upper]
        {
            assert_eq!(asker.finds(&spelled), ["10.9.0.3"], "{spelled}");
            assert_eq!(asker.ask(&spelled, "AAAA").data(), ["fd00:9::3"], "{spelled}");
        }
    }
    assert_eq!(asker.finds("web"), ["10.9.0.2"], "itself");
    for name in ["d", "db2", "db.back", "x.db", "db.front.front", "db.front.x", &id[..11], &id[..13]] {
        assert_eq!(asker.finds(name), ["NXDOMAIN"], "{name}");
    }
    // As programs do it, by way of the C library.
    let known = w.host().run("ip netns exec web getent ahostsv4 db");
    assert!(known.starts_with("10.9.0.3"), "{known}");
}

pub(crate) fn an_alias_of_many_leads_to_all_of_them_in_turn(w: &World) {
    front(w);
    for name in ["a", "b", "c"] {
        w.attach(name, "front:alias=pool", "");
    }
    let mut asker = w.inside("a").asker();
    let mut first = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = asker.ask("pool", "A");
        let mut all = answer.data();
        first.extend(all.first().map(ToString::to_string));
        all.sort_unstable();
        assert_eq!(all, ["10.9.0.2", "10.9.0.3", "10.9.0.4"]);
    }
    assert_eq!(first.len(), 3, "only {first:?} were ever named first");
    w.bowline("endpoint rm b");
    assert_eq!(asker.finds("pool"), ["10.9.0.2", "10.9.0.4"]);
    w.bowline("network disconnect front c");
    assert_eq!(asker.finds("pool"), ["10.9.0.2"]);
}

pub(crate) fn only_names_of_ones_own_networks_are_known(w: &World) {
    front(w);
    back(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "back:alias=store", "");
    let both = w.container("both");
    w.bowline("endpoint create both --netns both --network front:alias=lamp --network back:alias=candle");
    let (mut from_web, mut from_both) = (web.asker(), both.asker());
    for name in ["db", "store", "db.back", "both.back", "candle", "candle.back"] {
        assert_eq!(from_web.finds(name), ["NXDOMAIN"], "{name}");
    }
    assert_eq!(from_web.ask("3.0.8.10.in-addr.arpa", "PTR").status, "NXDOMAIN");
    assert_eq!(from_web.finds("both"), ["10.9.0.3"]);
    assert_eq!(from_web.finds("lamp.front"), ["10.9.0.3"]);
    for (name, address) in
        [("web", "10.9.0.2"), ("web.front", "10.9.0.2"), ("db", "10.8.0.2"), ("store.back", "10.8.0.2")]
    {
        assert_eq!(from_both.finds(name), [address], "{name}");
    }
    assert_eq!(from_both.finds("candle.front"), ["NXDOMAIN"], "an alias is that of one network");

    w.bowline("network connect back web");
    assert_eq!(from_web.finds("store"), ["10.8.0.2"]);
    assert_eq!(from_web.finds("db.back"), ["10.8.0.2"]);
    w.bowline("network disconnect back web");
    assert_eq!(from_web.finds("db.back"), ["NXDOMAIN"]);
}

pub(crate) fn an_address_on_a_shared_network_comes_first(w: &World) {
    front(w);
    back(w);
    w.bowline("network create far --internal --subnet 10.7.0.0/24");
    w.container("db");
    w.bowline("endpoint create db --netns db --network far --network back --network front");
    let one = w.attach("one", "front", "");
    let two = w.container("two");
    w.bowline("endpoint create two --netns two --network back --network front:gw-priority=7");
    let (mut from_one, mut from_two) = (one.asker(), two.asker());
    for _ in 0..10 {
        assert_eq!(from_one.ask("db", "A").data(), ["10.9.0.2"], "the only one that it shares");
        let seen = from_two.ask("db", "A");
        assert_eq!(seen.data()[0], "10.9.0.2", "the network of its default route is first: {seen:?}");
        assert!(!seen.data().contains(&"10.7.0.2"), "{seen:?}");
    }
    assert_eq!(from_two.ask("db.back", "A").data(), ["10.8.0.2"]);
}

pub(crate) fn links_are_names_of_ones_own(w: &World) {
    front(w);
    w.attach("db", "front", "");
    w.attach("other", "front", "");
    let web = w.attach("web", "front", "--link db:store --link db:other --link later:soon");
    let (mut from_web, mut from_other) = (web.asker(), w.inside("other").asker());
    assert_eq!(from_web.finds("store"), ["10.9.0.2"]);
    assert_eq!(from_web.finds("STORE."), ["10.9.0.2"]);
    assert_eq!(from_web.finds("db"), ["10.9.0.2"]);
    assert_eq!(from_web.finds("other"), ["10.9.0.2"], "its own word comes before a neighbour's name");
    assert_eq!(from_other.finds("store"), ["NXDOMAIN"]);
    assert_eq!(from_other.finds("other"), ["10.9.0.3"]);
    // It leads to whoever has the name, as soon as somebody has.
    assert_eq!(from_web.finds("soon"), ["NXDOMAIN"]);
    w.attach("later", "front", "");
    assert_eq!(from_web.finds("soon"), ["10.9.0.5"]);
    w.bowline("endpoint rm db");
    assert_eq!(from_web.finds("store"), ["NXDOMAIN"]);
}

pub(crate) fn names_and_networks_may_have_dots(w: &World) {
    w.bowline("network create lan.example --internal --subnet 10.9.0.0/24");
    let web = w.attach("web", "lan.example", "");
    w.attach("db.one", "lan.example:alias=a.b.c", "");
    let mut asker = web.asker();
    for name in ["db.one", "db.one.lan.example", "a.b.c", "a.b.c.lan.example", "DB.One.LAN.example."] {
        assert_eq!(asker.finds(name), ["10.9.0.3"], "{name}");
    }
    for name in ["x.b.c", "db.two", "db.one.lan", "a.b.c.example"] {
        assert_eq!(asker.finds(name), ["NXDOMAIN"], "{name}");
    }
}

/// Two hundred times: there when attaching has been answered, gone when detaching has.
pub(crate) fn a_change_is_seen_by_the_very_next_query(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "front:alias=store", "");
    let (mut asker, api) = (web.asker(), w.api());
    api.disconnect("db", "front").unwrap();
    for round in 0..200 {
        let wish = Join { aliases: vec!["store".into()], ..join("front") };
        let made = api.connect("db", &wish).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let address = made.interfaces[0].addresses[0].split('/').next().unwrap().to_string();
        for name in ["db", "store"] {
            assert_eq!(asker.finds(name), [address.as_str()], "round {round}");
        }
        api.disconnect("db", "front").unwrap_or_else(|e| panic!("round {round}: {e}"));
        for name in ["db", "store"] {
            assert_eq!(asker.finds(name), ["NXDOMAIN"], "round {round}");
        }
    }
}

/// Whoever is attached may ask as soon as attaching has been answered.
pub(crate) fn the_first_question_of_an_endpoint_is_answered(w: &World) {
    front(w);
    w.attach("web", "front", "");
    let db = w.attach("db", "front", "");
    let (mut asker, api) = (db.asker(), w.api());
    for round in 0..50 {
        api.disconnect("db", "front").unwrap_or_else(|e| panic!("round {round}: {e}"));
        api.connect("db", &join("front")).unwrap_or_else(|e| panic!("round {round}: {e}"));
        assert_eq!(asker.finds("web"), ["10.9.0.2"], "round {round}");
        assert_eq!(asker.ask_by_tcp("web", "A").data(), ["10.9.0.2"], "round {round}");
    }
}

pub(crate) fn what_is_stopped_or_gone_has_no_name_and_leaves_it_to_others(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    w.attach("db", "front:ip=10.9.0.7", "");
    let mut asker = web.asker();
    assert_eq!(asker.finds("db"), ["10.9.0.7"]);
    w.api().stop_endpoint("db").unwrap();
    assert_eq!(asker.finds("db"), ["NXDOMAIN"]);
    assert_eq!(asker.ask("7.0.9.10.in-addr.arpa", "PTR").status, "NXDOMAIN");
    w.bowline("endpoint rm db");
    w.container("db2");
    for round in 0..10 {
        w.bowline("endpoint create db --netns db2 --network front");
        let address = w.api().endpoint("db").unwrap().interfaces[0].addresses[0].clone();
        assert_eq!(asker.finds("db"), [address.split('/').next().unwrap()], "round {round}");
        w.bowline("endpoint rm db");
        assert_eq!(asker.finds("db"), ["NXDOMAIN"], "round {round}");
    }
    // One whose namespace went without a word.
    w.attach("brief", "front", "");
    assert_eq!(asker.finds("brief").len(), 1);
    w.host().run("ip netns del brief");
    eventually("its name goes with it", || {
        let seen = asker.finds("brief");
        only_if(seen == ["NXDOMAIN"], seen)
    });
}

pub(crate) fn a_removed_network_takes_its_names_along(w: &World) {
    front(w);
    back(w);
    let web = w.container("web");
    w.bowline("endpoint create web --netns web --network front --network back");
    w.attach("db", "back", "");
    let mut asker = web.asker();
    assert_eq!(asker.finds("db.back"), ["10.8.0.3"]);
    w.bowline("network disconnect back web");
    w.bowline("endpoint rm db");
    w.bowline("network rm back");
    assert_eq!(asker.finds("db.back"), ["NXDOMAIN"]);
    w.bowline("network create back --internal --subnet 10.7.0.0/24");
    w.bowline("network connect back web");
    assert_eq!(asker.finds("web.back"), ["10.7.0.2"]);
}

/// Names of commands, to commands.
pub(crate) fn commands_find_each_other(w: &World) {
    front(w);
    w.bowline("run -d --name db --network front:alias=store --hostname data -- sleep 1000");
    let script = "getent ahostsv4 db; getent ahostsv4 store; getent ahostsv4 data; getent hosts 10.9.0.2";
    let said = w.calls(&["run", "--network", "front", "--", "sh", "-ec", script]).well();
    assert_eq!(said.out.matches("10.9.0.2").count(), 10, "{said}");
    assert!(said.out.contains("db.front"), "{said}");
    let said = w.calls(&["exec", "db", "sh", "-ec", "getent ahostsv4 db.front"]).well();
    assert!(said.out.starts_with("10.9.0.2"), "{said}");
    w.bowline("rm -f db");
}
