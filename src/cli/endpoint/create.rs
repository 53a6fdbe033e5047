//! `bowline endpoint create`: opens a namespace and hands it to the daemon with what it wants of its networks.

use bowline_api::v1::{CreateEndpoint, Join, Netns};
use bowline_core::{Code, Error, Result};
use clap::Args;

use crate::exit;
use crate::io::Io;
use crate::join::{self, JoinArgs};
use crate::namespace::Namespace;
use crate::network::pair;
use crate::publish::PublishArgs;
use crate::session::Session;
use crate::similar::suggest;
use crate::wishes::DnsArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  ip netns add web
  bowline endpoint create web --netns web --network front
  ip netns exec web ping 10.9.0.1

  bowline endpoint create web --netns /run/netns/web --network front --ip 10.9.0.5 --alias api
  bowline endpoint create db --netns pid:1234 --network front --network back:ip=10.8.0.5,alias=sql
  bowline endpoint create web --netns web --network front -p 8080:80 --rate-out 10mbit
  bowline endpoint create web --netns web --network front --dns 192.0.2.53 --link db:sql

A namespace given by path or name is found again when the daemon restarts; one of a
process is not. With several networks, write what you want of each behind its name.";

#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// The name: 1 to 64 of A-Z a-z 0-9 . _ -
    name: String,

    /// The namespace: a name that 'ip netns' knows, a path, or pid:NUMBER
    #[arg(long, value_name = "NETNS", value_parser = Namespace::parse)]
    netns: Namespace,

    /// A network to connect to, by name or id; may be given again
    #[arg(long = "network", visible_alias = "net", value_name = "NET[:OPTIONS]", value_parser = join::parse)]
    networks: Vec<Join>,

    #[command(flatten)]
    join: JoinArgs,

    #[command(flatten)]
    ports: PublishArgs,

    #[command(flatten)]
    dns: DnsArgs,

    /// The host name under which it is found [default: its name]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// A label of yours; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,

    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the name only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn execute(args: CreateArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let (dry_run, quiet) = (args.dry_run, args.quiet);
    let (file, netns) = args.netns.open()?;
    let wish = args.wish(netns)?;
    let networks: Vec<&str> = wish.networks.iter().map(|join| join.network.as_str()).collect();
    let hint = |error| suggest(error, &session.client, &networks, &[]);
    if dry_run {
        return io.plan(session, &session.client.plan_endpoint(&wish).map_err(hint)?);
    }
    let made = session.client.create_endpoint(&wish).map_err(hint)?;
    drop(file);
    match session.json {
        true => io.json(&made)?,
        false => io.data(&format!("{}\n", made.name))?,
    }
    if !quiet {
        for card in &made.interfaces {
            io.note(session, &super::joined(&made.name, card));
        }
    }
    Ok(exit::OK)
}

impl CreateArgs {
    fn wish(self, netns: Netns) -> Result<CreateEndpoint> {
        let networks = match <[Join; 1]>::try_from(self.networks) {
            Ok([join]) => vec![self.join.over(join)],
            Err(networks) if self.join.is_empty() => networks,
            Err(networks) if self.join.is_for_any() && !networks.is_empty() => {
                networks.into_iter().map(|join| self.join.rates.over(join)).collect()
            }
            Err(networks) => {
                let what = match networks.len() {
                    0 => "--ip, --mac and the like need a --network",
                    _ => "with several networks, --ip, --mac and the like could mean any of them",
                };
                return Err(Error::new(Code::InvalidOption, what)
                    .fix("write them behind the network: --network front:ip=10.9.0.5,alias=api"));
            }
        };
        Ok(self.ports.over(self.dns.over(CreateEndpoint {
            hostname: self.hostname,
            networks,
            labels: self.labels.into_iter().collect(),
            ..CreateEndpoint::named(self.name, netns)
        })))
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
        args: CreateArgs,
    }

    fn check(line: &str, wanted: &Expect) {
        let args = Line::try_parse_from(line.split(' ')).unwrap().args;
        let text = match args.wish(Netns { fd: Some(3), path: None }) {
            Ok(wish) => serde_json::to_string(&wish).unwrap(),
            Err(error) => format!("{} {error}", error.code),
        };
        wanted.assert_eq(&text);
    }

    #[test]
    fn arguments_become_a_wish() {
        check(
            "create web --netns web",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":null,"networks":[],"publish":[],"expose":[],"publish_all":false,"dns":{"servers":[],"search":[],"options":[],"links":[]},"antispoof":true,"labels":{}}"#
            ]],
        );
        check(
            "create web --netns pid:1 --network front --ip 10.9.0.5 --alias api",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":null,"networks":[{"network":"front","interface":null,"ip":"10.9.0.5","ip6":null,"mac":null,"vlan":null,"aliases":["api"],"gw_priority":0,"rate_in_bits_per_s":null,"rate_out_bits_per_s":null,"netns":null}],"publish":[],"expose":[],"publish_all":false,"dns":{"servers":[],"search":[],"options":[],"links":[]},"antispoof":true,"labels":{}}"#
            ]],
        );
        check(
            "create web --netns /proc/1/ns/net --network a:ip6=fd00::5 --network b",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":null,"networks":[{"network":"a","interface":null,"ip":null,"ip6":"fd00::5","mac":null,"vlan":null,"aliases":[],"gw_priority":0,"rate_in_bits_per_s":null,"rate_out_bits_per_s":null,"netns":null},{"network":"b","interface":null,"ip":null,"ip6":null,"mac":null,"vlan":null,"aliases":[],"gw_priority":0,"rate_in_bits_per_s":null,"rate_out_bits_per_s":null,"netns":null}],"publish":[],"expose":[],"publish_all":false,"dns":{"servers":[],"search":[],"options":[],"links":[]},"antispoof":true,"labels":{}}"#
            ]],
        );
        check(
            "create web --netns web --network a --network b --mac 02:00:00:00:00:01",
            &expect!["BWL-1111 with several networks, --ip, --mac and the like could mean any of them"],
        );
        check(
            "create web --netns web --network a --network b:rate-in=1mbit --rate-in 10mbit --rate-out 500k",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":null,"networks":[{"network":"a","interface":null,"ip":null,"ip6":null,"mac":null,"vlan":null,"aliases":[],"gw_priority":0,"rate_in_bits_per_s":10000000,"rate_out_bits_per_s":500000,"netns":null},{"network":"b","interface":null,"ip":null,"ip6":null,"mac":null,"vlan":null,"aliases":[],"gw_priority":0,"rate_in_bits_per_s":1000000,"rate_out_bits_per_s":500000,"netns":null}],"publish":[],"expose":[],"publish_all":false,"dns":{"servers":[],"search":[],"options":[],"links":[]},"antispoof":true,"labels":{}}"#
            ]],
        );
        check(
            "create web --netns web --rate-in 10mbit",
            &expect!["BWL-1111 --ip, --mac and the like need a --network"],
        );
        check(
            "create web --netns web -p 8080:80 -p 127.0.0.1:5300-5301:53-54/udp -P --expose 443 --expose 9000-9001/udp --no-antispoof",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":null,"networks":[],"publish":[{"host_ip":null,"host_port":8080,"host_port_last":null,"port":80,"port_last":null,"protocol":"tcp"},{"host_ip":"127.0.0.1","host_port":5300,"host_port_last":5301,"port":53,"port_last":54,"protocol":"udp"}],"expose":[{"port":443,"port_last":null,"protocol":"tcp"},{"port":9000,"port_last":9001,"protocol":"udp"}],"publish_all":true,"dns":{"servers":[],"search":[],"options":[],"links":[]},"antispoof":false,"labels":{}}"#
            ]],
        );
        check(
            "create web --netns web --dns 192.0.2.53 --dns ::1 --dns-search a.example --dns-opt ndots:2 --dns-option rotate --link db:sql --link cache",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":null,"networks":[],"publish":[],"expose":[],"publish_all":false,"dns":{"servers":["192.0.2.53","::1"],"search":["a.example"],"options":["ndots:2","rotate"],"links":[{"endpoint":"db","alias":"sql"},{"endpoint":"cache","alias":null}]},"antispoof":true,"labels":{}}"#
            ]],
        );
        check(
            "create web --netns web --ip 10.9.0.5",
            &expect!["BWL-1111 --ip, --mac and the like need a --network"],
        );
        check(
            "create web --netns /x --network a --gw-priority -1 --hostname h --label k=v",
            &expect![[
                r#"{"name":"web","netns":{"fd":3,"path":null},"hostname":"h","networks":[{"network":"a","interface":null,"ip":null,"ip6":null,"mac":null,"vlan":null,"aliases":[],"gw_priority":-1,"rate_in_bits_per_s":null,"rate_out_bits_per_s":null,"netns":null}],"publish":[],"expose":[],"publish_all":false,"dns":{"servers":[],"search":[],"options":[],"links":[]},"antispoof":true,"labels":{"k":"v"}}"#
            ]],
        );
    }
}
