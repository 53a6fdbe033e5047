//! The cells of one round: every caller times every call that it has a way for, and what is right for each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::model::{Answer, Dial, HIDDEN, HOST, OF_HOST, Protocol, SERVED, Standing, Town};
use super::people::{Caller, addresses_of_host, both, called, callers, published, uplink};

#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) caller: &'static str,
    /// The address that it goes out under.
    pub(crate) from: IpAddr,
    /// It is somebody else's.
    pub(crate) claimed: bool,
    pub(crate) dial: Dial,
    pub(crate) expected: Option<Answer>,
    /// Whether the one who answers has to see that address.
    pub(crate) known: bool,
    /// Who answered, and whom they took the caller for.
    pub(crate) answered: Option<(Answer, String)>,
    /// Where it was heard, answered or not.
    pub(crate) arrived: BTreeSet<Answer>,
    /// Why there was no answer, as the caller saw it.
    pub(crate) why: String,
}

pub(crate) fn cells(town: &Town) -> Vec<Cell> {
    callers(town).iter().flat_map(|caller| [own(town, caller), claimed(caller)].concat()).collect()
}

/// Under the caller's own address.
fn own(town: &Town, caller: &Caller) -> Vec<Cell> {
    let dials = dials(caller).into_iter().filter(|dial| caller.has_a_way_to(dial.address));
    dials
        .map(|dial| {
            let expected = town.answer(caller.standing, &dial);
            let from = caller.own.iter().find(|own| own.is_ipv4() == dial.address.is_ipv4());
            let known = town.keeps_address(caller.standing, &dial, expected.as_ref());
            let from = *from.expect("it has a way, so it has an address");
            Cell { known, expected, ..Cell::new(caller, from, dial) }
        })
        .collect()
}

fn dials(caller: &Caller) -> Vec<Dial> {
    let mut addresses = addresses_of_host();
    if let Standing::Member(net) = caller.standing {
        addresses.extend(both(|ipv6| net.gateway(ipv6)));
        addresses.sort();
        addresses.dedup();
    }
    let mut dials = Vec::new();
    for &address in &addresses {
        dials.extend(published().into_iter().chain([OF_HOST]).flat_map(|port| served(address, port)));
    }
    // An echo is dear: each is a process.
    dials.extend(addresses.into_iter().filter(|a| !uplink(7).contains(a)).map(echo));
    for address in called().flat_map(|member| both(|ipv6| member.address(ipv6))) {
        dials.extend([SERVED, HIDDEN].into_iter().flat_map(|port| served(address, port)));
        dials.push(echo(address));
    }
    for address in uplink(2) {
        dials.extend(served(address, SERVED));
        dials.push(echo(address));
    }
    dials
}

fn served(address: IpAddr, port: u16) -> [Dial; 2] {
    [Protocol::Tcp, Protocol::Udp].map(|protocol| Dial { protocol, address, port })
}

fn echo(address: IpAddr) -> Dial {
    Dial { protocol: Protocol::Icmp, address, port: 0 }
}

/// Under addresses of others, by UDP, which arrives or not whatever becomes of the answer.
/// Members of an open network too are open to those only who say who they are.
fn claimed(caller: &Caller) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &claim in &caller.claims {
        let foreign = called().filter(|member| caller.standing != Standing::Member(member.net));
        let addresses = foreign.filter_map(|member| member.address(claim.is_ipv6()));
        let mut to: Vec<(IpAddr, u16)> = addresses.flat_map(|a| [(a, SERVED), (a, HIDDEN)]).collect();
        if claim.is_loopback() {
            let hosts = addresses_of_host().into_iter().filter(|a| !a.is_loopback());
            to.extend(
                hosts.flat_map(|a| published().into_iter().chain([OF_HOST]).map(move |port| (a, port))),
            );
        }
        let to = to.into_iter().filter(|(a, _)| a.is_ipv4() == claim.is_ipv4() && caller.has_a_way_to(*a));
        cells.extend(to.map(|(address, port)| {
            let dial = Dial { protocol: Protocol::Udp, address, port };
            Cell { claimed: true, ..Cell::new(caller, claim, dial) }
        }));
    }
    cells
}

impl Cell {
    fn new(caller: &Caller, from: IpAddr, dial: Dial) -> Cell {
        Cell {
            caller: caller.name,
            from,
            claimed: false,
            dial,
            expected: None,
            known: false,
            answered: None,
            arrived: BTreeSet::new(),
            why: String::new(),
        }
    }

    /// As a station is told of it.
    pub(crate) fn line(&self, nonce: usize) -> String {
        let Dial { address, port, protocol } = self.dial;
        // The host has many addresses, of which the kernel chooses.
        let from = if self.caller == HOST { "-".into() } else { self.from.to_string() };
        format!("dial {nonce} {} {address} {port} {from}\n", protocol.name())
    }

    pub(crate) fn is_right(&self) -> bool {
        let Some(right) = &self.expected else { return self.answered.is_none() && self.arrived.is_empty() };
        let Some((answer, seen)) = &self.answered else { return false };
        // An echo bears no name: it is known by the address only.
        if self.dial.protocol == Protocol::Icmp {
            return true;
        }
        let known = !self.known || *seen == self.from.to_string();
        answer == right && known && self.arrived.iter().all(|at| at == right)
    }

    /// Source, destination and port that the host's cards have to have seen, or else silence says nothing:
    /// an ordinary machine would not have sent this.
    pub(crate) fn oddity(&self) -> Option<[String; 3]> {
        let Dial { address, port, protocol } = self.dial;
        let odd = self.claimed || address.is_loopback() && self.caller != HOST;
        let noted = odd && protocol == Protocol::Udp;
        noted.then(|| [self.from.to_string(), address.to_string(), port.to_string()])
    }

    /// Who calls whom, by which protocol and family.
    pub(crate) fn call(&self) -> String {
        let Dial { address, port, protocol } = self.dial;
        let caller =
            if self.claimed { format!("{} as {}", self.caller, self.from) } else { self.caller.into() };
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        format!("{caller:24} {address:>14} {port:<4} {:4} {family}", protocol.name())
    }

    /// A line of the table: the call, who was to answer it, what happened.
    pub(crate) fn row(&self) -> String {
        let place = |answer: &Answer| format!("{}:{}", answer.who, answer.port);
        let known = if self.known { format!(", known as {}", self.from) } else { String::new() };
        let expected = self.expected.as_ref().map_or("nobody".into(), |right| place(right) + &known);
        let arrived: Vec<String> = self.arrived.iter().map(place).collect();
        let arrived = arrived.join(" and ");
        let got = match &self.answered {
            Some((answer, seen)) => format!("{}, known as {seen}; arrived at {arrived}", place(answer)),
            None if arrived.is_empty() => format!("nobody: {}", self.why),
            None => format!("no answer, but it arrived at {arrived}"),
        };
        format!("{}  {expected:34} {got}", self.call())
    }
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
        }
    }
}

impl Town {
    /// A caller from outside is known by its own address, unless IPv6 is turned into IPv4 on the way.
    fn keeps_address(&self, caller: Standing, dial: &Dial, answer: Option<&Answer>) -> bool {
        let member = answer.and_then(|answer| self.members.iter().find(|m| m.name == answer.who));
        let same_family = member.is_none_or(|m| m.address(dial.address.is_ipv6()).is_some());
        caller == Standing::Outside && answer.is_some() && dial.protocol != Protocol::Icmp && same_family
    }
}
