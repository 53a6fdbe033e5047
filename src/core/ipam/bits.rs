//! An address as a number: neighbours are one apart, and both families share their code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// An address of a family that the reader knows. In tests, comparing two is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), derive(PartialOrd, Ord))]
pub(super) struct Bits(pub(super) u128);

/// When an address was freed: after all of lower turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), derive(PartialOrd, Ord))]
pub(super) struct Turn(pub(super) u64);

impl Bits {
    pub(super) fn of(address: IpAddr) -> Bits {
        match address {
            IpAddr::V4(ip) => Bits(u32::from(ip).into()),
            IpAddr::V6(ip) => Bits(ip.into()),
        }
    }

    /// In the family of `net`.
    pub(super) fn address(self, net: IpNetwork) -> IpAddr {
        match net {
            IpNetwork::V4(_) => {
                Ipv4Addr::from(u32::try_from(self.0).expect("numbers of IPv4 come from u32")).into()
            }
            IpNetwork::V6(_) => Ipv6Addr::from(self.0).into(),
        }
    }
}

/// The first and the last address.
pub(super) fn span(net: IpNetwork) -> (u128, u128) {
    (Bits::of(net.network()).0, Bits::of(net.broadcast()).0)
}

#[cfg(test)]
pub(super) mod counted {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::{Bits, Turn};

    thread_local! { static COMPARISONS: Cell<u64> = const { Cell::new(0) }; }

    /// How many comparisons `act` needed.
    pub(crate) fn comparisons<T>(act: impl FnOnce() -> T) -> (T, u64) {
        let before = COMPARISONS.get();
        let result = act();
        (result, COMPARISONS.get() - before)
    }

    macro_rules! counted {
        ($($name:ident),*) => {$(
            impl Ord for $name {
                fn cmp(&self, other: &Self) -> Ordering {
                    COMPARISONS.set(COMPARISONS.get() + 1);
                    self.0.cmp(&other.0)
                }
            }

            impl PartialOrd for $name {
                fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                    Some(self.cmp(other))
                }
            }
        )*};
    }
    counted!(Bits, Turn);
}
