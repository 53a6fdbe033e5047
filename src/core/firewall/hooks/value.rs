//! What matches compare with: values, ranges of them, and sets of either, which are in order and never twice the same.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::bad;
use crate::Result;
use crate::name::{LinkName, quoted};

/// One of these, or none of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test<T> {
    In(Values<T>),
    NotIn(Values<T>),
}

/// At least one; in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values<T>(Vec<T>);

pub trait Value: Ord + Clone {
    /// Both in one, where they have something in common. `self` is the smaller.
    fn join(&self, next: &Self) -> Option<Self> {
        (self == next).then(|| self.clone())
    }
}

/// From the first to the last, both included; or one, which is both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range<T> {
    first: T,
    last: T,
}

/// What there are ranges of.
pub trait Point: Copy + Ord {
    const BITS: u32;
    /// Whether a range that has the form of a prefix is written as one.
    const HAS_PREFIXES: bool;

    fn bits(self) -> u128;
    /// None where there are more bits than it has.
    fn of_bits(bits: u128) -> Option<Self>;
}

/// A card's name, written as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card(LinkName);

/// The cards that a packet may have come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cards {
    Named(Test<Card>),
    /// All whose names begin with it.
    Like(Card),
    NotLike(Card),
}

/// A protocol above IP, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protocol(pub u8);

/// The type of an ICMP message, of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(pub u8);

impl<T: Value> Values<T> {
    /// None of nothing.
    pub fn new(mut all: Vec<T>) -> Option<Values<T>> {
        all.sort();
        let mut joined: Vec<T> = Vec::with_capacity(all.len());
        for next in all {
            match joined.last_mut().and_then(|last| Some((last.join(&next)?, last))) {
                Some((both, last)) => *last = both,
                None => joined.push(next),
            }
        }
        (!joined.is_empty()).then_some(Values(joined))
    }
}

impl<T> Values<T> {
    pub fn all(&self) -> &[T] {
        &self.0
    }
}

impl<T> Test<T> {
    pub fn values(&self) -> &Values<T> {
        match self {
            Test::In(values) | Test::NotIn(values) => values,
        }
    }

    /// The one value that it takes, where it takes no other.
    pub fn only(&self) -> Option<&T> {
        match self {
            Test::In(Values(all)) => match &all[..] {
                [only] => Some(only),
                _ => None,
            },
            Test::NotIn(_) => None,
        }
    }
}

impl<T: Point> Range<T> {
    pub fn new(first: T, last: T) -> Option<Range<T>> {
        (first <= last).then_some(Range { first, last })
    }

    pub fn one(value: T) -> Range<T> {
        Range { first: value, last: value }
    }

    pub fn first(&self) -> T {
        self.first
    }

    pub fn last(&self) -> T {
        self.last
    }

    pub fn is_one(&self) -> bool {
        self.first == self.last
    }

    /// All that begin with so many bits of an address. None where it has not as many.
    pub fn of_prefix(address: T, len: u32) -> Option<Range<T>> {
        let others = u128::MAX.checked_shr(128 - T::BITS.checked_sub(len)?).unwrap_or(0);
        let (first, last) = (address.bits() & !others, address.bits() | others);
        Range::new(T::of_bits(first)?, T::of_bits(last)?)
    }

    /// The length of the prefix that is exactly this range.
    pub fn prefix(&self) -> Option<u32> {
        let differ = self.first.bits() ^ self.last.bits();
        let is_prefix = differ & differ.wrapping_add(1) == 0 && self.first.bits() & differ == 0;
        (T::HAS_PREFIXES && is_prefix).then(|| T::BITS - differ.count_ones())
    }
}

impl<T: Point> Value for Range<T> {
    fn join(&self, next: &Range<T>) -> Option<Range<T>> {
        (next.first <= self.last).then(|| Range { first: self.first, last: self.last.max(next.last) })
    }
}

impl Value for Card {}
impl Value for Protocol {}
impl Value for Kind {}

impl Point for u16 {
    const BITS: u32 = 16;
    const HAS_PREFIXES: bool = false;

    fn bits(self) -> u128 {
        self.into()
    }

    fn of_bits(bits: u128) -> Option<u16> {
        bits.try_into().ok()
    }
}

impl Point for Ipv4Addr {
    const BITS: u32 = 32;
    const HAS_PREFIXES: bool = true;

    fn bits(self) -> u128 {
        self.to_bits().into()
    }

    fn of_bits(bits: u128) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from_bits(bits.try_into().ok()?))
    }
}

impl Point for Ipv6Addr {
    const BITS: u32 = 128;
    const HAS_PREFIXES: bool = true;

    fn bits(self) -> u128 {
        self.to_bits()
    }

    fn of_bits(bits: u128) -> Option<Ipv6Addr> {
        Some(Ipv6Addr::from_bits(bits))
    }
}

impl Card {
    pub fn new(text: &str) -> Result<Card> {
        if text.contains(['"', '*', '\\']) {
            return Err(bad(format!("the card {} cannot be written", quoted(text)))
                .fix("a name stands for itself: \"eth0\"; with * at its very end, for all that begin with it: \"eth*\""));
        }
        let name = text.parse().map_err(|error: crate::Error| {
            let fix = error.fix.clone().unwrap_or_default();
            bad(error.to_string()).fix(fix)
        })?;
        Ok(Card(name))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
