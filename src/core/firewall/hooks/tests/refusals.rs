//! What is refused: where, why, and what would work.

use expect_test::{Expect, expect};

use crate::firewall::hooks::Hooks;

/// The text, without the list of all that is understood.
fn refusal(text: &str) -> String {
    let error = Hooks::parse("a.nft", text).unwrap_err();
    let fix = error.fix.clone().unwrap_or_default();
    let fix = fix.split_once(": iifname, oifname,").map_or(&*fix, |(begin, _)| begin);
    format!("{error}\n  {fix}")
}

fn check(rule: &str, expected: &Expect) {
    let refused = refusal(&format!("chain user-forward {{\n{rule}\n}}"));
    expected.assert_eq(refused.strip_prefix("a.nft:2 is not understood: ").unwrap_or(&refused));
}

#[test]
fn words_of_nft_that_have_no_place_here() {
    check(
        "ip saddr @bad drop",
        &expect![[r#"
        "@bad" is not possible: there are no named sets
          write the values into the rule: { 192.0.2.1, 198.51.100.0/24 }"#]],
    );
    check(
        "ip saddr $bad drop",
        &expect![[r#"
        "$bad" is not possible: there are no variables
          write the value where it is wanted"#]],
    );
    check(
        "tcp dport 22 jump mine",
        &expect![[r#"
        "jump" is not possible: your rules call no other chains
          write the rules of that chain here, one after the other"#]],
    );
    check(
        "include \"other.nft\"",
        &expect![[r#"
        "include" is not possible: a file includes no others
          put that file into the same directory: all *.nft in it are read, by name"#]],
    );
    check(
        "type filter hook forward priority 0",
        &expect![[r#"
            "type" is not possible: where the chain is called is settled: bowline's own chains jump to it
              leave that line out"#]],
    );
    check(
        "tcp dport 22 dnat to 10.0.0.1",
        &expect![[r#"
        "dnat" is not possible: addresses are translated by bowline alone
          publish a port with -p, or 'bowline port publish'; your own tables may translate what is not bowline's"#]],
    );
    check(
        "meta mark set 1",
        &expect![[r#"
        marks are read here, and not set
          meta mark 0x1, meta mark != 0x1, or meta mark & 0xff == 0x10"#]],
    );
    check(
        "tcp dport 22 continue",
        &expect![[r#"
        "continue" is not possible: continue does nothing
          leave it out: without a verdict the next rule is asked"#]],
    );
    check(
        "tcp dport 22 queue",
        &expect![[r#"
        "queue" is not understood
          a rule is made of matches"#]],
    );
    check(
        "ct status != dnat drop",
        &expect![[r#"
        a status is asked for, and not its absence
          accept or return what has it in a rule before: ct status dnat return"#]],
    );
    check(
        "ct state != new drop",
        &expect![[r#"
        states are asked for, and not their absence
          ct state new, or ct state established,related; of invalid, established, related, new, untracked"#]],
    );
}

#[test]
fn values_that_are_none() {
    check(
        "tcp dport ssh drop",
        &expect![[r#"
        "ssh" is no port
          a port is a number: tcp dport 80, tcp dport != 22, or tcp dport { 80, 443, 8000-8100 }"#]],
    );
    check(
        "tcp dport 65536 drop",
        &expect![[r#"
        "65536" is no port
          a port is a number: tcp dport 80, tcp dport != 22, or tcp dport { 80, 443, 8000-8100 }"#]],
    );
    check(
        "tcp dport 90-80 drop",
        &expect![[r#"
        the range 90-80 is reversed
          did you mean 80-90?"#]],
    );
    check(
        "tcp dport { } drop",
        &expect![[r#"
        a set is empty, and so holds for no packet
          a port is a number: tcp dport 80, tcp dport != 22, or tcp dport { 80, 443, 8000-8100 }"#]],
    );
    check(
        "tcp dport { 80 443 } drop",
        &expect![[r#"
        "443" has no meaning here
          values in a set are parted by commas: { 1, 2 }"#]],
    );
    check(
        "ip saddr fd00::1 drop",
        &expect![[r#"
        fd00::1 is an IPv6 address
          use ip6 in place of ip: ip6 saddr fd00::1"#]],
    );
    check(
        "ip saddr example.org drop",
        &expect![[r#"
        "example.org" is no address
          names are not looked up; write ip saddr 192.0.2.0/24, or ip6 saddr 2001:db8::/32"#]],
    );
    check(
        "ip saddr 10.0.0.0/33 drop",
        &expect![[r#"
        "33" is no length of a prefix
          use 0 to 32"#]],
    );
    check(
        "iifname \"*\" drop",
        &expect![[r#"
        "*" is every card
          leave the match out"#]],
    );
    check(
        "iifname { \"eth*\", \"lo\" } drop",
        &expect![[r#"
        "eth*" cannot be in a set
          write a rule of its own for names that begin alike: iifname "eth*""#]],
    );
    check(
        "iifname \"sixteen-letters-\" drop",
        &expect![[r#"
        interface name "sixteen-letters-" is not usable
          use 1 to 15 printable ASCII characters other than space, '/', ':' and '%'"#]],
    );
    check(
        "meta l4proto tpc drop",
        &expect![[r#"
        "tpc" is no protocol
          use a number, or one of icmp, igmp, tcp, udp, dccp, gre, esp, ah, ipv6-icmp, sctp, udplite"#]],
    );
    check(
        "icmp type ping drop",
        &expect![[r#"
        "ping" is no type of message
          use a number, or one of echo-reply, destination-unreachable, source-quench, redirect, echo-request, router-advertisement, router-solicitation, time-exceeded, parameter-problem, timestamp-request, timestamp-reply, info-request, info-reply, address-mask-request, address-mask-reply"#]],
    );
    check(
        "meta mark & 0xf == 0x10 drop",
        &expect![[r#"
        0x10 has bits that are not in the mask 0xf
          did you mean meta mark & 0xf == 0x0?"#]],
    );
    check(
        "meta mark & 0xf drop",
        &expect![[r#"
        a masked mark is compared with == or !=
          meta mark 0x1, meta mark != 0x1, or meta mark & 0xff == 0x10"#]],
    );
    check(
        "limit rate 10 accept",
        &expect![[r#"
        "10" is no rate of packets
          limit rate 10/second burst 20 packets"#]],
    );
    check(
        "limit rate 0/second accept",
        &expect![[r#"
        a rate of 0 is not possible
          use 1 to 1000000"#]],
    );
    check(
        "limit rate 1/second burst 70000 packets accept",
        &expect![[r#"
        a burst of 70000 is not possible
          use 1 to 65535"#]],
    );
    check(
        "log prefix \"\"",
        &expect![[r#"
        the prefix "" cannot be logged
          use 1 to 127 printable ASCII characters, without " and $"#]],
    );
    check(
        "log level loud",
        &expect![[r#"
        there is no level "loud"
          use emerg, alert, crit, err, warn, notice, info, debug"#]],
    );
}

#[test]
fn rules_that_no_packet_could_pass_or_that_never_end() {
    check(
        "ip saddr 10.0.0.1 ip6 daddr ::1 drop",
        &expect![[r#"
        the packet is IPv4 already, and "ip6 daddr ::1" wants IPv6
          make two rules of it, one for each family"#]],
    );
    check(
        "tcp sport 1 udp dport 2 drop",
        &expect![[r#"
        the packet is tcp already, and "udp dport 2" wants udp
          make two rules of it; or for a port of several protocols: meta l4proto { tcp, udp } th dport 53"#]],
    );
    check(
        "ct original proto-dst 8080 drop",
        &expect![[r#"
        "ct original proto-dst 8080" does not say of which protocol
          write the protocol before it: meta l4proto tcp ct original proto-dst 8080"#]],
    );
    check(
        "drop counter",
        &expect![[r#"
        "counter" comes after drop, and would never be asked
          let the rule end with drop, and begin another on a new line"#]],
    );
    check(
        "tcp dport 22\n# here\naccept drop",
        &expect![[r#"
        a.nft:4 is not understood: "drop" comes after accept, and would never be asked
          let the rule end with accept, and begin another on a new line"#]],
    );
    check(
        &"counter ".repeat(33),
        &expect![[r#"
        the rule has 33 parts
          make two of it, of at most 32 parts each"#]],
    );
    check(
        "tcp dport",
        &expect![[r#"
        the line ends too early
          a port is a number: tcp dport 80, tcp dport != 22, or tcp dport { 80, 443, 8000-8100 }"#]],
    );
    check(
        "log prefix \"open",
        &expect![[r#"
        a quote is not closed on its line
          log prefix "web: " level info"#]],
    );
    check(
        "tcp dport = 22 drop",
        &expect![[r#"
        there are == and !=, and no other signs to compare with
          a port is a number: tcp dport 80, tcp dport != 22, or tcp dport { 80, 443, 8000-8100 }"#]],
    );
}

#[test]
fn files_that_are_none() {
    let check = |text: &str, expected: Expect| expected.assert_eq(&refusal(text));
    check(
        "table inet bowline {\n chain user-forward { }\n}",
        expect![[r#"
        a.nft:1 is not understood: "table" is not possible: the table is bowline's, and it is filled whole
          write chain user-forward { … } by itself, and the rules in it"#]],
    );
    check(
        "add rule inet bowline user-forward drop",
        expect![[r#"
        a.nft:1 is not understood: "add" is not possible: the table is bowline's, and it is filled whole
          write chain user-forward { … } by itself, and the rules in it"#]],
    );
    check(
        "define bad = 1",
        expect![[r#"
        a.nft:1 is not understood: "define" is not possible: there are no variables
          write the value where it is wanted"#]],
    );
    check(
        "\nchain mine { drop }",
        expect![[r#"
        a.nft:2 is not understood: chain "mine" is not yours to fill
          a file holds: chain user-forward { … } and chain user-prerouting { … }"#]],
    );
    check(
        "chain user-forward\n{ }",
        expect![[r#"
        a.nft:1 is not understood: the line ends too early
          chain user-forward {"#]],
    );
    check(
        "chain user-forward {\n drop\n",
        expect![[r#"
        a.nft:3 is not understood: chain user-forward has no end
          write a last line }"#]],
    );
    check(
        "chain user-forward {\n drop\n}\n}",
        expect![[r#"
        a.nft:4 is not understood: } has no meaning here
          a file holds: chain user-forward { … } and chain user-prerouting { … }"#]],
    );
    check(
        "chain user-prerouting {\n oifname \"eth0\" drop\n}",
        expect![[r#"
        a.nft:2 is not understood: before routing it is not known yet by which card a packet leaves
          write this rule into chain user-forward"#]],
    );
    check(
        "tcp dport 22 drop",
        expect![[r#"
        a.nft:1 is not understood: "tcp" stands outside of a chain
          a file holds: chain user-forward { … } and chain user-prerouting { … }"#]],
    );
    check(
        "chain user-forward {\n drop \u{7}\n}",
        expect![[r#"
        a.nft:2 is not understood: there is a control character
          a rule is made of matches"#]],
    );
    check(
        &format!("chain user-forward {{\n{}}}", "drop\n".repeat(1001)),
        expect![[r#"
        a.nft:1002 is not understood: there are more than 1000 rules
          put values of like rules into one set: ip saddr { 192.0.2.1, 198.51.100.0/24 } drop"#]],
    );
}
