//! A file in words. Nothing is wrong here: what no rule could have is a token too, for who reads on to stumble over.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) kind: Lexeme<'t>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lexeme<'t> {
    Word(&'t str),
    /// What stood in quotes.
    Text(&'t str),
    Open,
    Close,
    Comma,
    Mask,
    Is,
    IsNot,
    Semicolon,
    LineEnd,
    Wrong(&'static str),
}

/// At its end is always the end of a line.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut line, mut rest) = (1, text);
    while let Some((kind, len)) = next(rest) {
        let taken = &rest[..len];
        if let Some(kind) = kind {
            tokens.push(Token { line, kind });
        }
        line += taken.matches('\n').count();
        rest = &rest[len..];
    }
    tokens.push(Token { line, kind: Lexeme::LineEnd });
    tokens
}

/// What the text begins with, and how long that is; no token where it is mere space.
fn next(text: &str) -> Option<(Option<Lexeme<'_>>, usize)> {
    let first = text.chars().next()?;
    let one = |kind| Some((Some(kind), 1));
    match first {
        '\n' => one(Lexeme::LineEnd),
        ' ' | '\t' | '\r' => Some((None, 1)),
        '#' => Some((None, text.find('\n').unwrap_or(text.len()))),
        '{' => one(Lexeme::Open),
        '}' => one(Lexeme::Close),
        ',' => one(Lexeme::Comma),
        ';' => one(Lexeme::Semicolon),
        '&' => one(Lexeme::Mask),
        '"' => Some(quoted(text)),
        '\\' => match text[1..].trim_start_matches([' ', '\t', '\r']) {
            after if after.starts_with('\n') => Some((None, text.len() - after.len() + 1)),
            _ => one(Lexeme::Wrong("a backslash stands at the very end of a line that goes on")),
        },
        '!' | '=' => match &text.as_bytes()[1..] {
            [b'=', ..] => Some((Some(if first == '!' { Lexeme::IsNot } else { Lexeme::Is }), 2)),
            _ => one(Lexeme::Wrong("there are == and !=, and no other signs to compare with")),
        },
        other if other.is_control() => {
            Some((Some(Lexeme::Wrong("there is a control character")), other.len_utf8()))
        }
        _ => {
            let ends = |c: char| c.is_whitespace() || c.is_control() || "{},;\"#!=&\\".contains(c);
            let len = text.find(ends).unwrap_or(text.len());
            // A space that is none of ASCII's is a word, for which there is no meaning.
            let len = len.max(first.len_utf8());
            Some((Some(Lexeme::Word(&text[..len])), len))
        }
    }
}

fn quoted(text: &str) -> (Option<Lexeme<'_>>, usize) {
    let inside = &text[1..];
    match inside.find(['"', '\n']) {
        Some(end) if inside[end..].starts_with('"') => (Some(Lexeme::Text(&inside[..end])), end + 2),
        Some(end) => (Some(Lexeme::Wrong("a quote is not closed on its line")), end + 1),
        None => (Some(Lexeme::Wrong("a quote is not closed on its line")), text.len()),
    }
}
