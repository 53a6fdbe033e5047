//! What is known about where the output goes, and how text is made safe to be shown there.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

// Without comments on its values, for these would make every long help longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// Colour on standard output.
    pub color: bool,
    /// Colour on standard error.
    pub error_color: bool,
    /// Columns to keep within; None where nobody looks at the width.
    pub width: Option<usize>,
    /// Show everything in full.
    pub no_trunc: bool,
    /// Somebody is there to answer a question.
    pub interactive: bool,
}

impl Screen {
    pub fn of_process(color: Color, no_trunc: bool) -> Screen {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let wish = |terminal| wants_color(color, terminal, |name| env::var(name).ok());
        Screen {
            color: wish(out),
            error_color: wish(err),
            width: out.then(columns).flatten(),
            no_trunc,
            interactive: io::stdin().is_terminal() && err,
        }
    }
}

/// Whether to colour one stream. An explicit flag wins over the environment (no-color.org, bixense.com/clicolors).
pub(crate) fn wants_color(flag: Color, terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name| env(name).is_some_and(|value| !value.is_empty());
    match flag {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto if env("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") => true,
        Color::Auto => terminal && env("TERM").is_none_or(|term| term != "dumb"),
    }
}

fn columns() -> Option<usize> {
    env::var("COLUMNS").ok()?.parse().ok().filter(|&columns| columns > 0)
}

/// Control characters, and those that reorder text, as escapes: what a stranger wrote in a label must not drive the terminal.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match hostile(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// JSON for a terminal or a file: indented, and with every control character escaped, also those JSON lets pass.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("wire types have string keys only");
    text = escaped_json(&text);
    text.push('\n');
    text
}

/// One object a line.
pub(crate) fn json_line(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("wire types have string keys only");
    text = escaped_json(&text);
    text.push('\n');
    text
}

/// Outside strings, JSON has no such character but the line break of its indentation.
fn escaped_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c != '\n' && hostile(c) {
            true => write!(safe, "\\u{:04x}", u32::from(c)).expect("a string takes all"),
            false => safe.push(c),
        }
    }
    safe
}

/// All hostile characters are in the first plane, so that four hex digits name them.
fn hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_follows_flag_then_environment_then_terminal() {
        let check = |flag, terminal, set: &[(&str, &str)]| {
            wants_color(flag, terminal, |name| {
                set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
            })
        };
        assert!(check(Color::Auto, true, &[]));
        assert!(!check(Color::Auto, false, &[]));
        assert!(!check(Color::Auto, true, &[("NO_COLOR", "1")]));
        assert!(check(Color::Auto, true, &[("NO_COLOR", "")]));
        assert!(!check(Color::Auto, true, &[("TERM", "dumb")]));
        assert!(check(Color::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!check(Color::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!check(Color::Auto, true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(check(Color::Always, false, &[("NO_COLOR", "1")]));
        assert!(!check(Color::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(clean("plain é 日本"), "plain é 日本");
        assert_eq!(clean("a\x1b[2Jb\n\u{9b}1m\u{202e}"), "a\\u{1b}[2Jb\\n\\u{9b}1m\\u{202e}");
    }

    #[test]
    fn json_reads_back_as_it_was() {
        let value = serde_json::json!({ "k": "\u{9b}\u{7f}\x1b\n\u{202e}é" });
        let text = json(&value);
        assert!(!text.trim_end().chars().any(|c| c != '\n' && hostile(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
