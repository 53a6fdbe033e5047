//! The keys, once: their names, defaults and meanings; and the reading of a file against them.

use bowline_core::{Code, Error, Result};
use toml::{Table, Value};

#[derive(Debug)]
pub struct Key {
    /// `table.key`
    pub name: &'static str,
    pub default: &'static str,
    pub takes: Takes,
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Text,
    TextOrNumber,
    Number,
    Texts,
}

pub const KEYS: &[Key] = &[
    Key {
        name: "daemon.group",
        default: "bowline",
        takes: Takes::Text,
        help: "The group that may use the socket. Its members are as powerful as root over the network.",
    },
    Key {
        name: "daemon.log",
        default: "info",
        takes: Takes::Text,
        help: "The least that is logged: error, warn, info, debug or trace.",
    },
    Key {
        name: "daemon.log_format",
        default: "text",
        takes: Takes::Text,
        help: "text for people, json for machines.",
    },
    Key {
        name: "firewall.rules",
        default: "/etc/bowline/nft.d",
        takes: Takes::Text,
        help: "The directory of your own rules, in files *.nft. They are asked before ours.",
    },
    Key {
        name: "pools.ipv4",
        default: "10.160.0.0/12",
        takes: Takes::Texts,
        help: "Where subnets are chosen from when a network is made without one; the first pool first.",
    },
    Key {
        name: "pools.ipv4_size",
        default: "24",
        takes: Takes::Number,
        help: "The prefix length of a chosen IPv4 subnet.",
    },
    Key {
        name: "pools.ipv6",
        default: "random",
        takes: Takes::Text,
        help: "random: a /48 of fd00::/8 made up once for this host, in /64s; or a prefix to take /64s from.",
    },
    Key {
        name: "dns.servers",
        default: "host",
        takes: Takes::Texts,
        help: "Who is asked for names that are not ours: the addresses of servers; host follows /etc/resolv.conf.",
    },
    Key {
        name: "dns.ttl_seconds",
        default: "5",
        takes: Takes::Number,
        help: "For how long a name of ours may be remembered by whoever asked.",
    },
    Key {
        name: "link.mtu",
        default: "auto",
        takes: Takes::TextOrNumber,
        help: "auto follows the uplink; or a number of bytes.",
    },
    Key {
        name: "link.gso",
        default: "auto",
        takes: Takes::Text,
        help: "Super-packets above 64 KiB (BIG TCP): auto where no uplink pays for it, on, or off.",
    },
];

/// Key and value of everything that the file says.
pub(super) fn parse(text: &str) -> Result<Vec<(&'static str, String)>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let place = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let line = place.map_or(String::new(), |line| format!("line {line}: "));
        Error::new(Code::InvalidConfig, "it is not TOML").because(format!("{line}{}", error.message()))
    })?;
    let mut given = Vec::new();
    for (section, value) in &table {
        let Value::Table(entries) = value else {
            return Err(unknown(section));
        };
        if !KEYS.iter().any(|key| key.name.split('.').next() == Some(section)) {
            return Err(unknown(section));
        }
        for (name, value) in entries {
            let full = format!("{section}.{name}");
            let key = KEYS.iter().find(|key| key.name == full).ok_or_else(|| unknown(&full))?;
            given.push((key.name, key.takes.read(value).ok_or_else(|| mistyped(key, value))?));
        }
    }
    Ok(given)
}

impl Takes {
    fn read(self, value: &Value) -> Option<String> {
        match (self, value) {
            (Takes::Text | Takes::TextOrNumber, Value::String(text)) => Some(text.clone()),
            (Takes::Number | Takes::TextOrNumber, Value::Integer(number)) => Some(number.to_string()),
            (Takes::Texts, Value::Array(values)) => {
                let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
                texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(","))
            }
            (Takes::Text | Takes::TextOrNumber | Takes::Number | Takes::Texts, _) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Takes::Text => "text in quotes",
            Takes::Number => "a number",
            Takes::TextOrNumber => "a number, or text in quotes",
            Takes::Texts => "a list of texts in quotes",
        }
    }
}

/// A value in force, as the file would have it.
pub fn toml_value(key: &str, value: &str) -> String {
    let takes = KEYS.iter().find(|known| known.name == key).map_or(Takes::Text, |known| known.takes);
    match takes {
        Takes::Number => value.to_string(),
        Takes::TextOrNumber if value.parse::<i64>().is_ok() => value.to_string(),
        Takes::Texts => {
            Value::Array(value.split(',').map(|v| Value::String(v.trim().to_string())).collect()).to_string()
        }
        Takes::Text | Takes::TextOrNumber => Value::String(value.to_string()).to_string(),
    }
}

fn mistyped(key: &Key, value: &Value) -> Error {
    Error::new(Code::InvalidConfig, format!("{} has the wrong type", key.name)).because(format!(
        "it takes {}, and {} was given",
        key.takes.name(),
        value.type_str()
    ))
}

fn unknown(name: &str) -> Error {
    // A key may be meant whole, or by its last part; a table by its name.
    let keys = KEYS.iter().flat_map(|key| {
        let (table, last) = key.name.split_once('.').expect("every key is in a table");
        [(key.name, key.name), (last, key.name), (table, table)]
    });
    let nearest = keys.min_by_key(|(spelling, _)| distance(name, spelling)).map(|(_, meant)| meant);
    let nearest = nearest.expect("there are keys");
    Error::new(Code::InvalidConfig, format!("there is no key {name}"))
        .fix(format!("did you mean {nearest}? All keys: bowline config show"))
}

/// How many letters to add, drop or swap (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}
