//! A DHCP message (RFC 2131 section 2, options RFC 2132) as bytes and back. What strangers send is read to its end or not at all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bowline_core::mac::Mac;

/// The options that we know.
pub mod option {
    pub const MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const MTU: u8 = 26;
    pub const BROADCAST: u8 = 28;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const WANTED: u8 = 55;
    pub const TEXT: u8 = 56;
    pub const LARGEST: u8 = 57;
    pub const T1: u8 = 58;
    pub const T2: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const SEARCH: u8 = 119;
    pub const ROUTES: u8 = 121;
}

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where BOOTP ends and options begin.
const OPTIONS: usize = 240;
const PAD: u8 = 0;
const END: u8 = 255;
/// Some servers take nothing that is shorter than what BOOTP had (RFC 1542 section 2.1).
const SHORTEST: usize = 300;
const BROADCAST_FLAG: u16 = 0x8000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Discover,
    Offer,
    Request,
    Decline,
    Ack,
    Nak,
    Release,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub is_reply: bool,
    pub xid: u32,
    /// How long the client has been asking.
    pub secs: u16,
    /// Asks the server to answer to everybody.
    pub broadcast: bool,
    /// The address that the client has.
    pub ciaddr: Ipv4Addr,
    /// The address that is given to it.
    pub yiaddr: Ipv4Addr,
    pub chaddr: Mac,
    /// In parts that were sent apart put together (RFC 3396).
    pub options: BTreeMap<u8, Vec<u8>>,
}

impl Message {
    pub fn new(kind: Kind, xid: u32, chaddr: Mac) -> Message {
        Message {
            is_reply: false,
            xid,
            secs: 0,
            broadcast: false,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            chaddr,
            options: BTreeMap::from([(option::KIND, vec![kind.number()])]),
        }
    }

    /// None for what is no DHCP message of an Ethernet.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        let (head, rest) = bytes.split_at_checked(OPTIONS)?;
        if head[1] != ETHERNET || head[2] != 6 || head[236..] != COOKIE {
            return None;
        }
        let mut options = BTreeMap::new();
        read_options(rest, &mut options)?;
        // Options may go on where BOOTP had the names of a file and of a server.
        let overload = options.get(&option::OVERLOAD).and_then(|value: &Vec<u8>| value.first()).copied();
        let (sname, file) = (&head[44..108], &head[108..236]);
        match overload {
            None | Some(0) => (),
            Some(1) => read_options(file, &mut options)?,
            Some(2) => read_options(sname, &mut options)?,
            Some(3) => {
                read_options(file, &mut options)?;
                read_options(sname, &mut options)?;
            }
            Some(_) => return None,
        }
        Some(Message {
            is_reply: match head[0] {
                REQUEST => false,
                REPLY => true,
                _ => return None,
            },
            xid: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            secs: u16::from_be_bytes([head[8], head[9]]),
            broadcast: u16::from_be_bytes([head[10], head[11]]) & BROADCAST_FLAG != 0,
            ciaddr: address(&head[12..16])?,
            yiaddr: address(&head[16..20])?,
            chaddr: Mac(head[28..34].try_into().ok()?),
            options,
        })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; OPTIONS];
        out[0] = if self.is_reply { REPLY } else { REQUEST };
        out[1] = ETHERNET;
        out[2] = 6;
        out[4..8].copy_from_slice(&self.xid.to_be_bytes());
        out[8..10].copy_from_slice(&self.secs.to_be_bytes());
        out[10..12].copy_from_slice(&(if self.broadcast { BROADCAST_FLAG } else { 0 }).to_be_bytes());
        out[12..16].copy_from_slice(&self.ciaddr.octets());
        out[16..20].copy_from_slice(&self.yiaddr.octets());
        out[28..34].copy_from_slice(&self.chaddr.0);
        out[236..240].copy_from_slice(&COOKIE);
        // Some servers look for the kind in the first place only.
        let kind = self.options.get_key_value(&option::KIND);
        let others = self.options.iter().filter(|(code, _)| **code != option::KIND);
        for (&code, value) in kind.into_iter().chain(others) {
            // Also a value of no bytes is there.
            let parts = value.chunks(255).chain(value.is_empty().then_some(&[][..]));
            for part in parts {
                out.extend([code, part.len() as u8]);
                out.extend(part);
            }
        }
        out.push(END);
        out.resize(out.len().max(SHORTEST), PAD);
        out
    }

    pub fn kind(&self) -> Option<Kind> {
        match *self.options.get(&option::KIND)?.as_slice() {
            [1] => Some(Kind::Discover),
            [2] => Some(Kind::Offer),
            [3] => Some(Kind::Request),
            [4] => Some(Kind::Decline),
            [5] => Some(Kind::Ack),
            [6] => Some(Kind::Nak),
            [7] => Some(Kind::Release),
            _ => None,
        }
    }

    /// The option's value, where it is one address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.options.get(&code).and_then(|value| address(value))
    }

    /// The option's value, where it is one number of four bytes.
    pub fn number(&self, code: u8) -> Option<u32> {
        let bytes: [u8; 4] = self.options.get(&code)?.as_slice().try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// The option's value, where it is a list of addresses: none of it where it is something else.
    pub fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let value = self.options.get(&code).map_or(&[][..], Vec::as_slice);
        if !value.len().is_multiple_of(4) {
            return Vec::new();
        }
        value.chunks_exact(4).filter_map(address).collect()
    }
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Discover => 1,
            Kind::Offer => 2,
            Kind::Request => 3,
            Kind::Decline => 4,
            Kind::Ack => 5,
            Kind::Nak => 6,
            Kind::Release => 7,
        }
    }
}

/// None where an option says to be longer than what is there.
fn read_options(mut bytes: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) -> Option<()> {
    while let Some((&code, rest)) = bytes.split_first() {
        bytes = match code {
            PAD => rest,
            END => return Some(()),
            _ => {
                let (&length, rest) = rest.split_first()?;
                let (value, rest) = rest.split_at_checked(usize::from(length))?;
                options.entry(code).or_default().extend(value);
                rest
            }
        };
    }
    // There should be an end; servers are known to forget it.
    Some(())
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Message {
        let mut message = Message::new(Kind::Offer, 7, Mac([2, 0, 0, 0, 0, 1]));
        message.is_reply = true;
        message.yiaddr = Ipv4Addr::new(192, 0, 2, 9);
        message.options.insert(option::MASK, vec![255, 255, 255, 0]);
        message.options.insert(option::ROUTES, vec![7; 600]);
        message.options.insert(80, Vec::new());
        message
    }

    #[test]
    fn a_message_survives_the_wire_also_where_an_option_is_longer_than_one_can_be() {
        let there = offer();
        let bytes = there.to_bytes();
        assert!(bytes.len() >= SHORTEST);
        assert_eq!(Message::parse(&bytes), Some(there));
    }

    #[test]
    fn what_is_cut_short_within_an_option_is_no_message() {
        let bytes = offer().to_bytes();
        let end = bytes.iter().rposition(|b| *b == END).unwrap();
        // Between two options it could be whole; the others are counted.
        let whole = (OPTIONS..end).filter(|at| Message::parse(&bytes[..*at]).is_some()).count();
        assert_eq!(whole, 6, "after none, and after each of the five parts");
        assert!((0..OPTIONS).all(|at| Message::parse(&bytes[..at]).is_none()));
    }

    #[test]
    fn options_go_on_in_the_fields_of_bootp() {
        let mut bytes = offer().to_bytes();
        bytes.truncate(OPTIONS);
        bytes.extend([option::OVERLOAD, 1, 3, END]);
        bytes[108..115].copy_from_slice(&[option::KIND, 1, 5, option::DNS, 2, 9, 9]);
        bytes[115] = END;
        bytes[44..49].copy_from_slice(&[option::DNS, 2, 9, 9, END]);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.kind(), Some(Kind::Ack));
        assert_eq!(message.addresses(option::DNS), [Ipv4Addr::new(9, 9, 9, 9)]);
        let at = bytes.len() - 2;
        bytes[at] = 4;
        assert_eq!(Message::parse(&bytes), None, "there are three ways only");
    }

    #[test]
    fn what_is_of_another_kind_of_link_or_no_dhcp_is_not_ours() {
        for (at, value) in [(0, 3), (1, 6), (2, 16), (236, 0)] {
            let mut bytes = offer().to_bytes();
            bytes[at] = value;
            assert_eq!(Message::parse(&bytes), None, "byte {at}");
        }
    }
}
