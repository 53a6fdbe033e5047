//! `bowline dns log`: the last queries, and with `--follow` those that come.

use std::thread;
use std::time::Duration;

use bowline_api::v1::DnsLine;
use bowline_core::{Code, Result};
use clap::Args;

use super::view;
use crate::exit;
use crate::io::Io;
use crate::screen::json_line;
use crate::session::Session;
use crate::similar::suggest;

pub(super) const EXAMPLES: &str = "\
Examples:
  bowline dns log                                    the last queries of all endpoints
  bowline dns log --endpoint web --limit 10
  bowline dns log --follow --json | jq -r 'select(.outcome == \"NXDOMAIN\").name'";

/// How often a follower looks.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Go on with what is asked from now on, one line each, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Queries of this endpoint only, by name or id
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,

    /// At most so many of those that have been
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

pub(super) fn execute(args: &LogArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let client = &session.client;
    // The newest of one endpoint may be among the oldest of all; and a follower needs one to go on from.
    let mut lines = client.dns_log(0, args.endpoint.is_none().then_some(args.limit.max(1)))?;
    let last = lines.last().cloned();
    let who = match &args.endpoint {
        Some(asked) => Some(endpoint(asked, &lines, session)?),
        None => None,
    };
    lines.retain(|line| is_of(line, who.as_deref()));
    lines.drain(..lines.len().saturating_sub(usize::try_from(args.limit).unwrap_or(usize::MAX)));
    if args.follow {
        return follow(lines, last, who.as_deref(), session, io);
    }
    match session.json {
        true => io.json(&lines)?,
        false => io.data(&view::queries(&lines, &session.screen))?,
    }
    Ok(exit::OK)
}

fn is_of(line: &DnsLine, who: Option<&str>) -> bool {
    who.is_none_or(|who| line.endpoint == who)
}

/// The name of an endpoint that is there; or one that has been, and has asked.
fn endpoint(asked: &str, lines: &[DnsLine], session: &Session) -> Result<String> {
    match session.client.endpoint(asked) {
        Ok(endpoint) => Ok(endpoint.name),
        Err(error) if error.code == Code::EndpointNotFound && lines.iter().any(|l| l.endpoint == asked) => {
            Ok(asked.to_string())
        }
        Err(error) => Err(suggest(error, &session.client, &[], &[asked])),
    }
}

/// Ends well when its reader leaves, and badly when the daemon does.
fn follow(
    first: Vec<DnsLine>,
    mut last: Option<DnsLine>,
    who: Option<&str>,
    session: &Session,
    io: &mut Io<'_>,
) -> Result<u8> {
    let mut fresh = first;
    loop {
        for line in fresh.iter().filter(|line| is_of(line, who)) {
            let text = if session.json { json_line(line) } else { view::query(line) };
            if io.stream(&text)?.is_break() {
                return Ok(exit::OK);
            }
        }
        thread::sleep(PAUSE);
        // The last one is asked for again: it tells whether the daemon still counts as it did.
        let after = last.as_ref().map_or(0, |last| last.number.saturating_sub(1));
        let news = news(last.as_ref(), session.client.dns_log(after, None)?);
        fresh = match news {
            News::Lines { missed: 0, lines } => lines,
            News::Lines { missed, lines } => {
                io.note(session, &format!("{} missing: they came too fast", queries(missed)));
                lines
            }
            News::Restarted => {
                io.note(session, "the daemon has started again");
                last = None;
                session.client.dns_log(0, None)?
            }
        };
        last = fresh.last().cloned().or(last);
    }
}

fn queries(count: u64) -> String {
    match count {
        1 => "1 query is".to_string(),
        _ => format!("{count} queries are"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    /// New ones, and how many before them were forgotten meanwhile.
    Lines { missed: u64, lines: Vec<DnsLine> },
    /// The daemon counts from the beginning.
    Restarted,
}

/// Of an answer that begins with the last known line, if all is as it was.
fn news(last: Option<&DnsLine>, mut answer: Vec<DnsLine>) -> News {
    let Some(last) = last else { return News::Lines { missed: 0, lines: answer } };
    match answer.first() {
        Some(first) if first == last => {
            answer.remove(0);
            News::Lines { missed: 0, lines: answer }
        }
        Some(first) if first.number > last.number => {
            News::Lines { missed: first.number - last.number - 1, lines: answer }
        }
        Some(_) | None => News::Restarted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::dns_lines;

    fn numbered(numbers: &[u64]) -> Vec<DnsLine> {
        let line = |number| DnsLine { number, ..dns_lines().remove(0) };
        numbers.iter().copied().map(line).collect()
    }

    #[test]
    fn what_is_new_begins_behind_the_last_line() {
        let last = &numbered(&[5])[0];
        let lines = |missed, numbers: &[u64]| News::Lines { missed, lines: numbered(numbers) };
        assert_eq!(news(None, numbered(&[7, 8])), lines(0, &[7, 8]));
        assert_eq!(news(Some(last), numbered(&[5])), lines(0, &[]));
        assert_eq!(news(Some(last), numbered(&[5, 6, 7])), lines(0, &[6, 7]));
        assert_eq!(news(Some(last), numbered(&[6, 7])), lines(0, &[6, 7]), "the last one was forgotten");
        assert_eq!(news(Some(last), numbered(&[9, 10])), lines(3, &[9, 10]));
    }

    #[test]
    fn a_daemon_that_started_again_is_told_by_its_numbers() {
        let last = &numbered(&[5])[0];
        assert_eq!(news(Some(last), Vec::new()), News::Restarted, "it has not come as far yet");
        let other = DnsLine { name: "other".into(), ..last.clone() };
        assert_eq!(news(Some(last), vec![other]), News::Restarted, "it has, with something else");
    }
}
