//! Names and queries for people.

use std::net::IpAddr;

use bowline_api::v1::{DnsLine, DnsName, DnsNameKind};

use crate::screen::{Screen, clean};
use crate::table::{Table, first_and_more};
use crate::time::rfc3339;

pub(super) fn names(names: &[DnsName], screen: &Screen) -> String {
    let heads = &["NAME", "KIND", "ADDRESSES", "ENDPOINT", "NETWORK"];
    let mut table = Table::new(heads, &["KIND", "NETWORK", "ENDPOINT"]);
    for name in names {
        let addresses: Vec<String> = name.addresses.iter().map(IpAddr::to_string).collect();
        table.row(vec![
            name.name.clone(),
            kind(name.kind).to_string(),
            first_and_more(&addresses, screen),
            name.endpoint.clone(),
            name.network.clone(),
        ]);
    }
    table.render(screen)
}

fn kind(kind: DnsNameKind) -> &'static str {
    match kind {
        DnsNameKind::Endpoint => "endpoint",
        DnsNameKind::Hostname => "hostname",
        DnsNameKind::Alias => "alias",
        DnsNameKind::Id => "id",
    }
}

pub(super) fn queries(lines: &[DnsLine], screen: &Screen) -> String {
    let heads = &["TIME", "ENDPOINT", "TYPE", "NAME", "OUTCOME", "ANSWERS", "FROM", "TOOK"];
    let mut table = Table::new(heads, &["TIME", "TOOK", "FROM", "ANSWERS"]);
    for line in lines {
        table.row(cells(line, first_and_more(&line.answers, screen)).into());
    }
    table.render(screen)
}

/// One query as it comes, when nobody knows yet how wide the others will be.
pub(super) fn query(line: &DnsLine) -> String {
    let cells = cells(line, line.answers.join(","));
    let cells: Vec<_> =
        cells.iter().map(|cell| if cell.is_empty() { "-".into() } else { clean(cell) }).collect();
    format!("{}\n", cells.join("  "))
}

fn cells(line: &DnsLine, answers: String) -> [String; 8] {
    [
        rfc3339(line.time_unix_ms),
        line.endpoint.clone(),
        line.kind.clone(),
        line.name.clone(),
        line.outcome.clone(),
        answers,
        line.from.clone(),
        took(line.took_us),
    ]
}

/// `0.012ms`, `250.000ms`
pub(super) fn took(us: u64) -> String {
    format!("{}.{:03}ms", us / 1000, us % 1000)
}

pub(super) fn answers(count: u64) -> String {
    match count {
        1 => "1 answer".to_string(),
        _ => format!("{count} answers"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::{dns_lines, dns_names};

    #[test]
    fn a_list_of_names() {
        expect![[r#"
            NAME          KIND      ADDRESSES      ENDPOINT  NETWORK
            sql           alias     10.8.0.2       db        back
            api           alias     10.9.0.129 +1  web       front
            ffff456789ab  id        10.9.0.129 +1  web       front
            web           endpoint  10.9.0.129 +1  web       front
            web.example   hostname  10.9.0.129 +1  web       front
        "#]]
        .assert_eq(&names(&dns_names(), &Screen::default()));
        expect![[r#"
            NAME          ADDRESSES      ENDPOINT
            sql           10.8.0.2       db
            api           10.9.0.129 +1  web
            ffff456789ab  10.9.0.129 +1  web
            web           10.9.0.129 +1  web
            web.example   10.9.0.129 +1  web
        "#]]
        .assert_eq(&names(&dns_names(), &Screen { width: Some(40), ..Screen::default() }));
    }

    #[test]
    fn a_list_of_queries() {
        expect![[r#"
            TIME                      ENDPOINT  TYPE    NAME           OUTCOME   ANSWERS      FROM           TOOK
            2025-11-20T08:34:00.000Z  web       A       DB             NOERROR   10.8.0.2 +1  here           0.009ms
            2025-11-20T08:34:00.001Z  web       TYPE65  a\u{1b}[2J.de  NXDOMAIN  -            192.0.2.53:53  12.345ms
            2025-11-20T08:34:00.002Z  db        AAAA    .              SERVFAIL  -            nobody         2000.000ms
        "#]]
        .assert_eq(&queries(&dns_lines(), &Screen::default()));
        expect![[r#"
            ENDPOINT  TYPE    NAME           OUTCOME
            web       A       DB             NOERROR
            web       TYPE65  a\u{1b}[2J.de  NXDOMAIN
            db        AAAA    .              SERVFAIL
        "#]]
        .assert_eq(&queries(&dns_lines(), &Screen { width: Some(50), ..Screen::default() }));
    }
}
