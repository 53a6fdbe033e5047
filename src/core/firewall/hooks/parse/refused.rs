//! Words of nft's that mean nothing here, and why.

use crate::Error;
use crate::firewall::hooks::bad;
use crate::name::quoted;

pub(super) const UNDERSTOOD: &str = "a rule is made of matches: iifname, oifname, ip saddr, ip daddr, ip protocol, \
    ip6 saddr, ip6 daddr, meta l4proto, meta mark, tcp sport, tcp dport (udp, sctp and th too), icmp type, icmpv6 type, \
    ct state, ct status dnat, ct original, fib daddr type local; statements: counter, log, limit rate; and a verdict: \
    accept, drop, reject, return";

const NO_SETS: (&str, &str) =
    ("there are no named sets", "write the values into the rule: { 192.0.2.1, 198.51.100.0/24 }");
const NO_VARIABLES: (&str, &str) = ("there are no variables", "write the value where it is wanted");

/// Of a rule or outside of any.
pub(super) fn anywhere(word: &str) -> Option<Error> {
    let (why, fix) = match word {
        "jump" | "goto" | "vmap" | "map" => {
            ("your rules call no other chains", "write the rules of that chain here, one after the other")
        }
        "define" | "redefine" | "undefine" => NO_VARIABLES,
        "include" => (
            "a file includes no others",
            "put that file into the same directory: all *.nft in it are read, by name",
        ),
        "type" | "hook" | "priority" | "policy" | "flags" | "devices" => {
            ("where the chain is called is settled: bowline's own chains jump to it", "leave that line out")
        }
        "set" | "elements" | "typeof" => NO_SETS,
        "snat" | "dnat" | "masquerade" | "redirect" => (
            "addresses are translated by bowline alone",
            "publish a port with -p, or 'bowline port publish'; your own tables may translate what is not bowline's",
        ),
        "continue" => ("continue does nothing", "leave it out: without a verdict the next rule is asked"),
        _ => return value(word),
    };
    Some(impossible(word, why, fix))
}

/// In the place of a value, where other words may be names.
pub(super) fn value(word: &str) -> Option<Error> {
    let (why, fix) = match word.chars().next()? {
        '@' => NO_SETS,
        '$' => NO_VARIABLES,
        _ => return None,
    };
    Some(impossible(word, why, fix))
}

fn impossible(word: &str, why: &str, fix: &str) -> Error {
    bad(format!("{} is not possible: {why}", quoted(word))).fix(fix)
}

pub(super) fn in_rules(word: &str) -> Error {
    anywhere(word).unwrap_or_else(|| bad(format!("{} is not understood", quoted(word))).fix(UNDERSTOOD))
}

pub(super) fn outside_chains(word: &str) -> Error {
    match word {
        "table" | "add" | "create" | "insert" | "replace" | "delete" | "destroy" | "flush" | "reset"
        | "list" => {
            bad(format!("{} is not possible: the table is bowline's, and it is filled whole", quoted(word)))
                .fix("write chain user-forward { … } by itself, and the rules in it")
        }
        _ => anywhere(word)
            .unwrap_or_else(|| bad(format!("{} stands outside of a chain", quoted(word))).fix(super::CHAINS)),
    }
}
