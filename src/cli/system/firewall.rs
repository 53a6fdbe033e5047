//! The firewall: whose our tables are, what the administrator added, and what else drops our traffic.

use std::fmt::Write as _;

use bowline_api::v1::{Firewall, Obstacle};
use bowline_core::Result;

use crate::io::Io;
use crate::screen::clean;
use crate::session::Session;

pub(super) fn show(session: &Session, io: &mut Io<'_>) -> Result<()> {
    let firewall = session.client.firewall()?;
    match session.json {
        true => io.json(&firewall),
        false => io.data(&card(&firewall)),
    }
}

pub(super) fn release(session: &Session, io: &mut Io<'_>) -> Result<()> {
    let firewall = session.client.release_firewall()?;
    if session.json {
        return io.json(&firewall);
    }
    io.data("the tables are no longer owned; a flush by others is undone within milliseconds\n")?;
    io.note(session, "own them again: restart the daemon");
    Ok(())
}

/// `ip filter FORWARD (ufw): policy drop`
pub(crate) fn named(obstacle: &Obstacle) -> String {
    let tool = obstacle.tool.as_ref().map(|tool| format!(" ({tool})")).unwrap_or_default();
    format!("{} {}{tool}: {}", obstacle.table, obstacle.chain, obstacle.how)
}

fn card(firewall: &Firewall) -> String {
    let mut card = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(card, "{key:<10} {}", clean(value)).expect("a string takes all");
    };
    line(
        "tables",
        match firewall.owned {
            true => "inet bowline and bridge bowline, owned: nobody else can change or flush them",
            false => "inet bowline and bridge bowline, not owned: what others change or flush is put right",
        },
    );
    line("elements", &firewall.elements.to_string());
    if firewall.user_rules.is_empty() {
        line("rules", "none of yours");
    }
    for rule in &firewall.user_rules {
        line("your rule", rule);
    }
    if let Some(error) = &firewall.user_rules_error {
        line("your files", &format!("not in force as they are: {error}"));
    }
    if firewall.obstacles.is_empty() {
        line("obstacles", "none");
    }
    for obstacle in &firewall.obstacles {
        line("obstacle", &named(obstacle));
        line("  fix", &obstacle.fix);
    }
    card
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::firewall;

    #[test]
    fn cards() {
        expect![[r#"
            tables     inet bowline and bridge bowline, owned: nobody else can change or flush them
            elements   0
            rules      none of yours
            obstacles  none
        "#]]
        .assert_eq(&card(&Firewall { owned: true, ..Firewall::default() }));
        expect![[r#"
            tables     inet bowline and bridge bowline, not owned: what others change or flush is put right
            elements   12
            your rule  ip saddr 192.0.2.0/24 drop\u{1b}[2J
            your files not in force as they are: nft.d/b.nft:2 is not understood
            obstacle   ip filter FORWARD (docker): policy drop
              fix      iptables -I DOCKER-USER -o bl+ -j ACCEPT
        "#]]
        .assert_eq(&card(&firewall()));
    }
}
