//! The ports that the kernel gives to whoever asks for any, of which a free one is chosen for whoever publishes any.

use bowline_core::port::Ports;
use bowline_core::{Code, Error, Result};

use crate::sysctl;

const RANGE: &str = "net/ipv4/ip_local_port_range";
const RESERVED: &str = "net/ipv4/ip_local_reserved_ports";

/// The range of such ports without those that are reserved, in order.
pub(crate) fn ephemeral() -> Result<Vec<Ports>> {
    let read = |path| sysctl::get(path).map(Option::unwrap_or_default);
    let (range, reserved) = (read(RANGE)?, read(RESERVED)?);
    without(&range, &reserved).ok_or_else(|| {
        Error::new(Code::Kernel, "read which ports the kernel chooses from")
            .because(format!("{RANGE} is {range:?}, {RESERVED} is {reserved:?}"))
    })
}

/// Reads `32768 60999` and `8080,9148-9150`; None where that is not what they look like.
fn without(range: &str, reserved: &str) -> Option<Vec<Ports>> {
    let (first, last) = range.split_once(char::is_whitespace)?;
    let (mut next, last): (u32, u32) = (first.parse().ok()?, last.trim().parse().ok()?);
    let mut gaps =
        reserved.split(',').filter(|part| !part.is_empty()).map(gap).collect::<Option<Vec<_>>>()?;
    gaps.sort_unstable();
    // As u32, since what follows port 65535 is none.
    let mut free = Vec::new();
    for (from, to) in gaps.into_iter().chain([(last + 1, last + 1)]) {
        let before = from.min(last + 1);
        if next < before {
            free.push(Ports::new(next.try_into().ok()?, (before - 1).try_into().ok()?).ok()?);
        }
        next = next.max(to + 1);
    }
    Some(free)
}

fn gap(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (u16, u16) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    Some((from.into(), to.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, reserved: &str, wanted: &str) {
        let free = without(range, reserved).map(|free| free.iter().map(Ports::to_string).collect::<Vec<_>>());
        let wanted = wanted.split_ascii_whitespace().map(str::to_string).collect::<Vec<_>>();
        assert_eq!(free, Some(wanted), "{range:?} without {reserved:?}");
    }

    #[test]
    fn reserved_ports_are_cut_out_of_the_range() {
        check("32768\t60999", "", "32768-60999");
        check("40000\t40010", "40003,40005-40006", "40000-40002 40004 40007-40010");
        check("40000\t40010", "40000,40010", "40001-40009");
        check("40000\t40010", "39000-40004,40008-41000", "40005-40007");
        check("40000\t40010", "8080,9148", "40000-40010");
        check("40000\t40010", "40008,40002-40004", "40000-40001 40005-40007 40009-40010");
        check("40000\t40010", "40000-40010", "");
        check("1\t65535", "65535", "1-65534");
        check("65535\t65535", "", "65535");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (range, reserved) in
            [("", ""), ("40000", ""), ("a b", ""), ("1 99999", ""), ("1 2", "x"), ("1 2", "99999")]
        {
            assert_eq!(without(range, reserved), None, "{range:?} {reserved:?}");
        }
    }
}
