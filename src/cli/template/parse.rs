//! From the text of a template to its parts.

use bowline_core::{Code, Error, Result};

use super::{Part, Path, Root, Show, Template};

/// Deeper than any template that a person writes, and no danger to the stack.
const DEEPEST: usize = 32;

enum Token {
    Text(String),
    Action(String),
}

pub(crate) fn parse(text: &str) -> Result<Template> {
    if text.starts_with("table ") {
        return Err(wrong("a template after 'table' is not understood", "give the template alone"));
    }
    let mut tokens = tokens(text)?.into_iter();
    match block(&mut tokens, 0)? {
        (parts, None) => Ok(Template(parts)),
        (_, Some(closing)) => {
            Err(wrong(&format!("{{{{{closing}}}}} closes nothing"), "begin with {{range .X}} or {{if .X}}"))
        }
    }
}

fn wrong(what: &str, fix: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("the template is not understood: {what}")).fix(fix)
}

/// `{{-` and `-}}` eat the white space beside them.
fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut eat = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, next) =
            after.split_once("}}").ok_or_else(|| wrong("a {{ is not closed", "close it with }}"))?;
        let (inside, trim) = match inside.strip_prefix("- ") {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let before = if eat { before.trim_start() } else { before };
        tokens.push(Token::Text(escapes(if trim { before.trim_end() } else { before })));
        let inside = inside.trim_start();
        eat = inside.ends_with(" -");
        tokens.push(Token::Action(inside.trim_end_matches(" -").trim().to_string()));
        rest = next;
    }
    tokens.push(Token::Text(escapes(if eat { rest.trim_start() } else { rest })));
    Ok(tokens)
}

/// A shell hands `\n` and `\t` over as they are typed.
fn escapes(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// The parts up to the end, or up to the `end` or `else` that closes the block.
fn block(tokens: &mut dyn Iterator<Item = Token>, depth: usize) -> Result<(Vec<Part>, Option<String>)> {
    if depth > DEEPEST {
        return Err(wrong("it is nested too deeply", "nest less"));
    }
    let mut parts = Vec::new();
    while let Some(token) = tokens.next() {
        let action = match token {
            Token::Text(text) => {
                if !text.is_empty() {
                    parts.push(Part::Text(text));
                }
                continue;
            }
            Token::Action(action) => action,
        };
        let (word, rest) =
            action.split_once(' ').map_or((action.as_str(), ""), |(word, rest)| (word, rest.trim()));
        parts.push(match word {
            "end" | "else" => return Ok((parts, Some(action))),
            "range" => {
                let (names, over) =
                    rest.split_once(":=").map_or(("", rest), |(names, over)| (names, over.trim()));
                let (key, value) = variables(names)?;
                let over = path(over)?;
                let (body, empty) = both(tokens, depth)?;
                Part::Range { key, value, over, body, empty }
            }
            "if" => {
                let path = path(rest)?;
                let (yes, no) = both(tokens, depth)?;
                Part::If { path, yes, no }
            }
            "json" => Part::Show(Show::Json, path(rest)?),
            "len" => Part::Show(Show::Len, path(rest)?),
            "println" if rest.is_empty() => Part::Text("\n".to_string()),
            "print" | "println" => Part::Show(Show::Plain, path(rest)?),
            _ => match action.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                Some(literal) => Part::Text(escapes(literal)),
                None => Part::Show(Show::Plain, path(&action)?),
            },
        });
    }
    Ok((parts, None))
}

/// What is between `range` or `if` and `end`, on both sides of an `else`.
fn both(tokens: &mut dyn Iterator<Item = Token>, depth: usize) -> Result<(Vec<Part>, Vec<Part>)> {
    let open = || wrong("a range or if is not closed", "close it with {{end}}");
    let (first, closing) = block(tokens, depth + 1)?;
    match closing.ok_or_else(open)?.as_str() {
        "else" => (),
        _ => return Ok((first, Vec::new())),
    }
    let (second, closing) = block(tokens, depth + 1)?;
    match closing.ok_or_else(open)?.as_str() {
        "end" => Ok((first, second)),
        _ => Err(wrong("there is a second else", "leave one out")),
    }
}

/// `$v`, or `$k, $v`
fn variables(text: &str) -> Result<(Option<String>, Option<String>)> {
    let mut names = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let name = name.strip_prefix('$').filter(|name| word(name));
        names.push(name.ok_or_else(|| wrong("a variable has no name", "write it as $name"))?.to_string());
    }
    let mut names = names.into_iter();
    match (names.next(), names.next(), names.next()) {
        (value, None, _) => Ok((None, value)),
        (key, value, None) => Ok((key, value)),
        _ => Err(wrong("a range has two variables at most", "write {{range $key, $value := .X}}")),
    }
}

fn path(text: &str) -> Result<Path> {
    let bad = || {
        wrong(
            &format!("{{{{{text}}}}}"),
            "what is understood: .A.B, $v.A, json .A, len .A, range, if, else, end",
        )
    };
    let (root, rest) = match text.strip_prefix('$') {
        Some(rest) => {
            let (name, keys) = rest.split_once('.').unwrap_or((rest, ""));
            match name {
                "" => (Root::Top, keys),
                _ if word(name) => (Root::Variable(name.to_string()), keys),
                _ => return Err(bad()),
            }
        }
        None => (Root::Dot, text.strip_prefix('.').ok_or_else(bad)?),
    };
    let keys: Vec<String> = rest.split('.').filter(|_| !rest.is_empty()).map(str::to_string).collect();
    match keys.iter().all(|key| word(key)) {
        true => Ok(Path { root, keys }),
        false => Err(bad()),
    }
}

fn word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}
