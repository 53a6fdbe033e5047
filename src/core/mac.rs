//! A card's hardware address.

use std::net::Ipv6Addr;
use std::{fmt, str::FromStr};

use crate::name::quoted;
use crate::{Code, Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A unicast, locally administered address made of 46 bits that the caller finds unique.
    pub fn local(bits: u64) -> Mac {
        let mut bytes: [u8; 6] = bits.to_be_bytes()[2..].try_into().expect("six of eight bytes");
        bytes[0] = (bytes[0] & 0xfc) | 0x02;
        Mac(bytes)
    }

    /// The link-local address that a card of this MAC gives itself (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, g] = self.0.map(u16::from);
        let id = [(a ^ 0x02) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | g];
        Ipv6Addr::new(0xfe80, 0, 0, 0, id[0], id[1], id[2], id[3])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Mac> {
        let bad = |why| {
            Error::new(Code::InvalidMac, format!("MAC address {} is not usable", quoted(text)))
                .because(why)
                .fix("give six hex bytes of a unicast address, such as 02:42:ac:11:00:02")
        };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|p| p.len() == 2).ok_or_else(|| bad("it does not have six bytes"))?;
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad("it is not hexadecimal"));
            }
            *byte = u8::from_str_radix(part, 16).expect("two hex digits are a byte");
        }
        if parts.next().is_some() {
            return Err(bad("it has more than six bytes"));
        }
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(bad("it is not a unicast address"));
        }
        Ok(Mac(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let mac: Mac = "02:42:AC:11:00:02".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "02:42",
            "02:42:ac:11:00:02:03",
            "zz:42:ac:11:00:02",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "+2:42:ac:11:00:02",
        ] {
            assert_eq!(text.parse::<Mac>().unwrap_err().code, Code::InvalidMac, "{text:?}");
        }
    }

    #[test]
    fn local_addresses_are_unicast() {
        assert_eq!(Mac::local(u64::MAX).0[0] & 3, 2);
    }
}
