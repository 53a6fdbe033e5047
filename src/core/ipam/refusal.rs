//! What a pool says when it cannot give an address: whose it is, and which one is free.

use std::net::IpAddr;

use super::bits::Bits;
use super::{Holder, Pool};
use crate::network::is_pair;
use crate::range::Range;
use crate::{Code, Error, Result};

impl Pool {
    pub(super) fn fits(&self, address: IpAddr) -> Result<Bits> {
        let net = self.net;
        let why = if address.is_ipv4() != net.is_ipv4() {
            "it is of the other address family"
        } else if !net.contains(address) {
            "it is outside"
        } else if is_pair(net) {
            return Ok(Bits::of(address));
        } else if address == net.network() {
            "it is the address of the subnet itself"
        } else if net.is_ipv4() && address == net.broadcast() {
            "it is the broadcast address"
        } else {
            return Ok(Bits::of(address));
        };
        Err(Error::new(Code::InvalidAddress, format!("address {address} does not fit subnet {net}"))
            .because(why)
            .fix(self.another()))
    }

    pub(super) fn taken(&self, address: IpAddr, by: &Holder) -> Error {
        Error::new(Code::AddressTaken, format!("address {address} is taken"))
            .because(format!("it belongs to {by}"))
            .fix(self.another())
    }

    pub(super) fn full(&self) -> Error {
        let what = match self.range {
            Some(range) => format!("range {range} of subnet {} has no free address", self.net),
            None => format!("subnet {} has no free address", self.net),
        };
        let why = match (self.size(), self.kept) {
            (0, _) => "it has none that a member could have".to_string(),
            (1, 0) => "its only one is held".to_string(),
            (size, 0) => format!("all {size} are held"),
            (size, kept) => format!("all {size} are held, {kept} of them for stopped endpoints"),
        };
        Error::new(Code::SubnetFull, what).because(why).fix(self.more_room())
    }

    fn another(&self) -> String {
        let option = if self.net.is_ipv4() { "--ip" } else { "--ip6" };
        match self.next_free() {
            Some(next) => format!("use {option} {next}, the next free one, or leave it out"),
            None => self.more_room(),
        }
    }

    fn more_room(&self) -> String {
        let remove = if self.kept > 0 { "remove stopped endpoints" } else { "remove endpoints" };
        let larger = match self.range {
            Some(Range::Prefix(range)) if range.prefix() > self.net.prefix() => {
                format!("an --ip-range larger than a /{}", range.prefix())
            }
            Some(Range::Span { .. }) => "a larger --ip-range".to_string(),
            Some(Range::Prefix(_)) | None => format!("a subnet larger than a /{}", self.net.prefix()),
        };
        format!("{remove}, or create a network with {larger}")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::ipam::model::{address, endpoint, fixed, pool, subnet, told};

    #[test]
    fn what_an_address_that_does_not_fit_says() {
        let check = |text, expected: Expect| {
            let error = pool("10.9.0.0/24").take_this(address(text), endpoint(1)).unwrap_err();
            expected.assert_eq(&told(&error));
        };
        check(
            "10.8.0.7",
            expect![[r#"
            error[BWL-1106]: address 10.8.0.7 does not fit subnet 10.9.0.0/24
            cause: it is outside
            fix: use --ip 10.9.0.2, the next free one, or leave it out
        "#]],
        );
        check(
            "10.9.0.0",
            expect![[r#"
            error[BWL-1106]: address 10.9.0.0 does not fit subnet 10.9.0.0/24
            cause: it is the address of the subnet itself
            fix: use --ip 10.9.0.2, the next free one, or leave it out
        "#]],
        );
        check(
            "10.9.0.255",
            expect![[r#"
            error[BWL-1106]: address 10.9.0.255 does not fit subnet 10.9.0.0/24
            cause: it is the broadcast address
            fix: use --ip 10.9.0.2, the next free one, or leave it out
        "#]],
        );
        check(
            "::a09:5",
            expect![[r#"
            error[BWL-1106]: address ::a09:5 does not fit subnet 10.9.0.0/24
            cause: it is of the other address family
            fix: use --ip 10.9.0.2, the next free one, or leave it out
        "#]],
        );
    }

    #[test]
    fn what_a_taken_address_says() {
        let mut v4 = Pool::new(&subnet("10.9.0.0/29", None, None, &[("n\u{1b}as", "10.9.0.6")]));
        v4.take_this(address("10.9.0.2"), endpoint(1)).unwrap();
        v4.take_this(address("10.9.0.3"), fixed(2)).unwrap();
        let check = |pool: &mut Pool, text, expected: Expect| {
            expected.assert_eq(&told(&pool.take_this(address(text), endpoint(7)).unwrap_err()));
        };
        check(
            &mut v4,
            "10.9.0.1",
            expect![[r#"
            error[BWL-1206]: address 10.9.0.1 is taken
            cause: it belongs to the gateway
            fix: use --ip 10.9.0.4, the next free one, or leave it out
        "#]],
        );
        check(
            &mut v4,
            "10.9.0.2",
            expect![[r#"
            error[BWL-1206]: address 10.9.0.2 is taken
            cause: it belongs to endpoint e1
            fix: use --ip 10.9.0.4, the next free one, or leave it out
        "#]],
        );
        check(
            &mut v4,
            "10.9.0.3",
            expect![[r#"
            error[BWL-1206]: address 10.9.0.3 is taken
            cause: it belongs to stopped endpoint e2
            fix: use --ip 10.9.0.4, the next free one, or leave it out
        "#]],
        );
        check(
            &mut v4,
            "10.9.0.6",
            expect![[r#"
            error[BWL-1206]: address 10.9.0.6 is taken
            cause: it belongs to auxiliary address "n\u{1b}as"
            fix: use --ip 10.9.0.4, the next free one, or leave it out
        "#]],
        );
        check(
            &mut pool("fd00::/64"),
            "fd00::1",
            expect![[r#"
            error[BWL-1206]: address fd00::1 is taken
            cause: it belongs to the gateway
            fix: use --ip6 fd00::2, the next free one, or leave it out
        "#]],
        );
        check(
            &mut pool_of_one(),
            "10.9.0.2",
            expect![[r#"
            error[BWL-1206]: address 10.9.0.2 is taken
            cause: it belongs to endpoint e1
            fix: remove endpoints, or create a network with a subnet larger than a /30
        "#]],
        );
    }

    fn pool_of_one() -> Pool {
        let mut pool = pool("10.9.0.0/30");
        pool.take(endpoint(1)).unwrap();
        pool
    }

    #[test]
    fn what_a_full_subnet_says() {
        let check = |pool: &mut Pool, expected: Expect| {
            expected.assert_eq(&told(&pool.take(endpoint(7)).unwrap_err()));
        };
        check(
            &mut pool_of_one(),
            expect![[r#"
            error[BWL-1207]: subnet 10.9.0.0/30 has no free address
            cause: all 2 are held
            fix: remove endpoints, or create a network with a subnet larger than a /30
        "#]],
        );
        let mut kept = pool("10.9.0.0/29");
        for i in 0..5 {
            kept.take(if i < 2 { fixed(i) } else { endpoint(i) }).unwrap();
        }
        check(
            &mut kept,
            expect![[r#"
            error[BWL-1207]: subnet 10.9.0.0/29 has no free address
            cause: all 6 are held, 2 of them for stopped endpoints
            fix: remove stopped endpoints, or create a network with a subnet larger than a /29
        "#]],
        );
        let mut range = Pool::new(&subnet("10.9.0.0/24", None, Some("10.9.0.8/32"), &[]));
        range.take(endpoint(0)).unwrap();
        check(
            &mut range,
            expect![[r#"
            error[BWL-1207]: range 10.9.0.8/32 of subnet 10.9.0.0/24 has no free address
            cause: its only one is held
            fix: remove endpoints, or create a network with an --ip-range larger than a /32
        "#]],
        );
        check(
            &mut Pool::new(&subnet("10.9.0.0/24", None, Some("10.9.0.255/32"), &[])),
            expect![[r#"
            error[BWL-1207]: range 10.9.0.255/32 of subnet 10.9.0.0/24 has no free address
            cause: it has none that a member could have
            fix: remove endpoints, or create a network with an --ip-range larger than a /32
        "#]],
        );
    }
}
