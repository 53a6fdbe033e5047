//! [`Rate`]: how fast an endpoint may send or receive.

use std::fmt;
use std::str::FromStr;

use crate::name::quoted;
use crate::{Code, Error, Result};

/// Bits a second, in whole bytes, as the kernel counts. Slower than the least, a full-sized packet would take longer than anybody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate(u64);

const LEAST: u64 = 8_000;
/// What the kernel's shaper counts exactly.
const MOST: u64 = 1_000_000_000_000;

impl Rate {
    pub fn new(bits_per_second: u64) -> Result<Rate> {
        if (LEAST..=MOST).contains(&bits_per_second) {
            return Ok(Rate(bits_per_second - bits_per_second % 8));
        }
        Err(Error::new(Code::InvalidRate, format!("rate {bits_per_second} bit is not usable"))
            .because("rates are between 8kbit and 1000gbit a second")
            .fix("leave the rate out to have none"))
    }

    pub fn bits_per_second(self) -> u64 {
        self.0
    }

    pub fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }
}

/// `10mbit`, `1.5gbit`, `500k`, or a number of bits.
impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Rate> {
        let bad = |why: &str| {
            Error::new(Code::InvalidRate, format!("rate {} is not usable", quoted(text)))
                .because(why.to_string())
                .fix("write it in bits a second, such as 500kbit, 10mbit or 1.5gbit")
        };
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let times: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "bit" => 1,
            "k" | "kbit" => 1_000,
            "m" | "mbit" => 1_000_000,
            "g" | "gbit" => 1_000_000_000,
            _ => return Err(bad("its unit is none of bit, kbit, mbit and gbit")),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || number.ends_with('.') || !digits(whole) || !digits(part) {
            return Err(bad("it does not begin with a number"));
        }
        let whole: u64 = whole.parse().expect("at most twelve digits");
        let part = if part.is_empty() {
            0
        } else {
            let scale = 10_u64.pow(u32::try_from(part.len()).expect("at most twelve"));
            let digits: u64 = part.parse().expect("at most twelve digits");
            u64::try_from(u128::from(digits) * u128::from(times) / u128::from(scale)).expect("below one unit")
        };
        let bits = whole.checked_mul(times).and_then(|bits| bits.checked_add(part));
        Rate::new(bits.ok_or_else(|| bad("it is more than can be counted"))?)
    }
}

/// In the largest unit that says it exactly.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
        match units.iter().find(|(size, _)| self.0.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}bit", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back() {
        for (text, bits, shown) in [
            ("10mbit", 10_000_000, "10mbit"),
            ("1.5gbit", 1_500_000_000, "1500mbit"),
            ("500k", 500_000, "500kbit"),
            ("0.5M", 500_000, "500kbit"),
            ("12345", 12_344, "12344bit"),
            ("1000GBIT", 1_000_000_000_000, "1000gbit"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.bits_per_second(), rate.to_string()), (bits, shown.to_string()), "{text}");
            assert_eq!(shown.parse::<Rate>().unwrap(), rate);
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "fast",
            "10mb",
            "10 mbit",
            "-1mbit",
            "1.mbit",
            ".5mbit",
            "1.2.3mbit",
            "7999",
            "1001gbit",
            "99999999999999999999",
            "1e9",
            "10mbit\n",
            "999999999999gbit",
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err().code, Code::InvalidRate, "{text:?}");
        }
    }
}
