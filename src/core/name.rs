//! Names, checked once at the door: [`Name`] for networks, endpoints and aliases, [`LinkName`] for the kernel's links.

use std::{fmt, str::FromStr};

use crate::{Code, Error, Result};

/// What a user calls a network, an endpoint or an alias: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    pub const MAX: usize = 64;

    /// Names that mean something else wherever a network or an endpoint may be named.
    pub const RESERVED: &[&str] = &["host", "none", "default", "all", "localhost"];

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that may be given to a new thing.
    pub fn for_new(text: &str) -> Result<Name> {
        let name: Name = text.parse()?;
        if Name::RESERVED.contains(&text) {
            return Err(Error::new(Code::ReservedName, format!("name {text:?} is reserved"))
                .fix(format!("choose another, such as {text}1")));
        }
        Ok(name)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name> {
        let bad = |why: String| {
            Err(Error::new(Code::InvalidName, format!("name {} is not allowed", quoted(text)))
                .because(why)
                .fix("use 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit"))
        };
        if text.is_empty() {
            return bad("it is empty".into());
        }
        if text.len() > Name::MAX {
            return bad(format!("it has {} bytes", text.len()));
        }
        if let Some(c) = text.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return bad(format!("it contains {c:?}"));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return bad(format!("it begins with {:?}", &text[..1]));
        }
        Ok(Name(text.to_string()))
    }
}

/// A name the kernel takes for a link: 1 to 15 bytes, printable, without `/`, `:` and space, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkName(String);

impl LinkName {
    /// The kernel's IFNAMSIZ less the final NUL.
    pub const MAX: usize = 15;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = Error;

    fn from_str(text: &str) -> Result<LinkName> {
        let fits = !text.is_empty()
            && text.len() <= LinkName::MAX
            && !matches!(text, "." | "..")
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%'));
        if fits {
            return Ok(LinkName(text.to_string()));
        }
        Err(Error::new(Code::InvalidInterface, format!("interface name {} is not usable", quoted(text)))
            .fix("use 1 to 15 printable ASCII characters other than space, '/', ':' and '%'"))
    }
}

/// Shown so that a terminal is safe from it, and cut where it is long.
pub fn quoted(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}
shown_as_text!(Name, LinkName);

/// 128 random bits that tell two things of the same name apart, now and later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u128);

impl Id {
    /// Eleven characters of lower-case base 32, for names of links: 55 of the bits.
    pub fn short(self) -> String {
        const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        (0..11).map(|i| DIGITS[(self.0 >> (123 - 5 * i)) as usize & 31] as char).collect()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Id> {
        match u128::from_str_radix(text, 16) {
            Ok(bits) if text.len() == 32 => Ok(Id(bits)),
            _ => Err(Error::new(Code::InvalidRequest, format!("{} is not an id", quoted(text)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_refused() {
        for text in [
            "",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "a\0",
            "a\n",
            "é",
            "$(reboot)",
            "a;b",
            "../../x",
            &"a".repeat(65),
        ] {
            assert_eq!(text.parse::<Name>().unwrap_err().code, Code::InvalidName, "{text:?}");
        }
        for text in Name::RESERVED {
            assert_eq!(Name::for_new(text).unwrap_err().code, Code::ReservedName);
        }
    }

    #[test]
    fn names_that_are_taken() {
        for text in ["a", "web-1", "A.b_c", &"a".repeat(15), &"a".repeat(64)] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn link_names_count_bytes() {
        assert!("eth0".parse::<LinkName>().is_ok());
        for text in ["", ".", "..", "a/b", "a b", "sixteen-bytes-xx", "éééééééé", "eth%d", "a:1", "a\0b"]
        {
            assert_eq!(text.parse::<LinkName>().unwrap_err().code, Code::InvalidInterface, "{text:?}");
        }
    }

    #[test]
    fn ids_read_back() {
        let id = Id(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert_eq!(id.short().len(), 11);
    }
}
