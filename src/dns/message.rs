//! A message as it came: its header and its question, found without copying and without trusting a byte of it.

mod name;
mod records;
#[cfg(test)]
mod tests;

pub use name::WireName;
pub(crate) use name::{split, strip};
pub use records::{Broken, Record, Records, Section, name_end, records};

/// Every message begins with as many bytes.
pub const HEADER: usize = 12;

/// Types that something is decided by (RFC 1035 §3.2.2 and later ones).
pub mod kind {
    pub const A: u16 = 1;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

const IN: u16 = 1;

/// The only question of a query that may be answered.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    bytes: &'a [u8],
    /// How long the name is, with the byte of the root.
    name: usize,
    edns: Option<Edns>,
}

/// What a client says of itself by EDNS (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The longest UDP message that it takes, as it said it.
    pub payload: u16,
    pub version: u8,
    /// The DO bit: it would see DNSSEC's records.
    pub dnssec: bool,
}

/// Why something is no query to answer, which is also what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// It is a response, or too short to have an id: an answer could be answered in turn, for ever.
    Silence,
    /// It is not as a query is written.
    FormErr,
    /// It asks for something else than names: an update, a notification.
    NotImp,
    /// It is well formed, and asks in a class that is not the Internet's.
    Refused,
}

/// Over what it came, which says how long an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

impl<'a> Query<'a> {
    /// Looks at every byte once: what is counted must be there, and nothing after it.
    pub fn parse(bytes: &'a [u8]) -> Result<Query<'a>, Bad> {
        if bytes.len() < HEADER || bytes[2] & 0x80 != 0 {
            return Err(Bad::Silence);
        }
        if bytes[2] & 0x78 != 0 {
            return Err(Bad::NotImp);
        }
        let name = question_name(bytes).ok_or(Bad::FormErr)?;
        let mut records = records(bytes)?;
        let mut edns = None;
        for record in records.by_ref() {
            let record = record?;
            if record.kind != kind::OPT || record.section != Section::Additional {
                continue;
            }
            // RFC 6891 §6.1.1: there is one at most, and the root owns it.
            if edns.is_some() || bytes[record.owner] != 0 {
                return Err(Bad::FormErr);
            }
            edns = Some(Edns {
                payload: record.class,
                version: bytes[record.ttl_at + 1],
                dnssec: bytes[record.ttl_at + 2] & 0x80 != 0,
            });
        }
        if records.at() != bytes.len() {
            return Err(Bad::FormErr);
        }
        let query = Query { bytes, name, edns };
        if word(bytes, HEADER + name + 2) != Some(IN) {
            return Err(Bad::Refused);
        }
        Ok(query)
    }

    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    /// The name as it is spelled, with the byte of the root. It holds no pointer.
    pub fn name(&self) -> &'a [u8] {
        &self.bytes[HEADER..HEADER + self.name]
    }

    /// The name as it is compared.
    pub fn lower(&self) -> WireName {
        WireName::lower(self.name())
    }

    /// Name, type and class, as they came.
    pub fn question(&self) -> &'a [u8] {
        &self.bytes[HEADER..HEADER + self.name + 4]
    }

    pub fn qtype(&self) -> u16 {
        u16::from_be_bytes([self.bytes[HEADER + self.name], self.bytes[HEADER + self.name + 1]])
    }

    /// Recursion desired.
    pub fn rd(&self) -> bool {
        self.bytes[2] & 0x01 != 0
    }

    /// Checking disabled.
    pub fn cd(&self) -> bool {
        self.bytes[3] & 0x10 != 0
    }

    pub fn edns(&self) -> Option<Edns> {
        self.edns
    }

    /// The longest answer that this client takes. What IPv4 carries in one UDP packet bounds what it may wish for.
    pub fn limit(&self, over: Transport) -> usize {
        match over {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => self.edns.map_or(512, |edns| usize::from(edns.payload).clamp(512, 65_507)),
        }
    }
}

/// The question of a message that has exactly one, be it of any class: its name, type and class.
pub fn question(bytes: &[u8]) -> Option<&[u8]> {
    let name = question_name(bytes)?;
    bytes.get(HEADER..HEADER + name + 4)
}

/// How long the name of the only question is, with the byte of the root. Nothing comes before it that a pointer could mean.
fn question_name(bytes: &[u8]) -> Option<usize> {
    if word(bytes, 4)? != 1 {
        return None;
    }
    let mut at = HEADER;
    loop {
        let label = usize::from(*bytes.get(at)?);
        at += 1 + label;
        if label > 63 || at - HEADER > WireName::MAX + 1 {
            return None;
        }
        if label == 0 {
            return Some(at - HEADER);
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

impl From<Broken> for Bad {
    fn from(_: Broken) -> Bad {
        Bad::FormErr
    }
}
