//! The table of what this host can do, and below it what was found, each with the line to paste.

use std::fmt::Write as _;

use bowline_api::v1::{Check, Checkup, Feature, Has, Standing};

use crate::report::paint;
use crate::screen::clean;
use crate::session::Session;
use crate::table::Table;

pub(super) fn shown(checkup: &Checkup, session: &Session) -> String {
    let mut text = String::new();
    if !checkup.features.is_empty() {
        text.push_str(&features(&checkup.features, session));
        text.push('\n');
    }
    checkup.checks.iter().for_each(|check| text.push_str(&finding(check, session.screen.color)));
    text
}

fn features(features: &[Feature], session: &Session) -> String {
    let mut table = Table::new(&["FEATURE", "HAS", "FOR", "TO HAVE IT"], &["FOR"]);
    for feature in features {
        let has = match feature.has {
            Has::Yes => "yes",
            Has::No => "no",
            Has::Unknown => "?",
        };
        let fix = feature.fix.clone().unwrap_or_default();
        table.row(vec![feature.name.clone(), has.to_string(), feature.purpose.clone(), fix]);
    }
    table.render(&session.screen)
}

fn finding(check: &Check, color: bool) -> String {
    let (word, code) = match check.standing {
        Standing::Well => ("well", "1;32"),
        Standing::Doubtful => ("doubtful", "1;33"),
        Standing::Wrong => ("wrong", "1;31"),
        Standing::Unknown => ("unknown", "1;33"),
    };
    // Coloured after it is padded, for a colour has no width.
    let word = paint(color, code, &format!("{word:<8}"));
    let mut text = format!("{word}  {:<11}  {}\n", clean(&check.about), clean(&check.what));
    if let Some(fix) = &check.fix {
        writeln!(text, "{:23}{}: {}", "", paint(color, "1;32", "fix"), clean(fix))
            .expect("a string takes all");
    }
    text
}
