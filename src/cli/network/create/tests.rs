use clap::Parser;
use expect_test::{Expect, expect};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: CreateArgs,
}

/// What differs from the defaults, as JSON; or the error.
fn check(line: &str, wanted: &Expect) {
    let args = Line::try_parse_from(["create", "x"].into_iter().chain(line.split_whitespace())).unwrap().args;
    let text = match args.wish() {
        Ok(wish) => {
            let plain = serde_json::to_value(CreateNetwork::named("x")).unwrap();
            let mut wish = serde_json::to_value(wish).unwrap();
            wish.as_object_mut().unwrap().retain(|key, value| plain[key] != *value);
            wish.to_string()
        }
        Err(error) => {
            let fix = error.fix.clone().map(|fix| format!(" | {fix}")).unwrap_or_default();
            format!("{} {error}{fix}", error.code)
        }
    };
    wanted.assert_eq(&text);
}

#[test]
fn a_name_alone_is_the_defaults() {
    check("", &expect!["{}"]);
}

#[test]
fn names_can_be_left_out() {
    check("--no-dns", &expect![[r#"{"dns":false}"#]]);
    check("--disable-dns", &expect![[r#"{"dns":false}"#]]);
}

#[test]
fn addresses_go_to_the_subnet_that_contains_them() {
    check(
        "--subnet 10.9.0.0/24",
        &expect![[
            r#"{"subnets":[{"aux_addresses":{},"cidr":"10.9.0.0/24","gateway":null,"ip_range":null}]}"#
        ]],
    );
    check(
        "--subnet fd00:9::/64 --subnet 10.9.0.0/24 --gateway 10.9.0.254 --gateway fd00:9::fe",
        &expect![[
            r#"{"subnets":[{"aux_addresses":{},"cidr":"fd00:9::/64","gateway":"fd00:9::fe","ip_range":null},{"aux_addresses":{},"cidr":"10.9.0.0/24","gateway":"10.9.0.254","ip_range":null}]}"#
        ]],
    );
    check(
        "--subnet=10.9.0.0/16,10.8.0.0/16 --ip-range 10.8.4.0/24 --ip-range 10.9.4.0/24",
        &expect![[
            r#"{"subnets":[{"aux_addresses":{},"cidr":"10.9.0.0/16","gateway":null,"ip_range":"10.9.4.0/24"},{"aux_addresses":{},"cidr":"10.8.0.0/16","gateway":null,"ip_range":"10.8.4.0/24"}]}"#
        ]],
    );
    check(
        "--subnet 10.9.0.0/24 --aux-address router=10.9.0.2 --aux-address nas=10.9.0.3",
        &expect![[
            r#"{"subnets":[{"aux_addresses":{"nas":"10.9.0.3","router":"10.9.0.2"},"cidr":"10.9.0.0/24","gateway":null,"ip_range":null}]}"#
        ]],
    );
    check(
        "--subnet 10.0.0.0/8 --subnet 10.9.0.0/24 --gateway 10.9.0.1",
        &expect![[
            r#"{"subnets":[{"aux_addresses":{},"cidr":"10.0.0.0/8","gateway":null,"ip_range":null},{"aux_addresses":{},"cidr":"10.9.0.0/24","gateway":"10.9.0.1","ip_range":null}]}"#
        ]],
    );
}

#[test]
fn routes_are_a_destination_and_a_router() {
    check(
        "--route 192.0.2.0/24,10.9.0.254 --route fd01::/64,fd00:9::fe",
        &expect![[
            r#"{"routes":[{"to":"192.0.2.0/24","via":"10.9.0.254"},{"to":"fd01::/64","via":"fd00:9::fe"}]}"#
        ]],
    );
    let line = Line::try_parse_from(["create", "x", "--route", "192.0.2.0/24"]);
    assert!(line.is_err_and(|error| error.to_string().contains("CIDR,ROUTER, such as")));
}

#[test]
fn addresses_that_fit_no_subnet_are_refused() {
    check(
        "--gateway 10.9.0.1",
        &expect![
            "BWL-1104 --gateway 10.9.0.1 fits no subnet: no subnet is given | add the --subnet that it is in"
        ],
    );
    check(
        "--subnet 10.9.0.0/24 --gateway fd00::1",
        &expect![
            "BWL-1104 --gateway fd00::1 fits no subnet: the subnets are 10.9.0.0/24 | choose it inside one of them, or add the --subnet that it is in"
        ],
    );
    check(
        "--subnet 10.9.0.0/24 --gateway 10.9.0.1 --gateway 10.9.0.2",
        &expect!["BWL-1111 two of --gateway for subnet 10.9.0.0/24 | give one for each subnet"],
    );
    check(
        "--subnet 10.9.0.0/24 --ip-range 10.9.0.0/16",
        &expect![
            "BWL-1105 --ip-range 10.9.0.0/16 fits no subnet: the subnets are 10.9.0.0/24 | choose it inside one of them, or add the --subnet that it is in"
        ],
    );
    check(
        "--subnet 10.9.0.0/24 --ip-range ten",
        &expect![[
            r#"BWL-1105 --ip-range ten is not usable: subnet "ten" is not usable: it is not an address with a prefix length | write it as 10.9.0.0/24 or fd00:9::/64"#
        ]],
    );
    check(
        "--subnet 10.9.0.0/24 --aux-address nas=10.8.0.3",
        &expect![
            "BWL-1106 --aux-address nas=10.8.0.3 fits no subnet: the subnets are 10.9.0.0/24 | choose it inside one of them, or add the --subnet that it is in"
        ],
    );
    check(
        "--subnet 10.9.0.0/24 --aux-address nas=10.9.0.3 --aux-address nas=10.9.0.4",
        &expect!["BWL-1111 two of --aux-address nas for subnet 10.9.0.0/24 | give one for each subnet"],
    );
    check(
        "--subnet 10.9.0.0",
        &expect![[
            r#"BWL-1103 subnet "10.9.0.0" is not usable: it is not an address with a prefix length | write it as 10.9.0.0/24 or fd00:9::/64"#
        ]],
    );
}

#[test]
fn families_are_chosen() {
    check("--ipv6", &expect![[r#"{"ipv6":true}"#]]);
    check("--ipv6=true --ipv4=false", &expect![[r#"{"ipv4":false,"ipv6":true}"#]]);
    check("--ipv6=false --no-ipv4", &expect![[r#"{"ipv4":false}"#]]);
}

#[test]
fn access_and_link() {
    check(
        "--internal --isolate --no-icc --no-masquerade",
        &expect![[r#"{"icc":false,"internal":true,"isolation":"strict","masquerade":false}"#]],
    );
    check(
        "--internal=false --isolation open --gso off --mtu 9000",
        &expect![[r#"{"gso":"off","isolation":"open","mtu_bytes":9000}"#]],
    );
    check(
        "-d bridge --label a=b --label c --label d=e=f",
        &expect![[r#"{"labels":{"a":"b","c":"","d":"e=f"}}"#]],
    );
}

#[test]
fn dockers_options_mean_what_our_flags_mean() {
    check("-o mtu=1400", &expect![[r#"{"mtu_bytes":1400}"#]]);
    check("-o com.docker.network.driver.mtu=1400 --mtu 1400", &expect![[r#"{"mtu_bytes":1400}"#]]);
    check(
        "-o com.docker.network.bridge.enable_icc=false --opt com.docker.network.bridge.enable_ip_masquerade=0",
        &expect![[r#"{"icc":false,"masquerade":false}"#]],
    );
    check("-o isolate=true", &expect![[r#"{"isolation":"strict"}"#]]);
    check(
        "-o mtu=1400 --mtu 1500",
        &expect!["BWL-1111 --mtu and an option given by -o disagree | give one of them"],
    );
    check(
        "-o com.docker.network.bridge.enable_icc=perhaps",
        &expect![
            "BWL-1001 driver option com.docker.network.bridge.enable_icc=perhaps is not usable: the value is not true or false"
        ],
    );
    check(
        "-o com.docker.network.bridge.name=br9",
        &expect![
            "BWL-1001 driver option com.docker.network.bridge.name is not known | the known options are com.docker.network.driver.mtu (or mtu), com.docker.network.bridge.enable_icc, com.docker.network.bridge.enable_ip_masquerade, com.docker.network.bridge.gateway_mode_ipv4, com.docker.network.bridge.gateway_mode_ipv6, com.docker.network.bridge.trusted_host_interfaces, isolate, parent, macvlan_mode, ipvlan_mode, ipvlan_flag"
        ],
    );
}

#[test]
fn gateway_modes_and_trusted_interfaces() {
    check(
        "--gateway-mode routed",
        &expect![[r#"{"gateway_mode_ipv4":"routed","gateway_mode_ipv6":"routed"}"#]],
    );
    check(
        "--gateway-mode-ipv4 nat-unprotected --gateway-mode-ipv6 routed",
        &expect![[r#"{"gateway_mode_ipv4":"nat-unprotected","gateway_mode_ipv6":"routed"}"#]],
    );
    check(
        "--internal --gateway-mode isolated",
        &expect![[r#"{"gateway_mode_ipv4":"isolated","gateway_mode_ipv6":"isolated","internal":true}"#]],
    );
    check(
        "--trusted-interface eth1 --trusted-interface wg0",
        &expect![[r#"{"trusted_interfaces":["eth1","wg0"]}"#]],
    );
    check(
        "-o com.docker.network.bridge.gateway_mode_ipv6=routed -o com.docker.network.bridge.trusted_host_interfaces=eth1:wg0",
        &expect![[r#"{"gateway_mode_ipv6":"routed","trusted_interfaces":["eth1","wg0"]}"#]],
    );
    check(
        "--gateway-mode routed -o com.docker.network.bridge.gateway_mode_ipv4=nat",
        &expect!["BWL-1111 --gateway-mode-ipv4 and an option given by -o disagree | give one of them"],
    );
    check(
        "-o com.docker.network.bridge.gateway_mode_ipv4=bridged",
        &expect![
            "BWL-1001 driver option com.docker.network.bridge.gateway_mode_ipv4=bridged is not usable: the value is not nat, nat-unprotected, routed or isolated"
        ],
    );
    check(
        "-o com.docker.network.bridge.host_binding_ipv4=127.0.0.1",
        &expect![
            "BWL-1001 driver option com.docker.network.bridge.host_binding_ipv4 is not known: no network chooses the addresses that its members publish at | say it with each port: -p 127.0.0.1:8080:80"
        ],
    );
    let both = Line::try_parse_from(["create", "x", "--gateway-mode", "nat", "--gateway-mode-ipv4", "nat"]);
    assert!(both.is_err_and(|error| error.to_string().contains("cannot be used with")));
}
