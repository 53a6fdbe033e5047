//! What outlives what: an endpoint's stop, a daemon's end, a reboot.

use bowline_api::v1::EndpointState;

use crate::world::World;
use crate::world::said::{eventually, only_if};

pub(crate) fn a_fixed_address_waits_for_its_stopped_endpoint(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/29");
    w.attach("web", "front", "--ip 10.9.0.2");
    w.api().stop_endpoint("web").unwrap();
    assert_eq!(w.api().endpoint("web").unwrap().state, EndpointState::Stopped);
    eventually("its card is gone", || only_if(w.inside("web").link("eth0").is_none(), "eth0"));

    let other = w.attach("other", "front", "");
    assert_eq!(other.addresses("eth0"), ["10.9.0.3/29"]);
    w.container("thief");
    let steal = "endpoint create thief --netns thief --network front --ip 10.9.0.2";
    w.tries(steal).refused("BWL-1206", 4).naming(&["web"]);

    w.bowline("endpoint create web --netns web --network front");
    assert_eq!(w.inside("web").addresses("eth0"), ["10.9.0.2/29"]);
    w.bowline("endpoint rm web");
    eventually("removed, it keeps nothing", || {
        let said = w.tries(steal);
        only_if(said.code == 0, said)
    });
}

/// What a reboot takes: every namespace, every link of ours, the table, /run, and the boot's own name.
pub(crate) fn reboots(w: &World) {
    w.stop();
    w.kill_keepers();
    w.host().shell(
        "for netns in $(ip netns list | cut -d' ' -f1); do [ $netns = outside ] || ip netns del $netns; done
         for link in $(ip -j link show type bridge | python3 -c 'import json,sys; [print(l[\"ifname\"]) for l in json.load(sys.stdin) if l]'); do ip link del $link; done
         nft delete table inet bowline 2>/dev/null || true
         rm -rf /run/bowline
         mkdir -p /mnt/boot; cat /proc/sys/kernel/random/uuid > /mnt/boot/id
         mount --bind /mnt/boot/id /proc/sys/kernel/random/boot_id",
    );
    // The kernel takes a namespace's links apart some time after its name is gone.
    eventually("no link of ours is left", || {
        let left = w.host().run("ip -o link show");
        only_if(!left.contains("bl"), left)
    });
}

/// Undoes the last thing that [`reboots`] leaves behind.
pub(crate) fn wakes_up(w: &World) {
    w.removes_everything();
    w.host().run("umount /proc/sys/kernel/random/boot_id");
}

pub(crate) fn networks_and_fixed_addresses_outlive_a_reboot(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/29 --subnet fd00:9::/64 --label tier=web");
    w.attach("web", "front", "--ip 10.9.0.2");
    w.attach("app", "front", "");
    let before = w.api().network("front").unwrap();
    reboots(w);
    w.start();

    let after = w.api().network("front").unwrap();
    assert_eq!(
        (&after.id, &after.subnets[0].cidr, &after.labels),
        (&before.id, &before.subnets[0].cidr, &before.labels)
    );
    assert_eq!(w.host().addresses("bl-front"), ["10.9.0.1/29", "fd00:9::1/64"]);
    let all: Vec<_> = w.api().endpoints().unwrap().into_iter().map(|e| (e.name, e.state)).collect();
    assert_eq!(all, [("web".to_string(), EndpointState::Stopped)], "what was not fixed is forgotten");

    let app = w.attach("app", "front", "");
    assert_eq!(app.addresses("eth0")[0], "10.9.0.3/29", "the fixed address is not given away");
    w.host().run("ip netns add web");
    w.bowline("endpoint create web --netns web --network front");
    assert_eq!(w.inside("web").addresses("eth0")[0], "10.9.0.2/29");
    wakes_up(w);
}

pub(crate) fn what_an_earlier_boot_left_in_run_is_not_believed(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.attach("web", "front", "");
    w.stop();
    w.host().run("cp -a /run/bowline /mnt/stale");
    w.start();
    reboots(w);
    w.host().run("cp -a /mnt/stale /run/bowline");
    w.start();
    assert_eq!(w.api().endpoints().unwrap(), []);
    assert_eq!(w.api().network("front").unwrap().subnets[0].used, 1);
    let web = w.attach("web", "front", "");
    web.reaches("10.9.0.1");
    wakes_up(w);
}
