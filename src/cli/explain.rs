//! `bowline explain`: the page of docs/errors.md about one code.

use bowline_core::{Code, Error, Result};
use serde::Serialize;

use crate::exit;
use crate::io::Io;
use crate::session::Session;
use crate::table::Table;

const PAGES: &str = include_str!("../../docs/errors.md");

#[derive(Debug, Serialize)]
struct Page<'a> {
    code: String,
    title: &'a str,
    text: &'a str,
}

pub(crate) fn execute(code: Option<&str>, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let Some(text) = code else {
        list(session, io)?;
        return Ok(exit::OK);
    };
    let code = Code::parse(text).ok_or_else(|| {
        Error::new(Code::InvalidRequest, format!("{text:?} is not an error code"))
            .fix("write it as in the message: bowline explain BWL-1201; bowline explain lists all")
    })?;
    let page = page(code).expect("a test holds that every code has a page");
    match session.json {
        true => io.json(&page)?,
        false => io.data(&format!("{}: {}\n\n{}", page.code, page.title, shown(page.text)))?,
    }
    Ok(exit::OK)
}

fn list(session: &Session, io: &mut Io<'_>) -> Result<()> {
    if session.json {
        return io.json(&Code::ALL.iter().filter_map(|&code| page(code)).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["CODE", "MEANING", "EXIT"], &[]);
    for &code in Code::ALL {
        table.row(vec![code.to_string(), code.title().to_string(), exit::code(code).to_string()]);
    }
    io.data(&table.render(&session.screen))
}

fn page(code: Code) -> Option<Page<'static>> {
    let head = format!("## {code}: ");
    let mut sections = sections();
    let (title, text) = sections.find_map(|section| section.strip_prefix(&head)?.split_once('\n'))?;
    Some(Page { code: code.to_string(), title, text: text.trim() })
}

/// For a terminal: what is to be pasted stands apart, without the marks of the format.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut command = false;
    for line in text.lines() {
        if line == "```" {
            command = !command;
            shown.push_str(if command { "\n" } else { "" });
        } else {
            shown.push_str(if command { "    " } else { "" });
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

/// Each from its heading to the next; what comes before the first is none.
fn sections() -> impl Iterator<Item = &'static str> {
    let starts: Vec<usize> = PAGES.match_indices("\n## ").map(|(at, _)| at + 1).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([PAGES.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| &PAGES[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_exactly_one_page_under_its_title_and_no_page_is_left_over() {
        let headings: Vec<&str> = sections().map(|section| section.lines().next().unwrap()).collect();
        let wanted: Vec<String> =
            Code::ALL.iter().map(|code| format!("## {code}: {}", code.title())).collect();
        assert_eq!(headings, wanted);
    }

    #[test]
    fn a_page_is_shown_without_marks() {
        assert_eq!(shown("why\n```\nls -l\nid\n```"), "why\n\n    ls -l\n    id\n");
    }

    #[test]
    fn every_page_is_short_says_why_and_what_to_do() {
        for &code in Code::ALL {
            let text = page(code).unwrap().text;
            assert!((3..=12).contains(&text.lines().count()), "{code} has {} lines", text.lines().count());
            assert!(text.contains("```\n"), "{code} has no command to paste");
            assert!(text.lines().all(|line| line.len() <= 120), "{code} has long lines");
        }
    }
}
