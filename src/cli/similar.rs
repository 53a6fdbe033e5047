//! "Did you mean": the nearest of the names that exist.

use bowline_api::Client;
use bowline_core::{Code, Error};

/// Adds the nearest existing name to the fix, where a network or an endpoint was not found.
pub(crate) fn suggest(error: Error, client: &Client, networks: &[&str], endpoints: &[&str]) -> Error {
    let (asked, known) = match error.code {
        Code::NetworkNotFound => {
            (networks, client.networks().map(|all| all.into_iter().map(|n| (n.id, n.name)).collect()))
        }
        Code::EndpointNotFound => {
            (endpoints, client.endpoints().map(|all| all.into_iter().map(|e| (e.id, e.name)).collect()))
        }
        _ => return error,
    };
    // A hint must not hide the failure that it is about.
    let known: Vec<(String, String)> = known.unwrap_or_default();
    let missing = asked.iter().find(|&&name| known.iter().all(|(id, known)| id != name && known != name));
    let hint = missing.and_then(|name| nearest(name, known.iter().map(|(_, name)| name.as_str())));
    match (hint, &error.fix) {
        (None, _) => error,
        (Some(hint), None) => error.fix(format!("did you mean {hint}?")),
        (Some(hint), Some(fix)) => {
            let fix = format!("did you mean {hint}? or {fix}");
            error.fix(fix)
        }
    }
}

/// The nearest name, where one is near: at most a third of the letters are wrong.
pub(crate) fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (asked.chars().count() / 3).max(1);
    known
        .map(|name| (distance(&asked.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Letters to add, drop, change or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_or_none() {
        let near = |asked| nearest(asked, ["front", "back", "frost", "Web-1"].into_iter());
        assert_eq!(near("fornt"), Some("front"));
        assert_eq!(near("fron"), Some("front"));
        assert_eq!(near("web-1"), Some("Web-1"));
        assert_eq!(near("b"), None);
        assert_eq!(near("database"), None);
        assert_eq!(near(""), None);
    }
}
