//! Netlink messages and attributes as bytes: how they are written and how they are taken apart.
//! Headers are in host order, the integers of nf_tables in network order.

use bowline_core::firewall::Table;

/// The subsystem number of nf_tables, the high byte of its message types.
pub(super) const NFTABLES: u16 = 10;

pub(super) mod flag {
    pub(in crate::nft) const REQUEST: u16 = 0x1;
    pub(in crate::nft) const ACK: u16 = 0x4;
    /// On a reply: the dump was not of one moment.
    pub(in crate::nft) const DUMP_INTERRUPTED: u16 = 0x10;
    /// On an error: the refused message is not repeated beyond its header.
    pub(in crate::nft) const CAPPED: u16 = 0x100;
    /// On an error: attributes follow that explain it.
    pub(in crate::nft) const EXPLAINED: u16 = 0x200;
    /// On a request to make something: only where it is not there yet.
    pub(in crate::nft) const EXCLUSIVE: u16 = 0x200;
    pub(in crate::nft) const DUMP: u16 = 0x300;
    pub(in crate::nft) const CREATE: u16 = 0x400;
    pub(in crate::nft) const APPEND: u16 = 0x800;
}

/// Message types, those of nf_tables without their subsystem.
pub(super) mod kind {
    pub(in crate::nft) const ERROR: u16 = 2;
    pub(in crate::nft) const DONE: u16 = 3;
    pub(in crate::nft) const BATCH_BEGIN: u16 = 0x10;
    pub(in crate::nft) const BATCH_END: u16 = 0x11;

    pub(in crate::nft) const NEW_TABLE: u16 = 0;
    pub(in crate::nft) const GET_TABLE: u16 = 1;
    pub(in crate::nft) const DEL_TABLE: u16 = 2;
    pub(in crate::nft) const NEW_CHAIN: u16 = 3;
    pub(in crate::nft) const GET_CHAIN: u16 = 4;
    pub(in crate::nft) const NEW_RULE: u16 = 6;
    pub(in crate::nft) const GET_RULE: u16 = 7;
    pub(in crate::nft) const DEL_RULE: u16 = 8;
    pub(in crate::nft) const NEW_SET: u16 = 9;
    pub(in crate::nft) const GET_SET: u16 = 10;
    pub(in crate::nft) const NEW_ELEMENT: u16 = 12;
    pub(in crate::nft) const GET_ELEMENT: u16 = 13;
    pub(in crate::nft) const DEL_ELEMENT: u16 = 14;
    pub(in crate::nft) const GET_GENERATION: u16 = 16;
    /// Kernel 6.3 and later.
    pub(in crate::nft) const DESTROY_ELEMENT: u16 = 30;
}

/// The families that tables are of: which packets they see.
pub(super) mod family {
    pub(in crate::nft) const INET: u8 = 1;
    pub(in crate::nft) const IPV4: u8 = 2;
    pub(in crate::nft) const BRIDGE: u8 = 7;
}

/// The family of a host's table.
pub(super) fn family_of(table: Table) -> u8 {
    match table {
        Table::Inet => family::INET,
        Table::Bridge => family::BRIDGE,
    }
}

/// The header of a netlink message.
pub(super) const HEADER: usize = 16;
/// That, and the one which all of netfilter's messages have after it.
pub(super) const HEADERS: usize = HEADER + 4;

const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// Messages, one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// A message of nf_tables about something in a table of that family.
    pub(super) fn nftables(&mut self, family: u8, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) {
        self.message(NFTABLES << 8 | kind, flags, [family, 0, 0, 0], body);
    }

    /// Begins or ends a transaction of nf_tables.
    pub(super) fn bracket(&mut self, kind: u16) {
        let [high, low] = NFTABLES.to_be_bytes();
        self.message(kind, flag::REQUEST, [0, 0, high, low], |_| {});
    }

    fn message(&mut self, kind: u16, flags: u16, netfilter: [u8; 4], body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | flag::REQUEST).to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(netfilter);
        body(self);
        let len = u32::try_from(self.bytes.len() - start).expect("attributes are chunked below 64 KiB");
        self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// Gives the message at `at` its number, and returns where the next begins.
    pub(super) fn number(&mut self, at: usize, sequence: u32) -> usize {
        self.bytes[at + 8..at + 12].copy_from_slice(&sequence.to_ne_bytes());
        at + self.len_at(at)
    }

    /// How long the message at `at` is.
    pub(super) fn len_at(&self, at: usize) -> usize {
        u32_at(&self.bytes, at).expect("a message was begun there") as usize
    }

    /// Sets flags of the message at `at`.
    pub(super) fn flag(&mut self, at: usize, flags: u16) {
        let [low, high] = flags.to_ne_bytes();
        self.bytes[at + 6] |= low;
        self.bytes[at + 7] |= high;
    }

    pub(super) fn attr(&mut self, kind: u16, value: &[u8]) {
        self.sized(kind, |w| w.bytes.extend(value));
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.sized(kind, |w| {
            w.bytes.extend(value.as_bytes());
            w.bytes.push(0);
        });
    }

    pub(super) fn be32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub(super) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) {
        self.sized(kind | NESTED, body);
    }

    fn sized(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        body(self);
        let len = u16::try_from(self.bytes.len() - start).expect("attributes are chunked below 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.bytes.resize(align(self.bytes.len()), 0);
    }
}

/// One message of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// All after the netlink header.
    pub(super) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// What a message of netfilter says.
    pub(super) fn attrs(&self) -> &'a [u8] {
        self.payload.get(HEADERS - HEADER..).unwrap_or_default()
    }
}

/// The messages of a datagram, up to the first that is cut short.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(HEADER..len)?;
        let message = Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            payload,
        };
        bytes = bytes.get(align(len)..).unwrap_or_default();
        Some(message)
    })
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attr<'a> {
    pub(super) kind: u16,
    pub(super) nested: bool,
    pub(super) value: &'a [u8],
}

/// Attributes, up to the first that is cut short.
pub(super) fn attrs(mut bytes: &[u8]) -> impl Iterator<Item = Attr<'_>> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)?;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(align(len)..).unwrap_or_default();
        Some(Attr { kind: kind & TYPE_MASK, nested: kind & NESTED != 0, value })
    })
}

/// The value of the first attribute of that type.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attrs(bytes).find(|attr| attr.kind == kind).map(|attr| attr.value)
}

pub(super) fn find_be32(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}
