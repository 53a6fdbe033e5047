//! Which flows are to be forgotten, and how to ask for them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bowline_core::family::Family;
use bowline_core::plan::Straight;
use bowline_core::port::{At, Ports, Protocol};

use super::wire::Flow;

/// Which flows: those that one of the two speaks of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flows {
    /// Opened towards these ports of the host, whether or not they were translated.
    pub(crate) towards: Vec<Towards>,
    /// In which one of these addresses takes part, on either side, in either direction, in any protocol.
    pub(crate) of: BTreeSet<IpAddr>,
    /// Opened to one of these, and not by way of a translation.
    pub(crate) straight_to: Vec<Straight>,
}

/// Ports of the host, as whoever opened the flow saw them.
#[derive(Debug, Clone)]
pub(crate) struct Towards {
    pub(crate) at: At,
    pub(crate) protocol: Protocol,
    pub(crate) ports: Ports,
    /// Where the flows may be translated to; what is translated to anywhere else is not ours. Empty where the port is
    /// ours alone, and so are all of its flows, wherever they go.
    pub(crate) to: Vec<IpAddr>,
}

/// What is said of a flow that is not to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Forget,
    /// Where this address is one of the host.
    ForgetIfOurs(IpAddr),
}

/// What the kernel is asked for: at least what is sought, and the less besides the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) family: Option<Family>,
    /// That a flow was opened towards. The kernel wants to know the family with it.
    pub(super) port: Option<(Protocol, u16)>,
}

impl Flows {
    pub(crate) fn is_empty(&self) -> bool {
        self.towards.is_empty() && self.of.is_empty() && self.straight_to.is_empty()
    }

    /// What to ask so that all is shown. Each question makes the kernel walk its whole table; where `walks` are enough,
    /// each is for one family, and the kernel shows no other port.
    pub(super) fn questions(&self, walks: usize) -> Vec<Question> {
        let families: BTreeSet<Family> = self.families().collect();
        let port = self.port().filter(|_| families.len() <= walks);
        if port.is_none() && families.len() == Family::BOTH.len() {
            return vec![Question { family: None, port }];
        }
        families.into_iter().map(|family| Question { family: Some(family), port }).collect()
    }

    pub(super) fn verdict(&self, flow: &Flow<'_>) -> Option<Verdict> {
        if !self.of.is_empty() && flow.addresses().iter().any(|address| self.of.contains(address)) {
            return Some(Verdict::Forget);
        }
        let (opened_to, answers) = (flow.original.to, flow.reply.from);
        if opened_to == answers && self.straight_to.iter().any(|straight| is_to(straight, flow)) {
            return Some(Verdict::Forget);
        }
        self.towards.iter().find_map(|towards| towards.verdict(flow))
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        let towards = self.towards.iter().flat_map(|towards| towards.at.families()).copied();
        let of = self.of.iter().copied().chain(self.straight_to.iter().map(|straight| straight.net.ip()));
        towards.chain(of.map(Family::of))
    }

    /// Where all that is sought was opened towards one port.
    fn port(&self) -> Option<(Protocol, u16)> {
        let first = self.towards.first()?;
        let alike = |t: &Towards| t.protocol == first.protocol && t.ports == first.ports;
        let alone = self.of.is_empty()
            && self.straight_to.is_empty()
            && first.ports.count() == 1
            && self.towards.iter().all(alike);
        alone.then(|| (first.protocol, first.ports.first()))
    }
}

fn is_to(straight: &Straight, flow: &Flow<'_>) -> bool {
    let service = |(protocol, ports): (Protocol, Ports)| {
        flow.original.protocol == protocol.number() && flow.original.port.is_some_and(|p| ports.contains(p))
    };
    straight.net.contains(flow.original.to) && straight.ports.is_none_or(service)
}

impl Towards {
    fn verdict(&self, flow: &Flow<'_>) -> Option<Verdict> {
        let host = flow.original.to;
        let meant = flow.original.protocol == self.protocol.number()
            && flow.original.port.is_some_and(|port| self.ports.contains(port))
            && self.at.includes(host);
        if !meant {
            return None;
        }
        // Who answers is who the flow was led to.
        let answers = flow.reply.from;
        if answers == host || self.to.is_empty() {
            // Not led elsewhere: to the host itself, or forwarded by it as it came.
            return Some(Verdict::ForgetIfOurs(host));
        }
        self.to.contains(&answers).then_some(Verdict::Forget)
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::conntrack::wire::Tuple;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn towards(at: &str, ports: (u16, u16), to: &[&str]) -> Towards {
        let at = if at.is_empty() { At::Everywhere } else { At::of(ip(at)) };
        let ports = Ports::new(ports.0, ports.1).unwrap();
        Towards { at, protocol: Protocol::Udp, ports, to: to.iter().copied().map(ip).collect() }
    }

    /// From 198.51.100.7 to a port; `answers` is who it was led to.
    fn verdict(flows: &Flows, protocol: u8, to: (&str, Option<u16>), answers: &str) -> Option<Verdict> {
        let peer = ip("198.51.100.7");
        let original = Tuple { from: peer, to: ip(to.0), protocol, port: to.1 };
        let reply = Tuple { from: ip(answers), to: peer, protocol, port: Some(40_000) };
        flows.verdict(&Flow::plain(original, reply))
    }

    #[test]
    fn a_flow_is_towards_a_port_where_all_of_its_destination_is() {
        let flows =
            Flows { towards: vec![towards("192.0.2.1", (53, 54), &["10.9.0.2"])], ..Flows::default() };
        let host = "192.0.2.1";
        let check = |protocol, to, answers, expected| {
            assert_eq!(verdict(&flows, protocol, to, answers), expected, "{protocol} {to:?} {answers}");
        };
        let if_ours = Some(Verdict::ForgetIfOurs(ip(host)));
        check(17, (host, Some(53)), host, if_ours);
        check(17, (host, Some(54)), host, if_ours);
        check(17, (host, Some(54)), "10.9.0.2", Some(Verdict::Forget));
        check(17, (host, Some(53)), "10.9.0.3", None);
        check(17, (host, Some(52)), host, None);
        check(17, (host, Some(55)), "10.9.0.2", None);
        check(6, (host, Some(53)), host, None);
        check(17, (host, None), host, None);
        check(17, ("192.0.2.2", Some(53)), "192.0.2.2", None);
        check(17, ("192.0.2.2", Some(53)), "10.9.0.2", None);
    }

    #[test]
    fn a_flow_straight_to_a_member_is_not_towards_the_host() {
        let flows = Flows { towards: vec![towards("", (53, 53), &["10.9.0.2"])], ..Flows::default() };
        let straight = verdict(&flows, 17, ("10.9.0.2", Some(53)), "10.9.0.2");
        assert_eq!(straight, Some(Verdict::ForgetIfOurs(ip("10.9.0.2"))));
    }

    #[test]
    fn a_flow_straight_to_a_port_of_a_member_is_no_other_of_its() {
        let flows = |ports| Flows {
            straight_to: vec![Straight { net: "10.9.0.2/32".parse().unwrap(), ports }],
            ..Flows::default()
        };
        let http = flows(Some((Protocol::Tcp, Ports::one(80).unwrap())));
        let check = |flows: &Flows, protocol, to, answers, expected| {
            assert_eq!(verdict(flows, protocol, to, answers).is_some(), expected, "{protocol} {to:?}");
        };
        check(&http, 6, ("10.9.0.2", Some(80)), "10.9.0.2", true);
        check(&http, 6, ("10.9.0.2", Some(81)), "10.9.0.2", false);
        check(&http, 17, ("10.9.0.2", Some(80)), "10.9.0.2", false);
        check(&http, 6, ("10.9.0.3", Some(80)), "10.9.0.3", false);
        check(&http, 6, ("192.0.2.1", Some(80)), "10.9.0.2", false);
        check(&flows(None), 17, ("10.9.0.2", Some(81)), "10.9.0.2", true);
    }

    #[test]
    fn an_address_takes_part_on_either_side_of_either_direction() {
        let of = |address| Flows { of: [ip(address)].into(), ..Flows::default() };
        for address in ["198.51.100.7", "192.0.2.1", "10.9.0.2"] {
            let verdict = verdict(&of(address), 6, ("192.0.2.1", Some(80)), "10.9.0.2");
            assert_eq!(verdict, Some(Verdict::Forget), "{address}");
        }
        assert_eq!(verdict(&of("10.9.0.3"), 6, ("192.0.2.1", Some(80)), "10.9.0.2"), None);
    }

    #[test]
    fn the_kernel_is_asked_for_no_more_than_it_need_show() {
        let check = |towards: &[Towards], of: &[&str], expected: [&str; 3]| {
            let flows = Flows {
                towards: towards.to_vec(),
                of: of.iter().copied().map(ip).collect(),
                ..Flows::default()
            };
            let shown = [0, 1, 2].map(|walks| {
                let all = flows.questions(walks).into_iter().map(|question| {
                    let family = question.family.map_or("any".into(), |family| family.to_string());
                    let port = question.port.map(|(protocol, port)| format!(" {port}/{protocol}"));
                    family + &port.unwrap_or_default()
                });
                all.collect::<Vec<_>>().join(", ")
            });
            assert_eq!(shown, expected, "{flows:?}");
        };
        let everywhere = towards("", (53, 53), &[]);
        let four = towards("0.0.0.0", (53, 53), &[]);
        let one = towards("192.0.2.1", (53, 53), &[]);
        let range = towards("::", (53, 60), &[]);
        let both = ["any", "any", "IPv4 53/udp, IPv6 53/udp"];
        check(&[], &[], [""; 3]);
        check(std::slice::from_ref(&everywhere), &[], both);
        check(&[four.clone(), everywhere], &[], both);
        check(&[four.clone(), one], &[], ["IPv4", "IPv4 53/udp", "IPv4 53/udp"]);
        check(&[four.clone(), towards("192.0.2.1", (54, 54), &[])], &[], ["IPv4"; 3]);
        check(std::slice::from_ref(&range), &[], ["IPv6"; 3]);
        check(&[range, four.clone()], &[], ["any"; 3]);
        check(&[four], &["10.9.0.2"], ["IPv4"; 3]);
        check(&[], &["10.9.0.2", "fd00::2"], ["any"; 3]);
    }
}
