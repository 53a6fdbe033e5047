//! Settings of a host that are not ours but decide whether networks work, and how full its tables are.

use bowline_core::Result;
use bowline_core::kernel::{Gauge, Sights};

use crate::sysctl;

/// Of the calling thread's namespace.
pub(super) fn sights() -> Result<Sights> {
    // Without the module there is no such file, and nothing is filtered.
    let filtered = is_on("net/bridge/bridge-nf-call-iptables")?.unwrap_or(false)
        || is_on("net/bridge/bridge-nf-call-ip6tables")?.unwrap_or(false);
    let flows = (
        number("net/netfilter/nf_conntrack_count")?,
        // Zero means that there is no limit.
        number("net/netfilter/nf_conntrack_max")?.filter(|&limit| limit > 0),
    );
    Ok(Sights {
        forwards: is_on("net/ipv4/ip_forward")?,
        bridged_are_filtered: Some(filtered),
        neighbours: [neighbours("ipv4", "arp_cache")?, neighbours("ipv6", "ndisc_cache")?],
        flows: gauge(flows),
    })
}

/// The kernel has one table for all namespaces, and shows it in the first.
fn neighbours(family: &str, table: &str) -> Result<Option<Gauge>> {
    let limit = number(&format!("net/{family}/neigh/default/gc_thresh3"))?;
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/stat/{table}")).ok();
    Ok(gauge((text.as_deref().and_then(entries), limit)))
}

/// The first column of every line is their number, in hex.
fn entries(table: &str) -> Option<u64> {
    let line = table.lines().nth(1)?;
    u64::from_str_radix(line.split_ascii_whitespace().next()?, 16).ok()
}

fn gauge((used, limit): (Option<u64>, Option<u64>)) -> Option<Gauge> {
    Some(Gauge { used: used?, limit: limit? })
}

fn is_on(path: &str) -> Result<Option<bool>> {
    Ok(number(path)?.map(|value| value != 0))
}

fn number(path: &str) -> Result<Option<u64>> {
    Ok(sysctl::get(path)?.and_then(|value| value.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_neighbours_is_in_the_first_column() {
        let table = "entries  allocs   destroys\n0000001f 00009cfb 00009e81\n0000001f 000095b2 00009429\n";
        assert_eq!(entries(table), Some(31));
        assert_eq!(entries("entries\n"), None);
        assert_eq!(entries(""), None);
    }
}
