//! The C library's reading of a resolv.conf (resolv.conf(5), and what glibc really does): keywords begin a line, the last search
//! list wins, options add up, and nothing is an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ResolvConf, Server};

/// glibc takes three servers; one more list that is longer than ours is no list that somebody uses.
const MOST_SERVERS: usize = 8;
const MOST_DOMAINS: usize = 32;
const MOST_OPTIONS: usize = 32;
/// The longest word that is kept.
const LONGEST: usize = 255;

pub(super) fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf::default();
    for line in text.split('\n') {
        // To C, a line ends at its first NUL.
        let line = line.split('\0').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let Some((keyword, rest)) = line.split_once([' ', '\t']) else { continue };
        let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
        match keyword {
            "nameserver" => {
                let server = words.next().filter(|_| conf.servers.len() < MOST_SERVERS).and_then(server);
                conf.servers.extend(server);
            }
            "domain" => replace(&mut conf.search, words.take(1), MOST_DOMAINS),
            "search" => replace(&mut conf.search, words, MOST_DOMAINS),
            "options" => {
                let left = MOST_OPTIONS - conf.options.len();
                conf.options.extend(words.filter(|word| word.len() <= LONGEST).take(left).map(String::from));
            }
            // `sortlist`, comments (`#`, `;`), and whatever else stands there.
            _ => (),
        }
    }
    conf
}

/// A line without a word does not undo the one before it.
fn replace<'a>(list: &mut Vec<String>, words: impl Iterator<Item = &'a str>, most: usize) {
    let mut words = words.peekable();
    if words.peek().is_some() {
        *list = words.filter(|word| word.len() <= LONGEST).take(most).map(String::from).collect();
    }
}

fn server(word: &str) -> Option<Server> {
    if let Some(address) = ipv4(word) {
        return Some(Server { address: IpAddr::V4(address), zone: None });
    }
    let (address, zone) = match word.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (word, None),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    // A zone says something about link-local addresses only, and is no longer than a link's name may be.
    let zone = zone.filter(|zone| address.is_unicast_link_local() && (1..=15).contains(&zone.len()));
    Some(Server { address: IpAddr::V6(address), zone: zone.map(String::from) })
}

/// As inet_aton(3): one to four numbers, each decimal, octal (`0`) or hexadecimal (`0x`), the last of which fills what is left.
fn ipv4(word: &str) -> Option<Ipv4Addr> {
    let mut numbers = word.split('.').map(number);
    let (mut address, mut bits) = (0_u32, 32_u32);
    let mut last = numbers.next()??;
    for next in numbers {
        bits = bits.checked_sub(8).filter(|left| *left > 0)?;
        address |= u32::from(u8::try_from(last).ok()?) << bits;
        last = next?;
    }
    (last < 1 << bits).then_some(())?;
    let last = u32::try_from(last).ok()?;
    Some(Ipv4Addr::from(address | last))
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // from_str_radix would take a sign.
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}
