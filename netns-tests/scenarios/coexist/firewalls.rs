//! Other firewalls, as their tools load them: each cut to what matters to packets that pass.

/// A firewall of somebody else's.
pub(super) struct Firewall {
    /// Loads it, in a shell.
    pub(super) load: &'static str,
    /// The tables, with their chains, that drop what we let pass, and go on doing so until somebody does what is said
    /// to help. None where nothing need be done.
    pub(super) in_the_way: &'static [(&'static str, &'static str)],
}

/// Docker 28 with iptables. What enters or leaves by a card that it does not know is dropped by the policy.
pub(super) const DOCKER: Firewall = Firewall {
    load: "
iptables-restore <<'END'
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 172.17.0.2:80
COMMIT
END
for restore in iptables-restore ip6tables-restore; do $restore <<'END'
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -p tcp -o docker0 ! -i docker0 -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -i wg0 -j ACCEPT
COMMIT
END
done
",
    in_the_way: &[("ip filter", "FORWARD"), ("ip6 filter", "FORWARD")],
};

/// Docker 29 with nftables: it drops what is for its own bridges only.
pub(super) const DOCKER_NFTABLES: Firewall = Firewall {
    load: "
for family in ip ip6; do nft -f - <<END
table $family docker-bridges {
    map filter-forward-in-jumps { type ifname : verdict; elements = { docker0 : jump filter-forward-in__docker0 }; }
    map filter-forward-out-jumps { type ifname : verdict; elements = { docker0 : jump filter-forward-out__docker0 }; }
    map nat-postrouting-out-jumps { type ifname : verdict; elements = { docker0 : jump nat-postrouting-out__docker0 }; }
    chain filter-FORWARD {
        type filter hook forward priority filter; policy accept;
        oifname vmap @filter-forward-in-jumps
        iifname vmap @filter-forward-out-jumps
    }
    chain filter-forward-in__docker0 {
        ct state established,related counter accept
        iifname docker0 counter accept
        counter drop comment \"UNPUBLISHED PORT DROP\"
    }
    chain filter-forward-out__docker0 { ct state established,related counter accept; counter accept; }
    chain nat-PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local counter jump nat-prerouting-and-output; }
    chain nat-OUTPUT { type nat hook output priority -100; fib daddr type local counter jump nat-prerouting-and-output; }
    chain nat-POSTROUTING { type nat hook postrouting priority srcnat; iifname vmap @nat-postrouting-out-jumps; }
    chain nat-postrouting-out__docker0 { oifname != docker0 counter masquerade; }
    chain nat-prerouting-and-output { iifname != docker0 tcp dport 5000 counter dnat to :80; }
    chain raw-PREROUTING { type filter hook prerouting priority raw; policy accept; }
}
END
done
",
    in_the_way: &[],
};

/// ufw with its defaults. Its own tool is what lets others pass; here it is one that does this and nothing else.
pub(super) const UFW: Firewall = Firewall {
    load: r#"
for restore in iptables-restore ip6tables-restore; do
ufw=$([ $restore = iptables-restore ] && echo ufw || echo ufw6)
icmp=$([ $restore = iptables-restore ] && echo icmp || echo ipv6-icmp)
$restore <<END
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:$ufw-before-forward - [0:0]
:$ufw-before-input - [0:0]
:$ufw-after-logging-forward - [0:0]
:$ufw-reject-forward - [0:0]
:$ufw-skip-to-policy-forward - [0:0]
:$ufw-track-forward - [0:0]
:$ufw-user-forward - [0:0]
-A INPUT -j $ufw-before-input
-A FORWARD -j $ufw-before-forward
-A FORWARD -j $ufw-after-logging-forward
-A FORWARD -j $ufw-reject-forward
-A FORWARD -j $ufw-track-forward
-A $ufw-before-input -i lo -j ACCEPT
-A $ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A $ufw-before-input -p $icmp -j ACCEPT
-A $ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A $ufw-before-forward -p $icmp -j ACCEPT
-A $ufw-before-forward -j $ufw-user-forward
-A $ufw-after-logging-forward -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A $ufw-skip-to-policy-forward -j DROP
COMMIT
END
done
mkdir -p /mnt/tools
cat > /mnt/tools/ufw <<'END'
#!/bin/bash -e
[ "$1 $2 $4" = "route allow on" ]
flag=$([ $3 = in ] && echo -i || echo -o)
iptables -A ufw-user-forward $flag $5 -j ACCEPT
ip6tables -A ufw6-user-forward $flag $5 -j ACCEPT
END
chmod +x /mnt/tools/ufw
"#,
    in_the_way: &[("ip filter", "FORWARD"), ("ip6 filter", "FORWARD")],
};

/// firewalld 1.3 with the uplink in a zone that forwards nothing. What is for a published port passes there.
pub(super) const FIREWALLD: Firewall = Firewall {
    load: r#"
nft -f - <<'END'
table inet firewalld {
    chain filter_FWD_public_allow { }
    chain filter_FWD_public { jump filter_FWD_public_allow; reject with icmpx admin-prohibited; }
    chain filter_FWD_trusted { accept; }
    chain filter_FORWARD_ZONES { goto filter_FWD_public; }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24 } reject with icmpv6 addr-unreachable
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }
}
END
mkdir -p /mnt/tools
cat > /mnt/tools/firewall-cmd <<'END'
#!/bin/bash -e
case "$*" in
'--permanent --zone=trusted --change-interface='*)
    nft "insert rule inet firewalld filter_FORWARD_ZONES iifname ${3#*=} goto filter_FWD_trusted";;
--reload) ;;
*) exit 2;;
esac
END
chmod +x /mnt/tools/firewall-cmd
"#,
    in_the_way: &[("inet firewalld", "filter_FORWARD")],
};

/// libvirt speaks of its own bridge only.
pub(super) const LIBVIRT: Firewall = Firewall {
    load: "
iptables-restore <<'END'
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:LIBVIRT_PRT - [0:0]
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_FWX - [0:0]
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
COMMIT
END
",
    in_the_way: &[],
};

/// kube-proxy with iptables.
pub(super) const KUBERNETES: Firewall = Firewall {
    load: "
iptables-restore <<'END'
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE
-A KUBE-SERVICES ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
END
",
    in_the_way: &[],
};

/// An administrator's own, which knows nobody.
pub(super) const PLAIN: Firewall = Firewall {
    load: "
nft -f - <<'END'
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname \"uplink\" tcp dport 22 accept
    }
}
END
",
    in_the_way: &[("inet filter", "forward")],
};
