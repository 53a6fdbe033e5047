//! What is done with a packet: counted, logged, limited, and decided upon.

use super::{Parser, refused};
use crate::Result;
use crate::firewall::hooks::lex::Lexeme;
use crate::firewall::hooks::part::{Bound, Level, Limit, Log, Prefix, Unit};
use crate::firewall::hooks::{Part, Verdict, bad, words};
use crate::name::quoted;

const LOG: &str = "log prefix \"web: \" level info";
const LIMIT: &str = "limit rate 10/second burst 20 packets";

pub(super) fn verdict(word: &str) -> Option<Verdict> {
    match word {
        "accept" => Some(Verdict::Accept),
        "drop" => Some(Verdict::Drop),
        "reject" => Some(Verdict::Reject),
        "return" => Some(Verdict::Return),
        _ => None,
    }
}

impl Parser<'_> {
    /// None where the word begins no statement.
    pub(super) fn statement(&mut self, word: &str) -> Result<Option<Part>> {
        Ok(Some(match word {
            "counter" => {
                self.skip_count()?;
                Part::Counter
            }
            "log" => Part::Log(self.log()?),
            "limit" => Part::Limit(self.limit()?),
            _ => return Ok(None),
        }))
    }

    /// nft shows what was counted, so that is found in what was copied from it. It begins at nothing again.
    fn skip_count(&mut self) -> Result<()> {
        for unit in ["packets", "bytes"] {
            if self.take(Lexeme::Word(unit)) {
                let count = self.word("counter")?;
                count
                    .parse::<u64>()
                    .map_err(|_| bad(format!("{} is no count", quoted(count))).fix("counter"))?;
            }
        }
        Ok(())
    }

    fn log(&mut self) -> Result<Log> {
        let mut log = Log { prefix: None, level: Level::Warn };
        loop {
            if self.take(Lexeme::Word("prefix")) {
                log.prefix = Some(Prefix::new(self.value(LOG)?)?);
            } else if self.take(Lexeme::Word("level")) {
                let word = self.word(LOG)?;
                log.level =
                    Level::ALL.iter().copied().find(|l| words::level(*l) == word).ok_or_else(|| {
                        let levels: Vec<&str> = Level::ALL.iter().map(|l| words::level(*l)).collect();
                        bad(format!("there is no level {}", quoted(word)))
                            .fix(format!("use {}", levels.join(", ")))
                    })?;
            } else if self.take(Lexeme::Word("group")) {
                return Err(bad("logs go to the kernel's log, and to no group").fix(LOG));
            } else {
                return Ok(log);
            }
        }
    }

    fn limit(&mut self) -> Result<Limit> {
        let word = self.word(LIMIT)?;
        if word != "rate" {
            return Err(refused::anywhere(word)
                .unwrap_or_else(|| bad(format!("{} has no meaning after limit", quoted(word))).fix(LIMIT)));
        }
        let bound = if self.take(Lexeme::Word("over")) { Bound::Beyond } else { Bound::Within };
        let text = self.word(LIMIT)?;
        let wrong = || bad(format!("{} is no rate of packets", quoted(text))).fix(LIMIT);
        let (rate, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = Unit::ALL.iter().copied().find(|u| words::unit(*u) == unit).ok_or_else(wrong)?;
        let rate = rate.parse().map_err(|_| wrong())?;
        let mut burst = Limit::BURST;
        if self.take(Lexeme::Word("burst")) {
            let text = self.word(LIMIT)?;
            burst = text.parse().map_err(|_| bad(format!("{} is no burst", quoted(text))).fix(LIMIT))?;
            let unit = self.word(LIMIT)?;
            if unit != "packets" {
                return Err(bad(format!("a burst is of packets, not of {}", quoted(unit))).fix(LIMIT));
            }
        }
        Limit::new(bound, rate, per, burst)
    }
}
