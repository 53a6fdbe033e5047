//! Rulesets as other tools leave them, cut to what a forwarded packet meets.

use super::{check, host, load, name, obstacles};

const ALL: &str =
    "published ports of bl-a from eth0, direct connections to bl-a from eth0, connections from bl-a to eth0";

const UFW: &str = "table ip filter {
    chain ufw-user-forward { }
    chain ufw-before-forward {
        ct state related,established counter accept
        meta l4proto icmp icmp type echo-request counter accept
        counter jump ufw-user-forward
    }
    chain ufw-skip-to-policy-forward { counter drop; }
    chain ufw-after-logging-forward { limit rate 3/minute burst 10 packets counter log prefix \"[UFW BLOCK] \"; }
    chain ufw-reject-forward { }
    chain ufw-track-forward { }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump ufw-before-forward
        counter jump ufw-after-logging-forward
        counter jump ufw-reject-forward
        counter jump ufw-track-forward
    }
}";

#[test]
fn ufw_drops_by_its_policy_but_lets_icmp_pass() {
    check(UFW, &[&format!("ip filter FORWARD (ufw) may drop {ALL}, by its policy")]);
}

#[test]
fn a_route_of_ufw_is_its_fix() {
    host(|| {
        load(UFW);
        let found = obstacles(&[name("bl-a")]).unwrap();
        assert_eq!(found[0].fix, "ufw route allow in on bl-a && ufw route allow out on bl-a");
        // What these two commands put there.
        load(
            "add rule ip filter ufw-user-forward iifname \"bl-a\" counter accept
            add rule ip filter ufw-user-forward oifname \"bl-a\" counter accept",
        );
        assert_eq!(obstacles(&[name("bl-a")]).unwrap(), []);
    });
}

/// As firewalld 1.3 writes it. The rules of the zones' own chains are few or none.
fn firewalld(zones: &str) -> String {
    format!(
        "table inet firewalld {{
    chain filter_FWD_public_allow {{ oifname \"eth0\" accept; }}
    chain filter_FWD_public {{ jump filter_FWD_public_allow; reject with icmpx admin-prohibited; }}
    chain filter_FWD_trusted_allow {{ oifname \"bl-a\" accept; }}
    chain filter_FWD_trusted {{ jump filter_FWD_trusted_allow; accept; }}
    chain filter_FORWARD_ZONES {{ {zones} goto filter_FWD_public; }}
    chain filter_FORWARD {{
        type filter hook forward priority filter + 10; policy accept;
        ct state {{ established, related }} accept
        ct status dnat accept
        iifname \"lo\" accept
        ct state invalid drop
        ip6 daddr {{ ::/96, ::ffff:0.0.0.0/96, 2002::/24 }} reject with icmpv6 addr-unreachable
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }}
}}"
    )
}

#[test]
fn firewalld_rejects_by_the_zone_that_it_comes_from() {
    let direct = "inet firewalld filter_FORWARD (firewalld) rejects direct connections to bl-a from eth0, by rule 2 of filter_FWD_public";
    check(&firewalld("iifname \"eth0\" goto filter_FWD_public;"), &[direct]);
    check(
        &firewalld("iifname \"eth0\" goto filter_FWD_public; iifname \"bl-a\" goto filter_FWD_trusted;"),
        &[direct],
    );
    let strict = firewalld("").replace("oifname \"eth0\" accept", "");
    let out = direct.replace("from eth0,", "from eth0, connections from bl-a to eth0,");
    check(&strict, &[&out]);
}

#[test]
fn the_fix_for_firewalld_names_the_zone_and_the_policy() {
    host(|| {
        load(&firewalld("").replace("oifname \"eth0\" accept", ""));
        let fix = obstacles(&[name("bl-a")]).unwrap().remove(0).fix;
        let expected = "firewall-cmd --permanent --zone=trusted --change-interface=bl-a \
            && firewall-cmd --permanent --new-policy=to-bowline \
            && firewall-cmd --permanent --policy=to-bowline --set-target=ACCEPT \
            && firewall-cmd --permanent --policy=to-bowline --add-ingress-zone=ANY \
            && firewall-cmd --permanent --policy=to-bowline --add-egress-zone=trusted \
            && firewall-cmd --reload";
        assert_eq!(fix, expected);
    });
}

#[test]
fn what_libvirt_rejects_is_not_about_us() {
    let libvirt = "table ip filter {
    chain LIBVIRT_FWI { oifname \"virbr0\" ip daddr 192.168.122.0/24 ct state related,established counter accept
        oifname \"virbr0\" counter reject; }
    chain LIBVIRT_FWO { iifname \"virbr0\" ip saddr 192.168.122.0/24 counter accept
        iifname \"virbr0\" counter reject; }
    chain LIBVIRT_FWX { iifname \"virbr0\" oifname \"virbr0\" counter accept; }
    chain FORWARD {
        type filter hook forward priority filter; policy accept;
        counter jump LIBVIRT_FWX
        counter jump LIBVIRT_FWI
        counter jump LIBVIRT_FWO
    }
}
table ip libvirt_network {
    chain guest_input { oif \"lo\" counter reject; }
    chain forward { type filter hook forward priority filter; policy accept; counter jump guest_input; }
}";
    check(libvirt, &[]);
    let drops = libvirt.replacen("policy accept", "policy drop", 1);
    check(&drops, &[&format!("ip filter FORWARD drops {ALL}, by its policy")]);
}

#[test]
fn kubernetes_drops_what_is_invalid_and_nothing_else() {
    let kubernetes = "table ip filter {
    chain KUBE-PROXY-FIREWALL { }
    chain KUBE-SERVICES { }
    chain KUBE-EXTERNAL-SERVICES { }
    chain KUBE-FORWARD {
        ct state invalid counter drop
        meta mark & 0x00004000 == 0x00004000 counter accept
        ct state related,established counter accept
    }
    chain FORWARD {
        type filter hook forward priority filter; policy accept;
        ct state new counter jump KUBE-PROXY-FIREWALL
        counter jump KUBE-FORWARD
        ct state new counter jump KUBE-SERVICES
        ct state new counter jump KUBE-EXTERNAL-SERVICES
    }
}";
    check(kubernetes, &[]);
}
