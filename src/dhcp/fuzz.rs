//! What holds whatever bytes come, for fuzzers and for the bytes that were kept (tests/fuzz/corpus).

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline_core::mac::Mac;

use crate::message::{Kind, Message, option};
use crate::{Act, Arp, Checksum, Client, Identity, lease, unwrap, wrap};

pub type Target = fn(&[u8]);

/// Every function here, by the name of its folder in the corpus.
pub const TARGETS: &[(&str, Target)] = &[("dhcp", dhcp)];

const NOW: Duration = Duration::from_secs(1000);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// What a neighbour sends to a client's port: a packet that is whole or none, a message that survives being written again, and
/// of a lease only what a card can have.
pub fn dhcp(data: &[u8]) {
    for checksum in [Checksum::Filled, Checksum::NotYet] {
        if let Some((from, payload)) = unwrap(data, crate::CLIENT, checksum) {
            let again = wrap(from, from, payload);
            assert_eq!(unwrap(&again, from.port(), Checksum::Filled), Some((from, payload)));
            message(payload);
        }
    }
    if let Some(arp) = Arp::parse(data) {
        assert!(!crate::claims(data, arp.address, arp.sender), "nobody is in his own way");
    }
    message(data);
}

fn message(data: &[u8]) {
    let Some(message) = Message::parse(data) else { return };
    assert_eq!(Message::parse(&message.to_bytes()).as_ref(), Some(&message), "written again");
    if let Some(lease) = lease(&message, NOW) {
        let net = lease.address;
        assert!(net.prefix() > 0 && !net.ip().is_multicast() && !net.ip().is_loopback());
        assert!(lease.began <= lease.renew && lease.renew <= lease.rebind && lease.rebind <= lease.expires);
        assert!(lease.renew > NOW, "no lease is renewed at once");
        assert!(lease.routes.len() <= 32 && lease.dns.len() <= 32 && lease.search.len() <= 32);
        assert!(
            lease.routes.iter().all(|route| route.via.is_none_or(|via| net.contains(via) && via != net.ip()))
        );
        assert!(lease.routes.iter().all(|route| route.to.ip() == route.to.network()));
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(lease.search.iter().all(|domain| domain.len() <= 253 && domain.chars().all(fits)));
    }
    told(&message);
}

/// A client in every phase hears it, as if it were the answer to its question.
fn told(message: &Message) {
    let who = Identity { mac: MAC, client_id: vec![0, 1], hostname: None, answer_to_all: false };
    let answer = Message { xid: 7, chaddr: MAC, is_reply: true, ..message.clone() };
    let mut client = Client::new(who);
    client.begin(None, NOW, 7);
    client.tick(NOW, 7);
    client.hear(&answer, None, NOW, 7);
    let mut offer = Message { yiaddr: Ipv4Addr::new(192, 0, 2, 9), ..answer.clone() };
    offer.options.insert(option::KIND, vec![2]);
    client.hear(&offer, None, NOW, 7);
    client.hear(&answer, None, NOW, 7);
    for step in 0..64 {
        let now = client.due();
        if now == Duration::MAX {
            break;
        }
        assert!(step < 63 || now > NOW, "time passes");
        for act in client.tick(now, 7) {
            if let Act::Send(bytes, _) = act {
                let said = Message::parse(&bytes).expect("what we say can be read");
                assert!(matches!(said.kind(), Some(Kind::Discover | Kind::Request | Kind::Decline)));
            }
        }
        client.hear(&answer, None, now, 7);
    }
}

#[cfg(test)]
mod tests;
