//! Files into rules. An error says the line, what is wrong there, and the nearest thing that works.

mod matches;
mod refused;
mod statements;

use super::lex::{Lexeme, Token, tokens};
use super::part::{Match, Way};
use super::value::{Test, Value, Values};
use super::{HookChain, Hooks, Part, Rule, Verdict, bad};
use crate::name::quoted;
use crate::{Context, Error, Result};

const CHAINS: &str = "a file holds: chain user-forward { … } and chain user-prerouting { … }";

pub(super) fn file(name: &str, text: &str) -> Result<Hooks> {
    let mut parser = Parser { tokens: &tokens(text), line: 1 };
    let hooks = parser.file();
    hooks.context(|| format!("{name}:{} is not understood", parser.line))
}

struct Parser<'t> {
    /// What is to come.
    tokens: &'t [Token<'t>],
    /// Where the last of what was taken stood.
    line: usize,
}

impl<'t> Parser<'t> {
    fn file(&mut self) -> Result<Hooks> {
        let mut hooks = Hooks::default();
        loop {
            self.skip_ends();
            let Some(kind) = self.next() else { return Ok(hooks) };
            match kind {
                Lexeme::Word("chain") => self.chain(&mut hooks)?,
                Lexeme::Word(word) => return Err(refused::outside_chains(word)),
                other => return Err(unexpected(other, CHAINS)),
            }
        }
    }

    fn chain(&mut self, hooks: &mut Hooks) -> Result<()> {
        let name = self.word(CHAINS)?;
        let chain = HookChain::ALL
            .iter()
            .copied()
            .find(|chain| chain.name() == name)
            .ok_or_else(|| bad(format!("chain {} is not yours to fill", quoted(name))).fix(CHAINS))?;
        match self.next() {
            Some(Lexeme::Open) => {}
            other => return Err(unexpected_or_end(other, &format!("chain {name} {{"))),
        }
        loop {
            self.skip_ends();
            match self.peek() {
                Some(Lexeme::Close) => {
                    self.next();
                    return Ok(());
                }
                Some(_) => {
                    let rule = self.rule(chain)?;
                    match chain {
                        HookChain::Forward => hooks.forward.push(rule),
                        HookChain::Prerouting => hooks.prerouting.push(rule),
                    }
                }
                None => return Err(bad(format!("chain {name} has no end")).fix("write a last line }")),
            }
            if hooks.len() > Hooks::MOST_RULES {
                return Err(bad(format!("there are more than {} rules", Hooks::MOST_RULES)).fix(
                    "put values of like rules into one set: ip saddr { 192.0.2.1, 198.51.100.0/24 } drop",
                ));
            }
        }
    }

    fn rule(&mut self, chain: HookChain) -> Result<Rule> {
        let mut parts = Vec::new();
        let mut verdict: Option<Verdict> = None;
        while let Some(kind) = self.peek() {
            if matches!(kind, Lexeme::LineEnd | Lexeme::Semicolon | Lexeme::Close) {
                break;
            }
            let word = self.word(refused::UNDERSTOOD)?;
            if let Some(before) = verdict {
                return Err(bad(format!("{} comes after {before}, and would never be asked", quoted(word)))
                    .fix(format!("let the rule end with {before}, and begin another on a new line")));
            }
            match statements::verdict(word) {
                Some(given) => verdict = Some(given),
                None => parts.push(self.part(word, chain)?),
            }
        }
        Rule::new(parts, verdict)
    }

    fn part(&mut self, word: &str, chain: HookChain) -> Result<Part> {
        if let Some(part) = self.statement(word)? {
            return Ok(part);
        }
        let condition = self.condition(word)?;
        if chain == HookChain::Prerouting && matches!(condition, Match::Card(Way::Out, _)) {
            return Err(bad("before routing it is not known yet by which card a packet leaves")
                .fix("write this rule into chain user-forward"));
        }
        Ok(Part::Match(condition))
    }

    fn peek(&self) -> Option<Lexeme<'t>> {
        self.tokens.first().map(|token| token.kind)
    }

    fn next(&mut self) -> Option<Lexeme<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        self.line = first.line;
        Some(first.kind)
    }

    /// Takes that, if it is next.
    fn take(&mut self, wanted: Lexeme<'_>) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    fn skip_ends(&mut self) {
        while self.take(Lexeme::LineEnd) || self.take(Lexeme::Semicolon) {}
    }

    /// `works` is an example of what may stand here.
    fn word(&mut self, works: &str) -> Result<&'t str> {
        match self.next() {
            Some(Lexeme::Word(word)) => Ok(word),
            other => Err(unexpected_or_end(other, works)),
        }
    }

    /// A word, or what stands in quotes.
    fn value(&mut self, works: &str) -> Result<&'t str> {
        match self.next() {
            Some(Lexeme::Word(word)) => match refused::value(word) {
                Some(error) => Err(error),
                None => Ok(word),
            },
            Some(Lexeme::Text(text)) => Ok(text),
            other => Err(unexpected_or_end(other, works)),
        }
    }

    /// One value or several, or none of these.
    fn test<T: Value>(&mut self, works: &str, read: impl Fn(&str) -> Result<T>) -> Result<Test<T>> {
        let not = self.is_not();
        let values = self.values(works, read)?;
        Ok(if not { Test::NotIn(values) } else { Test::In(values) })
    }

    fn is_not(&mut self) -> bool {
        let not = self.take(Lexeme::IsNot);
        if !not {
            self.take(Lexeme::Is);
        }
        not
    }

    fn values<T: Value>(&mut self, works: &str, read: impl Fn(&str) -> Result<T>) -> Result<Values<T>> {
        let mut all = Vec::new();
        if !self.take(Lexeme::Open) {
            all.push(read(self.value(works)?)?);
        } else {
            loop {
                while self.take(Lexeme::LineEnd) {}
                if self.take(Lexeme::Close) {
                    break;
                }
                all.push(read(self.value(works)?)?);
                while self.take(Lexeme::LineEnd) {}
                if !self.take(Lexeme::Comma) && self.peek() != Some(Lexeme::Close) {
                    return Err(unexpected_or_end(
                        self.next(),
                        "values in a set are parted by commas: { 1, 2 }",
                    ));
                }
            }
        }
        Values::new(all).ok_or_else(|| bad("a set is empty, and so holds for no packet").fix(works))
    }
}

fn unexpected_or_end(kind: Option<Lexeme<'_>>, works: &str) -> Error {
    match kind {
        Some(kind) => unexpected(kind, works),
        None => bad("the file ends too early").fix(works),
    }
}

/// What cannot stand here, whatever its meaning elsewhere.
fn unexpected(kind: Lexeme<'_>, works: &str) -> Error {
    let sign = match kind {
        Lexeme::Word(word) => match refused::anywhere(word) {
            Some(error) => return error,
            None => quoted(word),
        },
        Lexeme::Text(text) => format!("the text {}", quoted(text)),
        Lexeme::Open => "{".into(),
        Lexeme::Close => "}".into(),
        Lexeme::Comma => "a comma".into(),
        Lexeme::Mask => "&".into(),
        Lexeme::Is => "==".into(),
        Lexeme::IsNot => "!=".into(),
        Lexeme::Semicolon | Lexeme::LineEnd => return bad("the line ends too early").fix(works),
        Lexeme::Wrong(why) => return bad(why).fix(works),
    };
    bad(format!("{sign} has no meaning here")).fix(works)
}
