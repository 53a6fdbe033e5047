//! Tables as `docker` and `ip` users read them: no lines, no wrapping, two spaces between columns.

use std::borrow::Cow;

use comfy_table::{ContentArrangement, TableStyle};

use crate::screen::{Screen, clean};

/// Rows under heads. Where the terminal is narrow, columns go, the least important first.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    heads: &'a [&'a str],
    /// Heads of columns that may be dropped, the first to go first.
    spare: &'a [&'a str],
    rows: Vec<Vec<String>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(heads: &'a [&'a str], spare: &'a [&'a str]) -> Table<'a> {
        Table { heads, spare, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.heads.len());
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    pub(crate) fn render(&self, screen: &Screen) -> String {
        let mut dropped = 0;
        loop {
            let text = self.without(&self.spare[..dropped]);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            let fits = screen.no_trunc || screen.width.is_none_or(|width| widest <= width);
            if fits || dropped == self.spare.len() {
                return text;
            }
            dropped += 1;
        }
    }

    fn without(&self, dropped: &[&str]) -> String {
        let kept: Vec<usize> =
            (0..self.heads.len()).filter(|&at| !dropped.contains(&self.heads[at])).collect();
        let mut table = comfy_table::Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(kept.iter().map(|&at| self.heads[at]));
        for row in &self.rows {
            table.add_row(kept.iter().map(|&at| row[at].as_str()));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// An empty cell would shift what reads columns by spaces.
fn shown(cell: String) -> String {
    match clean(&cell) {
        Cow::Owned(safe) => safe,
        Cow::Borrowed("") => "-".to_string(),
        Cow::Borrowed(_) => cell,
    }
}

/// The first of several, and how many more: `10.9.0.0/24 +1`.
pub(crate) fn first_and_more(all: &[String], screen: &Screen) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        _ if screen.no_trunc => all.join(","),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn table() -> Table<'static> {
        let mut table = Table::new(&["NAME", "MIDDLE", "LAST"], &["LAST", "MIDDLE"]);
        table.row(vec!["a".into(), "a long cell with spaces".into(), "1".into()]);
        table.row(vec!["b\x1b[2J\nc".into(), "日本".into(), String::new()]);
        table
    }

    #[test]
    fn columns_are_two_spaces_apart_and_nothing_wraps_or_moves_the_cursor() {
        expect![[r#"
            NAME           MIDDLE                   LAST
            a              a long cell with spaces  1
            b\u{1b}[2J\nc  日本                     -
        "#]]
        .assert_eq(&table().render(&Screen::default()));
    }

    #[test]
    fn a_narrow_terminal_loses_the_least_important_columns() {
        expect![[r#"
            NAME           MIDDLE
            a              a long cell with spaces
            b\u{1b}[2J\nc  日本
        "#]]
        .assert_eq(&table().render(&Screen { width: Some(42), ..Screen::default() }));
        let narrow = Screen { width: Some(3), ..Screen::default() };
        assert!(table().render(&narrow).starts_with("NAME\n"));
        let full = Screen { no_trunc: true, ..narrow };
        assert_eq!(table().render(&full), table().render(&Screen::default()));
    }
}
