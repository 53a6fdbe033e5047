//! `bowline doctor`: what this host can do, what is wrong with it, and the line to paste. What the daemon can see is asked
//! of the daemon; where none answers, what can be seen without one is looked at here.

mod look;
mod view;

use bowline_api::v1::{Check, Checkup, Standing};
use bowline_core::Result;
use serde::Serialize;

use crate::exit;
use crate::io::Io;
use crate::session::Session;

/// The whole of it, as JSON.
#[derive(Debug, Serialize)]
struct Report {
    /// True where nothing is wrong.
    well: bool,
    #[serde(flatten)]
    checkup: Checkup,
}

pub(crate) fn execute(session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let checkup = look::at_everything(session);
    let well = !checkup.checks.iter().any(|check| check.standing == Standing::Wrong);
    let report = Report { well, checkup };
    match session.json {
        true => io.json(&report)?,
        false => {
            io.data(&view::shown(&report.checkup, session))?;
            io.note(session, &summary(&report.checkup.checks));
        }
    }
    Ok(if well { exit::OK } else { exit::NO })
}

fn summary(checks: &[Check]) -> String {
    let count = |standing| checks.iter().filter(|check| check.standing == standing).count();
    let others = [
        (count(Standing::Wrong), "wrong"),
        (count(Standing::Doubtful), "doubtful"),
        (count(Standing::Unknown), "not looked at"),
    ];
    let others: Vec<String> = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    match others.is_empty() {
        true => "all is well".to_string(),
        false => format!("{} well, {}", count(Standing::Well), others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_what_is_not_well() {
        let checks = |standings: &[Standing]| -> Vec<Check> {
            let check = |&standing| Check { about: "x".into(), standing, what: "y".into(), fix: None };
            standings.iter().map(check).collect()
        };
        use Standing::{Doubtful, Unknown, Well, Wrong};
        assert_eq!(summary(&checks(&[Well, Well])), "all is well");
        assert_eq!(summary(&checks(&[Well, Unknown])), "1 well, 1 not looked at");
        assert_eq!(
            summary(&checks(&[Wrong, Well, Doubtful, Wrong, Unknown])),
            "1 well, 2 wrong, 1 doubtful, 1 not looked at"
        );
    }
}
