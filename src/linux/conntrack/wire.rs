//! Messages about flows as bytes: how they are written, and the little that is read of what the kernel says.

use std::net::IpAddr;

use bowline_core::family::Family;
use netlink_packet_core::{DecodeError, NLA_F_NESTED, NLM_F_REQUEST};

use super::flows::Question;
use crate::netlink::wire::{address, attributes};

/// The subsystem number of connection tracking, the high byte of its message types.
const CONNTRACK: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8;
pub(super) const GET: u16 = CONNTRACK | 1;
pub(super) const DELETE: u16 = CONNTRACK | 2;
pub(super) const GET_STATS: u16 = CONNTRACK | 5;

/// What all of netfilter's messages begin with: a family, a version and the number of a resource.
const HEADER: usize = 4;
/// Such a beginning where no family is meant.
pub(super) const ANY: [u8; HEADER] = [libc::AF_UNSPEC as u8, 0, 0, 0];

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;

const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;

const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;

const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;

const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// The parts of a tuple that a filter is to look at.
const FILTER_PROTO_NUM: u32 = 1 << 3;
const FILTER_PROTO_DST_PORT: u32 = 1 << 5;

/// A flow as the kernel shows it: who opened it to whom, and who answers. The two differ where it is translated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow<'a> {
    pub(super) original: Tuple,
    pub(super) reply: Tuple,
    family: u8,
    tuple: &'a [u8],
    id: Option<&'a [u8]>,
    zone: Option<&'a [u8]>,
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) protocol: u8,
    /// Which it goes to. None where the protocol has no ports.
    pub(super) port: Option<u16>,
}

/// The body of a message that removes one flow. One that has taken its place since has another number, mostly: the kernel
/// makes it of the tuple and of where the flow lies in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removal(pub(super) Vec<u8>);

impl<'a> Flow<'a> {
    /// Reads the payload of a message about a flow.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Flow<'a>, DecodeError> {
        let (header, rest) = split(payload)?;
        let (mut original, mut reply, mut id, mut zone) = (None, None, None, None);
        for attribute in attributes(rest) {
            match attribute? {
                (CTA_TUPLE_ORIG, value) => original = Some((Tuple::parse(value)?, value)),
                (CTA_TUPLE_REPLY, value) => reply = Some(Tuple::parse(value)?),
                (CTA_ID, value) => id = Some(value),
                (CTA_ZONE, value) => zone = Some(value),
                _ => (),
            }
        }
        let half = || DecodeError::from("the kernel shows a flow in one direction only");
        let (original, tuple) = original.ok_or_else(half)?;
        Ok(Flow { original, reply: reply.ok_or_else(half)?, family: header[0], tuple, id, zone })
    }

    /// One that no message showed.
    #[cfg(test)]
    pub(super) fn plain(original: Tuple, reply: Tuple) -> Flow<'static> {
        Flow { original, reply, family: 0, tuple: &[], id: None, zone: None }
    }

    pub(super) fn addresses(&self) -> [IpAddr; 4] {
        [self.original.from, self.original.to, self.reply.from, self.reply.to]
    }

    /// The tuple is repeated as it came: that of ICMP, or one with a zone of its own, has more in it than we read.
    pub(super) fn removal(&self) -> Removal {
        let mut body = ANY.to_vec();
        body[0] = self.family;
        nest(&mut body, CTA_TUPLE_ORIG, |body| body.extend(self.tuple));
        if let Some(id) = self.id {
            put(&mut body, CTA_ID, id);
        }
        if let Some(zone) = self.zone {
            put(&mut body, CTA_ZONE, zone);
        }
        Removal(body)
    }
}

impl Tuple {
    fn parse(value: &[u8]) -> Result<Tuple, DecodeError> {
        let (mut from, mut to, mut protocol, mut port) = (None, None, None, None);
        for part in attributes(value) {
            match part? {
                (CTA_TUPLE_IP, value) => (from, to) = addresses(value)?,
                (CTA_TUPLE_PROTO, value) => (protocol, port) = protocol_and_port(value)?,
                _ => (),
            }
        }
        match (from, to, protocol) {
            (Some(from), Some(to), Some(protocol)) => Ok(Tuple { from, to, protocol, port }),
            _ => Err("the kernel shows a flow without its addresses or its protocol".into()),
        }
    }
}

fn addresses(value: &[u8]) -> Result<(Option<IpAddr>, Option<IpAddr>), DecodeError> {
    let (mut from, mut to) = (None, None);
    for part in attributes(value) {
        match part? {
            (CTA_IP_V4_SRC | CTA_IP_V6_SRC, value) => from = address(value),
            (CTA_IP_V4_DST | CTA_IP_V6_DST, value) => to = address(value),
            _ => (),
        }
    }
    Ok((from, to))
}

fn protocol_and_port(value: &[u8]) -> Result<(Option<u8>, Option<u16>), DecodeError> {
    let (mut protocol, mut port) = (None, None);
    for part in attributes(value) {
        match part? {
            (CTA_PROTO_NUM, value) => protocol = value.first().copied(),
            (CTA_PROTO_DST_PORT, value) => port = value.first_chunk().map(|b| u16::from_be_bytes(*b)),
            _ => (),
        }
    }
    Ok((protocol, port))
}

impl Question {
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = ANY.to_vec();
        body[0] = match self.family {
            None => libc::AF_UNSPEC,
            Some(Family::V4) => libc::AF_INET,
            Some(Family::V6) => libc::AF_INET6,
        } as u8;
        let Some((protocol, port)) = self.port else { return body };
        nest(&mut body, CTA_TUPLE_ORIG, |body| {
            nest(body, CTA_TUPLE_PROTO, |body| {
                put(body, CTA_PROTO_NUM, &[protocol.number()]);
                put(body, CTA_PROTO_DST_PORT, &port.to_be_bytes());
            });
        });
        nest(&mut body, CTA_FILTER, |body| {
            put(body, CTA_FILTER_ORIG_FLAGS, &(FILTER_PROTO_NUM | FILTER_PROTO_DST_PORT).to_ne_bytes());
        });
        body
    }
}

/// How many flows the kernel says that it tracks.
pub(super) fn count(payload: &[u8]) -> Result<u32, DecodeError> {
    for attribute in attributes(split(payload)?.1) {
        if let (CTA_STATS_GLOBAL_ENTRIES, value) = attribute? {
            let bytes = value.first_chunk();
            return bytes
                .map(|b| u32::from_be_bytes(*b))
                .ok_or_else(|| "the count of flows is cut short".into());
        }
    }
    Err("the kernel does not say how many flows it tracks".into())
}

fn split(payload: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    payload.split_at_checked(HEADER).ok_or_else(|| "the kernel's message is shorter than its header".into())
}

/// Appends a whole message.
pub(super) fn message(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, body: &[u8]) {
    const NETLINK_HEADER: usize = 16;
    let length = u32::try_from(NETLINK_HEADER + body.len()).expect("a body has a handful of attributes");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn nest(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend((kind | NLA_F_NESTED).to_ne_bytes());
    body(bytes);
    close(bytes, start);
}

fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    close(bytes, start);
}

fn close(bytes: &mut Vec<u8>, start: usize) {
    let length = u16::try_from(bytes.len() - start).expect("an attribute is a tuple at most");
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod unit {
    use bowline_core::port::Protocol;

    use super::*;

    /// 10.0.0.1:4096 to 10.0.0.2:53 over UDP, as Linux 6.18 shows it.
    const ORIGINAL: [u8; 48] = [
        20, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, 1, 8, 0, 2, 0, 10, 0, 0, 2, //
        28, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0, 6, 0, 2, 0, 16, 0, 0, 0, 6, 0, 3, 0, 0, 53, 0, 0,
    ];
    /// An echo request from fd00::1 to fd00::2, answered by fd00::3.
    fn echo(answer: bool) -> Vec<u8> {
        let address = |last| [[0xfd].as_slice(), &[0; 14], &[last]].concat();
        let mut tuple = Vec::new();
        nest(&mut tuple, CTA_TUPLE_IP, |tuple| {
            put(tuple, CTA_IP_V6_SRC, &address(if answer { 3 } else { 1 }));
            put(tuple, CTA_IP_V6_DST, &address(if answer { 1 } else { 2 }));
        });
        nest(&mut tuple, CTA_TUPLE_PROTO, |tuple| {
            put(tuple, CTA_PROTO_NUM, &[58]);
            put(tuple, 7, &[0, 1]);
            put(tuple, 8, &[if answer { 129 } else { 128 }]);
        });
        tuple
    }

    fn shown(family: i32, tuples: [&[u8]; 2], more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![family as u8, 0, 0, 0];
        nest(&mut payload, CTA_TUPLE_ORIG, |payload| payload.extend(tuples[0]));
        nest(&mut payload, CTA_TUPLE_REPLY, |payload| payload.extend(tuples[1]));
        more.iter().for_each(|(kind, value)| put(&mut payload, *kind, value));
        payload
    }

    #[test]
    fn a_flow_is_read_and_its_removal_names_it_as_it_was_shown() {
        let payload =
            shown(libc::AF_INET, [&ORIGINAL, &ORIGINAL], &[(3, &[0, 0, 0, 8]), (CTA_ID, &[1, 2, 3, 4])]);
        let flow = Flow::parse(&payload).unwrap();
        let [from, to] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        assert_eq!(flow.original, Tuple { from, to, protocol: 17, port: Some(53) });
        let removal = [&[2, 0, 0, 0, 52, 0, 1, 0x80], &ORIGINAL[..], &[8, 0, 12, 0, 1, 2, 3, 4]].concat();
        assert_eq!(flow.removal().0, removal);
    }

    #[test]
    fn what_we_do_not_read_of_a_tuple_is_in_the_removal_too() {
        let (asks, answers) = (echo(false), echo(true));
        let payload = shown(libc::AF_INET6, [&asks, &answers], &[(CTA_ZONE, &[0, 7])]);
        let flow = Flow::parse(&payload).unwrap();
        assert_eq!((flow.original.protocol, flow.original.port), (58, None));
        let ends = ["fd00::1", "fd00::2", "fd00::3", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(flow.addresses(), ends);
        let length = asks.len() as u8 + 4;
        let removal = [&[10, 0, 0, 0, length, 0, 1, 0x80], &asks[..], &[6, 0, 18, 0, 0, 7, 0, 0]].concat();
        assert_eq!(flow.removal().0, removal);
    }

    #[test]
    fn a_damaged_flow_is_an_error_and_not_another_flow() {
        let whole = shown(libc::AF_INET, [&ORIGINAL, &ORIGINAL], &[]);
        assert!(Flow::parse(&whole).is_ok());
        for length in (0..whole.len()).step_by(4) {
            assert!(Flow::parse(&whole[..length]).is_err(), "{length} bytes of it");
        }
        assert!(Flow::parse(&shown(libc::AF_INET, [&ORIGINAL[..20], &ORIGINAL], &[])).is_err());
        assert!(Flow::parse(&shown(libc::AF_INET, [&ORIGINAL, &ORIGINAL[20..]], &[])).is_err());
    }

    #[test]
    fn a_question_names_a_port_only_where_one_is_sought() {
        let body = |family, port| Question { family, port }.body();
        assert_eq!(body(None, None), [0; 4]);
        assert_eq!(body(Some(Family::V6), None), [10, 0, 0, 0]);
        let port = [
            [2, 0, 0, 0].as_slice(),
            &[24, 0, 1, 0x80, 20, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0, 6, 0, 3, 0, 0, 53, 0, 0],
            &[12, 0, 25, 0x80, 8, 0, 1, 0],
            &0b10_1000_u32.to_ne_bytes(),
        ];
        assert_eq!(body(Some(Family::V4), Some((Protocol::Udp, 53))), port.concat());
    }

    #[test]
    fn the_count_is_read_or_missed() {
        assert_eq!(count(&[0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 1, 2, 8, 0, 2, 0, 0, 4, 0, 0]).unwrap(), 258);
        assert!(count(&[0, 0, 0, 0, 8, 0, 2, 0, 0, 4, 0, 0]).is_err());
        assert!(count(&[0, 0, 0, 0, 6, 0, 1, 0, 1, 2, 0, 0]).is_err());
        assert!(count(&[0, 0]).is_err());
    }

    #[test]
    fn a_message_says_how_long_it_is_and_begins_where_the_kernel_looks() {
        let mut bytes = Vec::new();
        message(&mut bytes, DELETE, 4, 7, &[1, 2, 3, 4, 5]);
        let length = 21_u32.to_ne_bytes();
        let expected =
            [&length[..], &0x0102_u16.to_ne_bytes(), &5_u16.to_ne_bytes(), &7_u32.to_ne_bytes(), &[0; 4]];
        assert_eq!(bytes, [&expected.concat()[..], &[1, 2, 3, 4, 5, 0, 0, 0]].concat());
    }
}
