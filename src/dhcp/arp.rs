//! ARP for one address (RFC 5227): whether somebody has it already, and telling everybody that it is ours now.

use std::net::Ipv4Addr;

use bowline_core::mac::Mac;

/// An ARP packet for IPv4 on an Ethernet, from its sender's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    pub sender: Mac,
    pub address: Ipv4Addr,
    /// Whom it asks for, or tells.
    pub target: Ipv4Addr,
}

const HEAD: [u8; 7] = [0, 1, 8, 0, 6, 4, 0];
const REQUEST: u8 = 1;
const LENGTH: usize = 28;

impl Arp {
    pub fn parse(packet: &[u8]) -> Option<Arp> {
        let packet = packet.get(..LENGTH)?;
        if packet[..7] != HEAD || !matches!(packet[7], 1 | 2) {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        Some(Arp { sender: Mac(packet[8..14].try_into().ok()?), address: address(14), target: address(24) })
    }
}

/// "Who has this address?", without saying that we do.
pub fn question(from: Mac, about: Ipv4Addr) -> Vec<u8> {
    request(from, Ipv4Addr::UNSPECIFIED, about)
}

/// "I have this address": neighbours that remember another card forget it.
pub fn statement(from: Mac, own: Ipv4Addr) -> Vec<u8> {
    request(from, own, own)
}

/// Whether a packet tells that another card has an address, or is about to take it.
pub fn claims(packet: &[u8], address: Ipv4Addr, own: Mac) -> bool {
    let Some(arp) = Arp::parse(packet).filter(|arp| arp.sender != own) else { return false };
    arp.address == address || (arp.address.is_unspecified() && arp.target == address)
}

fn request(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = Vec::with_capacity(LENGTH);
    packet.extend(HEAD);
    packet.push(REQUEST);
    packet.extend(from.0);
    packet.extend(sender.octets());
    packet.extend([0; 6]);
    packet.extend(target.octets());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const AT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

    #[test]
    fn another_that_has_it_or_asks_for_it_claims_it() {
        assert!(claims(&statement(OTHER, AT), AT, OWN));
        assert!(claims(&question(OTHER, AT), AT, OWN));
        assert!(!claims(&statement(OTHER, Ipv4Addr::new(192, 0, 2, 8)), AT, OWN));
        // A neighbour that looks for whoever has it.
        assert!(!claims(&request(OTHER, Ipv4Addr::new(192, 0, 2, 8), AT), AT, OWN));
        assert!(!claims(&statement(OWN, AT), AT, OWN), "it is our own");
        assert!(!claims(&statement(OTHER, AT)[..27], AT, OWN), "it is cut short");
    }
}
