//! The part of a subnet that addresses are chosen from: a prefix inside it, or from one address to another.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::network::prefix;
use crate::{Code, Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Prefix(IpNetwork),
    /// Both included, of one family, the first not behind the last.
    Span {
        first: IpAddr,
        last: IpAddr,
    },
}

impl Range {
    pub fn span(first: IpAddr, last: IpAddr) -> Result<Range> {
        if first.is_ipv4() == last.is_ipv4() && first <= last {
            return Ok(Range::Span { first, last });
        }
        Err(Error::new(Code::InvalidRange, format!("address range {first}-{last} is not usable"))
            .because("its first address is behind its last, or of the other family")
            .fix("write it as 10.9.0.10-10.9.0.99, or as a prefix such as 10.9.0.128/25"))
    }

    pub fn first(&self) -> IpAddr {
        match self {
            Range::Prefix(net) => net.network(),
            Range::Span { first, .. } => *first,
        }
    }

    pub fn last(&self) -> IpAddr {
        match self {
            Range::Prefix(net) => net.broadcast(),
            Range::Span { last, .. } => *last,
        }
    }

    pub fn is_inside(&self, net: IpNetwork) -> bool {
        net.contains(self.first()) && net.contains(self.last())
    }
}

/// `10.9.0.128/25` or `10.9.0.10-10.9.0.99`
impl FromStr for Range {
    type Err = Error;

    fn from_str(text: &str) -> Result<Range> {
        let bad = |e: Error| Error { code: Code::InvalidRange, ..e };
        match text.split_once('-') {
            None => prefix(text).map(Range::Prefix).map_err(bad),
            Some((first, last)) => match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => Range::span(first, last),
                (Ok(_) | Err(_), _) => Err(Error::new(
                    Code::InvalidRange,
                    format!("address range {} is not usable", crate::name::quoted(text)),
                )
                .fix("write it as 10.9.0.10-10.9.0.99, or as a prefix such as 10.9.0.128/25")),
            },
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Prefix(net) => write!(f, "{net}"),
            Range::Span { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_range_read_back() {
        for text in ["10.9.0.128/25", "10.9.0.10-10.9.0.99", "fd00::/120", "fd00::5-fd00::ff"] {
            assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_range() {
        for text in ["", "10.9.0.1", "10.9.0.9-10.9.0.1", "10.9.0.1-fd00::1", "10.9.0.1-", "a-b", "-"] {
            assert_eq!(text.parse::<Range>().unwrap_err().code, Code::InvalidRange, "{text}");
        }
    }
}
