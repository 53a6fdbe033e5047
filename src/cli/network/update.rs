//! `bowline network update`: what may change while members are connected.

use bowline_api::v1::UpdateNetwork;
use bowline_core::{Code, Error, Result};
use clap::{ArgAction, Args};

use super::create::Isolation;
use super::pair;
use crate::exit;
use crate::io::Io;
use crate::session::Session;
use crate::similar::suggest;

#[derive(Debug, Clone, Args)]
pub(crate) struct UpdateArgs {
    /// The network, by name or id
    name: String,

    /// Who may open connections to members from outside
    #[arg(long, value_enum, value_name = "WHO")]
    isolation: Option<Isolation>,

    /// Keep the host's other networks out: the same as --isolation strict
    #[arg(long, conflicts_with = "isolation")]
    isolate: bool,

    /// Members reach one another
    #[arg(long, overrides_with = "no_icc", action = ArgAction::SetTrue)]
    icc: bool,

    /// Members reach the gateway, but not one another
    #[arg(long, overrides_with = "icc", action = ArgAction::SetTrue)]
    no_icc: bool,

    /// Members leave the host under its address
    #[arg(long, overrides_with = "no_masquerade", action = ArgAction::SetTrue)]
    masquerade: bool,

    /// Members keep their own addresses when they leave the host
    #[arg(long, overrides_with = "masquerade", action = ArgAction::SetTrue)]
    no_masquerade: bool,

    /// Members reach one another and nothing else
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    internal: Option<bool>,

    /// A card of the host's that is trusted, in place of all that are; may be given again
    #[arg(long = "trusted-interface", value_name = "NAME")]
    trusted: Vec<String>,

    /// Trust no card of the host's
    #[arg(long, conflicts_with = "trusted")]
    no_trusted_interfaces: bool,

    /// Largest packet in bytes
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,

    /// Labels in place of all that it has; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,

    /// Take all labels off
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
}

pub(super) fn execute(args: UpdateArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let (name, wish) = args.wish()?;
    let updated = session
        .client
        .update_network(&name, &wish)
        .map_err(|error| suggest(error, &session.client, &[&name], &[]))?;
    match session.json {
        true => io.json(&updated)?,
        false => io.data(&format!("{}\n", updated.name))?,
    }
    Ok(exit::OK)
}

impl UpdateArgs {
    fn wish(self) -> Result<(String, UpdateNetwork)> {
        let isolation = self.isolation.or(self.isolate.then_some(Isolation::Strict));
        let labels = (self.no_labels || !self.labels.is_empty()).then(|| self.labels.into_iter().collect());
        let trusted = (self.no_trusted_interfaces || !self.trusted.is_empty()).then_some(self.trusted);
        let wish = UpdateNetwork {
            internal: self.internal,
            isolation: isolation.map(Isolation::wire),
            icc: either(self.icc, self.no_icc),
            masquerade: either(self.masquerade, self.no_masquerade),
            trusted_interfaces: trusted,
            mtu_bytes: self.mtu,
            labels,
        };
        if wish == UpdateNetwork::default() {
            return Err(Error::new(Code::InvalidRequest, format!("nothing to change on {}", self.name))
                .fix(format!("say what: bowline network update {} --isolate", self.name)));
        }
        Ok((self.name, wish))
    }
}

/// Of a flag and its opposite, the one that was given.
fn either(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        // clap keeps the later one only.
        (false, false) | (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use expect_test::{Expect, expect};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: UpdateArgs,
    }

    fn check(line: &str, wanted: &Expect) {
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        let text = match line.args.wish() {
            Ok((name, wish)) => format!("{name} {}", serde_json::to_string(&wish).unwrap()),
            Err(error) => format!("{} {error}", error.code),
        };
        wanted.assert_eq(&text);
    }

    #[test]
    fn what_is_said_changes_and_the_rest_stays() {
        check("update front", &expect!["BWL-1001 nothing to change on front"]);
        check(
            "update front --no-icc --isolate",
            &expect![[
                r#"front {"internal":null,"isolation":"strict","icc":false,"masquerade":null,"trusted_interfaces":null,"mtu_bytes":null,"labels":null}"#
            ]],
        );
        check(
            "update front --icc --no-icc --masquerade",
            &expect![[
                r#"front {"internal":null,"isolation":null,"icc":false,"masquerade":true,"trusted_interfaces":null,"mtu_bytes":null,"labels":null}"#
            ]],
        );
        check(
            "update front --internal=false --mtu 9000",
            &expect![[
                r#"front {"internal":false,"isolation":null,"icc":null,"masquerade":null,"trusted_interfaces":null,"mtu_bytes":9000,"labels":null}"#
            ]],
        );
        check(
            "update front --internal --label a=b --label c",
            &expect![[
                r#"front {"internal":true,"isolation":null,"icc":null,"masquerade":null,"trusted_interfaces":null,"mtu_bytes":null,"labels":{"a":"b","c":""}}"#
            ]],
        );
        check(
            "update front --trusted-interface eth1 --trusted-interface wg0",
            &expect![[
                r#"front {"internal":null,"isolation":null,"icc":null,"masquerade":null,"trusted_interfaces":["eth1","wg0"],"mtu_bytes":null,"labels":null}"#
            ]],
        );
        check(
            "update front --no-trusted-interfaces",
            &expect![[
                r#"front {"internal":null,"isolation":null,"icc":null,"masquerade":null,"trusted_interfaces":[],"mtu_bytes":null,"labels":null}"#
            ]],
        );
        check(
            "update front --no-labels",
            &expect![[
                r#"front {"internal":null,"isolation":null,"icc":null,"masquerade":null,"trusted_interfaces":null,"mtu_bytes":null,"labels":{}}"#
            ]],
        );
    }
}
