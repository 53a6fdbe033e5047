//! Which subnets, gateways and ranges are taken, and which are refused.

use super::*;

fn subnet(net: &str, gateway: Option<&str>, range: Option<&str>) -> Result<Subnet> {
    let gateway = gateway.map(|g| g.parse().unwrap());
    Subnet::new(prefix(net)?, gateway, range.map(|r| r.parse().unwrap()), BTreeMap::new())
}

#[test]
fn subnets_that_are_refused() {
    for net in [
        "10.9.0.1/24",
        "10.9.0.1/31",
        "10.9.0.0/32",
        "0.0.0.0/0",
        "224.0.0.0/24",
        "127.0.0.0/24",
        "240.0.0.0/8",
        "169.254.0.0/16",
        "10.9.0.0",
        "10.9.0.0/255.255.255.0",
        "10.9.0.0/33",
        "x",
        "",
        "10.9.0.0/+24",
        "fd00::1/64",
        "fd00::/128",
        "::/0",
        "ff00::/16",
        "fe80::/64",
        "::/64",
        "0.0.0.0/8",
        "10.0.0.0/4",
    ] {
        assert_eq!(subnet(net, None, None).unwrap_err().code, Code::InvalidSubnet, "{net}");
    }
}

#[test]
fn subnets_that_are_taken() {
    for net in [
        "10.9.0.0/24",
        "10.0.0.0/8",
        "10.9.0.0/30",
        "10.9.0.2/31",
        "fd00:9::/64",
        "fd00:9::/127",
        "192.168.0.0/16",
    ] {
        assert_eq!(subnet(net, None, None).unwrap().net().to_string(), net);
    }
}

#[test]
fn two_addresses_are_enough_without_a_gateway() {
    for net in ["10.9.0.0/31", "10.9.0.0/30", "fd00:9::/127"] {
        let net = prefix(net).unwrap();
        let subnet = Subnet::isolated(net, None, None, BTreeMap::new()).unwrap();
        assert_eq!(subnet.gateway(), None);
        assert!(net.iter().filter(|ip| subnet.holds(*ip)).count() >= 2, "{net}");
    }
    for net in ["10.9.0.0/32", "fd00:9::/128", "10.9.0.1/31"] {
        let refused = Subnet::isolated(prefix(net).unwrap(), None, None, BTreeMap::new()).unwrap_err();
        assert_eq!(refused.code, Code::InvalidSubnet, "{net}");
    }
}

#[test]
fn a_gateway_is_inside_and_usable() {
    for (net, gateway) in
        [("10.9.0.0/24", "10.9.0.1"), ("10.9.0.2/31", "10.9.0.2"), ("fd00:9::/127", "fd00:9::")]
    {
        assert_eq!(subnet(net, None, None).unwrap().gateway(), Some(gateway.parse().unwrap()), "{net}");
    }
    assert!(subnet("10.9.0.2/31", Some("10.9.0.3"), None).is_ok());
    for gateway in ["10.8.0.1", "10.9.0.0", "10.9.0.255", "fd00::1"] {
        assert_eq!(
            subnet("10.9.0.0/24", Some(gateway), None).unwrap_err().code,
            Code::InvalidGateway,
            "{gateway}"
        );
    }
}

#[test]
fn where_the_host_has_no_address_none_is_kept_for_it_unless_it_is_named() {
    let subnet = |gateway: Option<&str>| {
        let gateway = gateway.map(|g| g.parse().unwrap());
        Subnet::isolated(prefix("10.9.0.0/24").unwrap(), gateway, None, BTreeMap::new())
    };
    assert_eq!(subnet(None).unwrap().gateway(), None);
    assert_eq!(subnet(Some("10.9.0.9")).unwrap().gateway(), Some("10.9.0.9".parse().unwrap()));
    assert_eq!(subnet(Some("10.8.0.9")).unwrap_err().code, Code::InvalidGateway);
}

#[test]
fn an_auxiliary_address_is_nobody_elses() {
    let subnet = |aux: &[(&str, &str)]| {
        let aux = aux.iter().map(|(name, at)| (name.to_string(), at.parse().unwrap())).collect();
        Subnet::new(prefix("10.9.0.0/24").unwrap(), None, None, aux)
    };
    assert!(subnet(&[("nas", "10.9.0.9"), ("tv", "10.9.0.8")]).is_ok());
    for aux in
        [&[("nas", "10.9.0.1")][..], &[("nas", "10.9.0.9"), ("tv", "10.9.0.9")], &[("nas", "10.8.0.9")]]
    {
        assert_eq!(subnet(aux).unwrap_err().code, Code::InvalidAddress, "{aux:?}");
    }
}

#[test]
fn a_range_is_inside() {
    assert!(subnet("10.9.0.0/24", None, Some("10.9.0.128/25")).is_ok());
    assert!(subnet("10.9.0.0/24", None, Some("10.9.0.10-10.9.0.255")).is_ok());
    for range in ["10.8.0.0/25", "10.9.0.0/16", "fd00::/64", "10.9.0.1/25", "10.9.0.9-10.9.1.9"] {
        assert_eq!(subnet("10.9.0.0/24", None, Some(range)).unwrap_err().code, Code::InvalidRange, "{range}");
    }
}

#[test]
fn bridge_names_fit_the_kernel() {
    for text in ["front", "exactly-12by", "a-name-far-too-long-for-the-kernel-of-64-bytes-or-thereabouts-ok"]
    {
        let bridge = Network::bridge_name(&text.parse().unwrap(), Id(7));
        assert!(bridge.as_str().len() <= 15 && bridge.as_str().starts_with("bl-"), "{bridge}");
    }
}
