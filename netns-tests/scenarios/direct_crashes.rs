//! The daemon dies just before each of its kernel calls in turn; afterwards all is done, or nothing is, and nothing is left.

use bowline_api::v1::{CreateEndpoint, CreateNetwork, Driver, Join, Netns, SubnetSpec};

use super::direct::LAN;
use crate::scenarios::crash::{Act, dies_everywhere};
use crate::world::World;
use crate::world::said::{eventually, only_if};

fn attach(w: &World) -> bowline_api::Result<()> {
    let join = Join { network: "lan".into(), ..Join::default() };
    let netns = Netns { fd: None, path: Some("/run/netns/web".into()) };
    let wish = CreateEndpoint { networks: vec![join], ..CreateEndpoint::named("web", netns) };
    w.api().create_endpoint(&wish).map(drop)
}

fn cards(w: &World) -> Vec<String> {
    let all = w.inside("web").run("ip -o link show");
    all.lines().filter(|line| !line.contains(": lo:")).map(str::to_string).collect()
}

fn detach(w: &World) -> bowline_api::Result<()> {
    w.api().remove_endpoint("web")?;
    eventually("the card is gone", || only_if(cards(w).is_empty(), cards(w)));
    Ok(())
}

fn attached(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
    let members = w.api().network("lan").map_or(0, |n| n.endpoints.len());
    let routes = w.host().run("ip -o route show proto 0x62").lines().count();
    let seen = (cards(w).len(), known, members, routes);
    match seen {
        (0, 0, 0, 0) => Ok(false),
        (1, 1, 1, 1)
            if web.default_route("-4").as_deref() == Some("192.0.2.2 dev eth0") && web.pings("192.0.2.2") =>
        {
            Ok(true)
        }
        _ => Err(format!("{seen:?}, {:?}", web.default_route("-4"))),
    }
}

fn given_back(w: &World) -> bool {
    // The host's own card has one.
    w.api().network("lan").is_ok_and(|lan| lan.subnets[0].used == 1)
}

pub(crate) fn at_every_call_of_attach(w: &World) {
    w.bowline(&format!("{LAN} --host-access"));
    w.container("web");
    let act = Act { act: attach, settled: |_| true, done: attached, undo: detach, traceless: true };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 8, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_detach(w: &World) {
    w.bowline(&format!("{LAN} --host-access"));
    w.container("web");
    attach(w).unwrap();
    let act = Act {
        act: |w| w.api().remove_endpoint("web"),
        settled: |w| cards(w).is_empty() && given_back(w),
        done: |w| attached(w).map(|there| !there),
        undo: attach,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 2, "only {deaths} deaths");
}

/// With a card of the host's, or with a link that leads nowhere.
fn create(w: &World, internal: bool) -> bowline_api::Result<()> {
    let subnet = if internal { "10.7.0.0/24" } else { "192.0.2.0/24" };
    let wish = CreateNetwork {
        driver: Driver::Macvlan,
        parent: (!internal).then(|| "uplink".to_string()),
        host_access: !internal,
        internal,
        subnets: vec![SubnetSpec::new(subnet)],
        ..CreateNetwork::named("lan")
    };
    w.api().create_network(&wish).map(drop)
}

fn links(w: &World) -> Vec<String> {
    let all = w.host().run("ip -o link show");
    all.lines().filter(|line| line.contains(": bl")).map(str::to_string).collect()
}

fn created(w: &World, wanted: usize) -> Result<bool, String> {
    let known = w.api().network("lan").is_ok();
    let links = links(w);
    let up = links.iter().filter(|line| line.contains(",UP") || line.contains("UP,")).count();
    match (known, links.len(), up) {
        (false, 0, 0) => Ok(false),
        (true, there, up) if there == wanted && up == wanted => Ok(true),
        _ => Err(format!("{known}, {links:?}")),
    }
}

pub(crate) fn at_every_call_of_network_create(w: &World) {
    let act = Act {
        act: |w| create(w, false),
        settled: |_| true,
        done: |w| created(w, 1),
        undo: |w| w.api().remove_network("lan"),
        traceless: true,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 3, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_internal_network_create(w: &World) {
    let act = Act {
        act: |w| create(w, true),
        settled: |_| true,
        done: |w| created(w, 2),
        undo: |w| w.api().remove_network("lan"),
        traceless: true,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 4, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_network_rm(w: &World) {
    create(w, false).unwrap();
    let act = Act {
        act: |w| w.api().remove_network("lan"),
        settled: |_| true,
        done: |w| created(w, 1).map(|there| !there),
        undo: |w| create(w, false),
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 1, "only {deaths} deaths");
}
