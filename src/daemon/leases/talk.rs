//! One conversation: what its client says is sent, what comes in it hears.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use bowline_core::Result;
use bowline_core::lease::Lease;
use bowline_core::mac::Mac;
use bowline_dhcp::{Act, Checksum, Client, Heading, Identity, Lost, Message, Phase};

use crate::sockets::{Heard, Packets};

/// How long an answer may take. What comes later is an answer to the next question, or lost.
const ANSWERS: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Talk {
    client: Client,
    packets: Option<Box<dyn Packets>>,
    /// When no answer is waited for any more.
    closes: Duration,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Bound(Lease),
    Lost(Lost),
}

impl Talk {
    pub(crate) fn new(client: Client) -> Talk {
        Talk { client, packets: None, closes: Duration::ZERO, buffer: Vec::new() }
    }

    /// With sockets that are there already.
    pub(crate) fn by(client: Client, packets: Box<dyn Packets>) -> Talk {
        Talk { packets: Some(packets), closes: Duration::MAX, ..Talk::new(client) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The client, and the sockets if they are open.
    pub(crate) fn end(self) -> (Client, Option<Box<dyn Packets>>) {
        (self.client, self.packets)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.packets.is_some()
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.packets.as_ref().map(|packets| packets.as_fd())
    }

    /// When it is to be given a turn, whatever comes in until then.
    pub(crate) fn due(&self) -> Duration {
        let closes = if self.is_open() { self.closes } else { Duration::MAX };
        self.client.due().min(closes)
    }

    /// Does what is due. Sockets are opened where something is to be said.
    pub(crate) fn turn(
        &mut self,
        now: Duration,
        dice: u32,
        open: impl FnOnce() -> Result<Box<dyn Packets>>,
    ) -> Result<Vec<News>> {
        let acts = self.client.tick(now, dice);
        let speaks = acts.iter().any(|act| match act {
            Act::Send(..) | Act::Question(_) | Act::Statement(_) => true,
            Act::Bound(_) | Act::Lost(_) => false,
        });
        let mut opened = Ok(());
        if speaks && self.packets.is_none() {
            opened = open().map(|packets| self.packets = Some(packets));
        }
        if speaks && self.closes != Duration::MAX {
            self.closes = now.saturating_add(ANSWERS);
        }
        let news = self.act(acts);
        if now >= self.closes || (self.closes != Duration::MAX && self.is_quiet()) {
            self.packets = None;
        }
        // News there are also where nothing could be said: a lease ends without that.
        if news.is_empty() { opened.map(|()| news) } else { Ok(news) }
    }

    /// Hears what came in.
    pub(crate) fn hear(&mut self, now: Duration, dice: u32) -> Vec<News> {
        let mut news = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(packets) = &self.packets {
            let acts = match packets.receive(&mut buffer) {
                Ok(Some(Heard::Arp)) => self.client.hear_arp(&buffer, now, dice),
                Ok(Some(Heard::Ip { has_checksum, from })) => {
                    let checksum = if has_checksum { Checksum::Filled } else { Checksum::NotYet };
                    let message = bowline_dhcp::unwrap(&buffer, bowline_dhcp::CLIENT, checksum);
                    let message = message.and_then(|(_, payload)| Message::parse(payload));
                    message.map_or_else(Vec::new, |message| self.client.hear(&message, from, now, dice))
                }
                Ok(None) => break,
                Err(error) => {
                    // Such as a card that is down for a moment.
                    tracing::debug!("hear a DHCP server: {error}");
                    break;
                }
            };
            news.extend(self.act(acts));
        }
        self.buffer = buffer;
        if self.closes != Duration::MAX && self.is_quiet() {
            self.packets = None;
        }
        news
    }

    /// Nothing is waited for.
    fn is_quiet(&self) -> bool {
        matches!(self.client.phase(), Phase::Bound(_) | Phase::Idle)
    }

    fn act(&mut self, acts: Vec<Act>) -> Vec<News> {
        let mut news = Vec::new();
        for act in acts {
            match act {
                Act::Bound(lease) => news.push(News::Bound(lease)),
                Act::Lost(why) => news.push(News::Lost(why)),
                Act::Send(message, heading) => self.say(|packets, _| send(packets, &message, heading)),
                Act::Question(address) => {
                    self.say(|packets, mac| packets.send_arp(&bowline_dhcp::question(mac, address)));
                }
                Act::Statement(address) => {
                    self.say(|packets, mac| packets.send_arp(&bowline_dhcp::statement(mac, address)));
                }
            }
        }
        news
    }

    /// What cannot be said now is said again later.
    fn say(&self, how: impl FnOnce(&dyn Packets, Mac) -> std::io::Result<()>) {
        let Some(packets) = &self.packets else { return };
        if let Err(error) = how(packets.as_ref(), self.client.who().mac) {
            tracing::debug!("speak to a DHCP server: {error}");
        }
    }
}

/// Gives a lease back by the neighbour that it came by. Nobody answers to this, so nobody waits.
pub(crate) fn farewell(who: &Identity, lease: &Lease, dice: u32, packets: &dyn Packets) {
    let (message, _) = Client::release(who, lease, dice);
    let from = SocketAddrV4::new(lease.address.ip(), bowline_dhcp::CLIENT);
    let to = SocketAddrV4::new(lease.server, bowline_dhcp::SERVER);
    if let Err(error) = packets.send_ip(&bowline_dhcp::wrap(from, to, &message), lease.hop) {
        tracing::debug!(%lease.server, "give back a lease: {error}");
    }
}

fn send(packets: &dyn Packets, message: &[u8], heading: Heading) -> std::io::Result<()> {
    let client = |ip| SocketAddrV4::new(ip, bowline_dhcp::CLIENT);
    let server = |ip| SocketAddrV4::new(ip, bowline_dhcp::SERVER);
    let to_all =
        |from| packets.send_ip(&bowline_dhcp::wrap(client(from), server(Ipv4Addr::BROADCAST), message), None);
    match heading {
        Heading::ToAll => to_all(Ipv4Addr::UNSPECIFIED),
        Heading::ToAllFrom(from) => to_all(from),
        Heading::ToServer { from, server: to } => packets.send_udp(client(from), server(to), message),
    }
}
