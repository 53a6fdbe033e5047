//! Messages as the kernel writes them, and damaged ones.

use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn link(attributes: &[Vec<u8>]) -> SeenLink {
    let header = [&[0; 4][..], &7_u32.to_ne_bytes(), &1_u32.to_ne_bytes(), &[0; 4]].concat();
    SeenLink::parse(&[header, attributes.concat()].concat()).unwrap()
}

#[test]
fn a_link_is_read_with_the_kind_and_isolation_nested_in_it() {
    let info = [
        attribute(libc::IFLA_INFO_KIND, b"veth\0"),
        attribute(libc::IFLA_INFO_SLAVE_DATA, &attribute(33, &[1])),
    ];
    let seen = link(&[
        attribute(libc::IFLA_IFNAME, b"blx\0"),
        attribute(libc::IFLA_IFALIAS, b"bowline:here"),
        attribute(libc::IFLA_MTU, &1400_u32.to_ne_bytes()),
        attribute(libc::IFLA_LINKINFO, &info.concat()),
    ]);
    assert_eq!((seen.index, seen.up, seen.mtu, seen.kind), (7, true, 1400, LinkKind::Veth));
    assert_eq!(seen.name.unwrap().as_str(), "blx");
    assert_eq!(seen.alias.as_deref(), Some("bowline:here"));
    assert!(seen.isolated);
}

#[test]
fn the_mode_of_a_card_is_read() {
    let seen = |kind: &[u8], data: Vec<u8>| {
        let info = [attribute(libc::IFLA_INFO_KIND, kind), attribute(libc::IFLA_INFO_DATA, &data)];
        link(&[attribute(libc::IFLA_LINKINFO, &info.concat())])
    };
    let passthru = seen(b"macvlan\0", attribute(1, &8_u32.to_ne_bytes()));
    assert_eq!((passthru.kind, passthru.how), (LinkKind::Macvlan, Some(How::Macvlan(MacvlanMode::Passthru))));
    let source = seen(b"macvlan\0", attribute(1, &16_u32.to_ne_bytes()));
    assert_eq!((source.kind, source.how), (LinkKind::Macvlan, None));
    let l3 = [attribute(1, &1_u16.to_ne_bytes()), attribute(2, &2_u16.to_ne_bytes())].concat();
    assert_eq!(seen(b"ipvlan\0", l3).how, Some(How::Ipvlan(IpvlanMode::L3, IpvlanFlag::Vepa)));
    assert_eq!(seen(b"vlan\0", attribute(1, &10_u16.to_ne_bytes())).vlan, Some(10));
}

#[test]
fn one_size_is_named_only_where_all_limits_agree() {
    let size = |kind, n: u32| attribute(kind, &n.to_ne_bytes());
    assert_eq!(link(&[size(libc::IFLA_GSO_MAX_SIZE, 9), size(IFLA_GRO_MAX_SIZE, 9)]).gso(), Some(9));
    assert_eq!(link(&[size(libc::IFLA_GSO_MAX_SIZE, 9), size(IFLA_GRO_MAX_SIZE, 8)]).gso(), None);
    assert_eq!(link(&[]).gso(), None);
}

#[test]
fn vlans_are_read_as_one_or_as_none_that_we_would_want() {
    let seen = |infos: &[(u16, u16)]| {
        let info =
            |&(flags, id): &(u16, u16)| attribute(2, &[flags.to_ne_bytes(), id.to_ne_bytes()].concat());
        let spec = infos.iter().flat_map(info).collect::<Vec<u8>>();
        let header = [&[7, 0, 0, 0][..], &9_u32.to_ne_bytes(), &[0; 8]].concat();
        let payload = [header, attribute(libc::IFLA_AF_SPEC, &spec)].concat();
        let seen = SeenVlans::parse(&payload).unwrap();
        assert_eq!(seen.index, 9);
        seen.vlan
    };
    assert_eq!(seen(&[(6, 10)]), Vlan::In(VlanId::new(10).unwrap()));
    for other in [&[][..], &[(0, 10)], &[(2, 10)], &[(6, 10), (0, 20)], &[(0, 1), (6, 10)]] {
        assert_eq!(seen(other), Vlan::Mixed, "{other:?}");
    }
}

#[test]
fn a_bridge_tells_whether_it_filters() {
    let info = |on: u8| {
        let data = attribute(libc::IFLA_INFO_DATA, &attribute(7, &[on]));
        attribute(libc::IFLA_LINKINFO, &[attribute(libc::IFLA_INFO_KIND, b"bridge\0"), data].concat())
    };
    assert!(link(&[info(1)]).filters_vlans);
    assert!(!link(&[info(0)]).filters_vlans);
}

#[test]
fn a_foreign_name_is_not_a_name() {
    assert_eq!(link(&[attribute(libc::IFLA_IFNAME, "é\0".as_bytes())]).name, None);
    assert_eq!(link(&[attribute(libc::IFLA_IFNAME, &[0xff, 0])]).name, None);
}

#[test]
fn a_damaged_message_is_an_error_and_not_a_shorter_one() {
    assert!(SeenLink::parse(&[0; 15]).is_err());
    assert!(SeenLink::parse(&[&[0; 16][..], &[200, 0, 3, 0]].concat()).is_err());
    assert!(SeenAddress::parse(&[0; 3]).is_err());
    assert!(SeenRoute::parse(&[2; 3]).is_err());
}

#[test]
fn a_route_of_several_hops_leaves_by_each_link() {
    let hop = |index: u32| {
        let gateway = attribute(libc::RTA_GATEWAY, &[10, 0, 0, 1]);
        let mut bytes = (8 + gateway.len() as u16).to_ne_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(index.to_ne_bytes());
        bytes.extend(gateway);
        bytes
    };
    let mut payload = vec![libc::AF_INET as u8, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    payload.extend(attribute(libc::RTA_MULTIPATH, &[hop(4), hop(5)].concat()));
    let route = SeenRoute::parse(&payload).unwrap().unwrap();
    assert_eq!((route.links, route.to.prefix()), (vec![4, 5], 0));
    assert_eq!(hops(&[0; 8]), vec![0]);
}
