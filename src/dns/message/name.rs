//! A name as it is compared: labels with their lengths before them, in lower case. So a dot within a label is no end of
//! one, and a name is found in a table without being written anew.

use std::fmt;
use std::ops::Deref;

/// A name's labels, each after its length, in lower case, without the root's empty one. It lives on the stack.
#[derive(Clone, Copy)]
pub struct WireName {
    bytes: [u8; WireName::MAX],
    len: u8,
}

impl WireName {
    /// RFC 1035 §2.3.4 has 255, the root's byte among them.
    pub const MAX: usize = 254;

    pub(crate) const ROOT: WireName = WireName { bytes: [0; WireName::MAX], len: 0 };

    /// Of a name as it is in a question: well formed, and with the root's byte.
    pub(super) fn lower(name: &[u8]) -> WireName {
        let mut lower = WireName { bytes: [0; WireName::MAX], len: (name.len() - 1) as u8 };
        lower.bytes[..name.len() - 1].copy_from_slice(&name[..name.len() - 1]);
        // Lengths are less than 'A' and stay what they are.
        lower.bytes[..name.len() - 1].make_ascii_lowercase();
        lower
    }

    /// What a person wrote, with dots between labels and none at the end; what is wrong with it where it is no name.
    pub fn from_text(text: &str) -> Result<WireName, &'static str> {
        let mut name = WireName { bytes: [0; WireName::MAX], len: 0 };
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.len() >= WireName::MAX {
            return Err("it has more than 253 bytes");
        }
        let mut at = 0;
        for label in text.split('.') {
            if label.is_empty() {
                return Err("there is nothing between two of its dots, before the first or after the last");
            }
            if label.len() > 63 {
                return Err("it has more than 63 bytes without a dot");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
                return Err("it holds something else than letters, digits, '-', '_' and dots");
            }
            name.bytes[at] = label.len() as u8;
            name.bytes[at + 1..][..label.len()].copy_from_slice(label.as_bytes());
            at += 1 + label.len();
        }
        name.bytes[..at].make_ascii_lowercase();
        name.len = at as u8;
        Ok(name)
    }

    /// A name in lower case and what it is within; nothing where both are too long.
    pub(crate) fn joined(name: &[u8], suffix: &[u8]) -> Option<WireName> {
        let len = name.len() + suffix.len();
        let mut whole = WireName { bytes: [0; WireName::MAX], len: u8::try_from(len).ok()? };
        whole.bytes.get_mut(..name.len())?.copy_from_slice(name);
        whole.bytes.get_mut(name.len()..len)?.copy_from_slice(suffix);
        Some(whole)
    }
}

/// What is before a suffix, labels of which are compared and not bytes: a digit may look like a length.
pub(crate) fn strip<'n>(name: &'n [u8], suffix: &[u8]) -> Option<&'n [u8]> {
    if !name.ends_with(suffix) {
        return None;
    }
    let mut at = 0;
    while name.len() - at > suffix.len() {
        at += 1 + usize::from(name[at]);
    }
    (name.len() - at == suffix.len()).then(|| &name[..at])
}

/// The first label and what is after it; nothing of the root.
pub(crate) fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = name.split_first()?;
    rest.split_at_checked(usize::from(len))
}

impl Deref for WireName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest: &[u8] = self;
        while let Some((label, after)) = split(rest) {
            write!(f, "{}.", label.escape_ascii())?;
            rest = after;
        }
        Ok(())
    }
}

impl fmt::Debug for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
