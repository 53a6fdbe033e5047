//! The rarer answers, PTR and SRV, through hickory's codec.

use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{MessageType, Metadata, OpCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SRV};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecoder, BinEncoder};
use hickory_server::zone_handler::{MessageResponseBuilder, Queries};
use tracing::warn;

use super::reply::{self, Rcode};
use super::service::{self, Server};
use super::{Asked, Verdict};
use crate::message::{WireName, split};

/// The name of an address.
pub(super) fn pointer(asked: &Asked<'_>, called: &WireName, out: &mut Vec<u8>) -> Verdict {
    let written = (|| {
        let owner = name(asked.query.name())?;
        let data = RData::PTR(PTR(name(called)?));
        emit(asked, &[Record::from_rdata(owner, asked.view.ttl, data)], &[], false, out)
    })();
    verdict(asked, written, out)
}

/// Who serves a port, and at which addresses.
pub(super) fn services(asked: &Asked<'_>, port: u16, servers: &[Server], out: &mut Vec<u8>) -> Verdict {
    let ttl = asked.view.ttl;
    let written = (|| {
        let owner = name(asked.query.name())?;
        let (mut answers, mut additionals) = (Vec::new(), Vec::new());
        for server in servers {
            let target = name(&server.target)?;
            let room = service::MOST.saturating_sub(additionals.len());
            for address in server.addresses.iter().take(room) {
                let data = match *address {
                    IpAddr::V4(address) => RData::A(A(address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA(address)),
                };
                additionals.push(Record::from_rdata(target.clone(), ttl, data));
            }
            let data = RData::SRV(SRV::new(0, 0, port, target));
            answers.push(Record::from_rdata(owner.clone(), ttl, data));
        }
        emit(asked, &answers, &additionals, servers.len() == service::MOST, out)
    })();
    verdict(asked, written, out)
}

fn emit(
    asked: &Asked<'_>,
    answers: &[Record],
    additionals: &[Record],
    cut: bool,
    out: &mut Vec<u8>,
) -> Result<(), ProtoError> {
    let query = asked.query;
    let mut metadata = Metadata::new(query.id(), MessageType::Response, OpCode::Query);
    metadata.authoritative = true;
    metadata.truncation = cut;
    metadata.recursion_desired = query.rd();
    metadata.recursion_available = true;
    metadata.checking_disabled = query.cd();

    // Read from its own bytes alone: it is said again as it was spelled, and what else the client sent is not looked at.
    let queries = Queries::read(&mut BinDecoder::new(query.question()), 1)?;
    let response = MessageResponseBuilder::new(&queries, None).build(metadata, answers, [], [], additionals);
    out.clear();
    let mut encoder = BinEncoder::new(out);
    // hickory writes EDNS last, and would leave it out where records took the room.
    encoder.set_max_size(reply::room(query, asked.over) as u16);
    response.destructive_emit(&mut encoder)?;
    // The beginning of a record that did not fit is still there.
    encoder.trim();
    reply::opt(query, Rcode::NoError, out);
    Ok(())
}

fn verdict(asked: &Asked<'_>, written: Result<(), ProtoError>, out: &mut Vec<u8>) -> Verdict {
    match written {
        Ok(()) => Verdict::Reply,
        Err(error) => {
            warn!(endpoint = %asked.view.endpoint, name = %asked.query.lower(), %error, "answer not written");
            reply::status(asked.query, asked.over, Rcode::ServFail, out)
        }
    }
}

fn name(wire: &[u8]) -> Result<Name, ProtoError> {
    let mut rest = wire;
    let labels = std::iter::from_fn(|| {
        let (label, after) = split(rest)?;
        rest = after;
        (!label.is_empty()).then_some(label)
    });
    Name::from_labels(labels)
}
