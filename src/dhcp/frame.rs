//! IPv4 and UDP around a message, for a client that has no address yet and cannot leave them to the kernel.

use std::net::{Ipv4Addr, SocketAddrV4};

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const TTL: u8 = 64;
/// As expedited as what keeps a network going (CS6).
const TOS: u8 = 0xc0;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_OR_LATER: u16 = 0x3fff;

/// Whether a packet's UDP checksum is there to be checked. One that never left this host may bear none yet, since a
/// card would have filled it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Filled,
    NotYet,
}

/// An IP packet.
pub fn wrap(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp_length = (UDP_HEADER + payload.len()) as u16;
    let mut packet = Vec::with_capacity(IP_HEADER + usize::from(udp_length));
    packet.extend([0x45, TOS]);
    packet.extend((IP_HEADER as u16 + udp_length).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(DONT_FRAGMENT.to_be_bytes());
    packet.extend([TTL, UDP, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    let sum = !folded(sum(&packet));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    // None is written as zero, and zero as its other self (RFC 768).
    let sum = match !udp_sum(&packet[IP_HEADER..], *from.ip(), *to.ip()) {
        0 => u16::MAX,
        sum => sum,
    };
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Who sent an IP packet to this UDP port, and what. None for what is damaged, in parts, or something else.
pub fn unwrap(packet: &[u8], port: u16, checksum: Checksum) -> Option<(SocketAddrV4, &[u8])> {
    let &first = packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header < IP_HEADER {
        return None;
    }
    let (head, rest) = packet.split_at_checked(header)?;
    let total = usize::from(number(&head[2..4]));
    let in_parts = number(&head[6..8]) & MORE_OR_LATER != 0;
    if head[9] != UDP || in_parts || folded(sum(head)) != u16::MAX {
        return None;
    }
    // A short frame is padded, so there may be more than the packet says, but not less.
    let datagram = rest.get(..total.checked_sub(header)?)?;
    let udp_head = datagram.get(..UDP_HEADER)?;
    let datagram = datagram.get(..usize::from(number(&udp_head[4..6])))?;
    let payload = datagram.get(UDP_HEADER..)?;
    if number(&udp_head[2..4]) != port {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    let (from, to) = (address(12), address(16));
    let unsummed = number(&udp_head[6..8]) == 0;
    if checksum == Checksum::Filled && !unsummed && udp_sum(datagram, from, to) != u16::MAX {
        return None;
    }
    Some((SocketAddrV4::new(from, number(&udp_head[0..2])), payload))
}

fn udp_sum(datagram: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> u16 {
    let pseudo = sum(&from.octets()) + sum(&to.octets()) + u32::from(UDP) + datagram.len() as u32;
    folded(pseudo + sum(datagram))
}

/// At most 64 KiB are summed, which cannot overflow.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    words.map(u32::from).sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > u32::from(u16::MAX) {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 67);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(255, 255, 255, 255), 68);

    #[test]
    fn what_is_wrapped_is_found_again_behind_padding_too() {
        for payload in [&b"odd"[..], b"even", b""] {
            let mut packet = wrap(FROM, TO, payload);
            packet.resize(60, 0xee);
            assert_eq!(unwrap(&packet, 68, Checksum::Filled), Some((FROM, payload)));
        }
    }

    #[test]
    fn any_bit_that_is_wrong_is_seen() {
        let packet = wrap(FROM, TO, b"offer");
        for bit in 0..packet.len() * 8 {
            let mut wrong = packet.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unwrap(&wrong, 68, Checksum::Filled), None, "bit {bit}");
        }
    }

    #[test]
    fn a_checksum_that_is_not_filled_in_is_not_checked() {
        let mut packet = wrap(FROM, TO, b"offer");
        packet[26..28].copy_from_slice(&[0xba, 0xad]);
        assert_eq!(unwrap(&packet, 68, Checksum::Filled), None);
        assert!(unwrap(&packet, 68, Checksum::NotYet).is_some());
        packet[26..28].copy_from_slice(&[0, 0]);
        assert!(unwrap(&packet, 68, Checksum::Filled).is_some(), "the sender made none");
    }

    #[test]
    fn nothing_that_is_cut_short_is_taken() {
        let packet = wrap(FROM, TO, b"offer");
        assert!((0..packet.len()).all(|end| unwrap(&packet[..end], 68, Checksum::NotYet).is_none()));
    }
}
