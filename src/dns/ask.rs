//! A query from what a person types: a name or an address, and a type of record.

use std::net::IpAddr;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

/// The query, or why there can be none. An address is asked for by its reverse name, whatever the type.
pub fn question(name: &str, kind: &str) -> Result<Vec<u8>, String> {
    let (name, kind) = match name.parse::<IpAddr>() {
        Ok(address) => (Name::from(address), RecordType::PTR),
        Err(_) => {
            let name = Name::from_utf8(name).map_err(|error| error.to_string())?;
            (name, record_type(kind).ok_or("there is no such type of record")?)
        }
    };
    let mut query = Query::query(name, kind);
    query.name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(query);
    message.to_vec().map_err(|error| error.to_string())
}

/// `A`, `aaaa`, or by number: `TYPE65` (RFC 3597 section 5).
fn record_type(text: &str) -> Option<RecordType> {
    let text = text.to_ascii_uppercase();
    match text.strip_prefix("TYPE") {
        Some(number) => number.parse::<u16>().ok().map(RecordType::from),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, kind: &str) -> String {
        let bytes = question(name, kind).unwrap();
        let message = Message::from_vec(&bytes).unwrap();
        assert!(message.metadata.recursion_desired);
        let query = &message.queries[0];
        format!("{} {}", query.name(), query.query_type())
    }

    #[test]
    fn what_a_person_types() {
        assert_eq!(asked("web", "A"), "web. A");
        assert_eq!(asked("web.front.", "aaaa"), "web.front. AAAA");
        assert_eq!(asked("_80._tcp.web", "srv"), "_80._tcp.web. SRV");
        assert_eq!(asked("10.9.0.2", "A"), "2.0.9.10.in-addr.arpa. PTR");
        assert_eq!(asked("web", "TYPE1"), "web. A");
    }

    #[test]
    fn what_is_no_question() {
        for (name, kind) in
            [("a..b", "A"), ("web", "NOPE"), ("web", "TYPE65536"), ("", "B"), (&"x".repeat(64), "A")]
        {
            assert!(question(name, kind).is_err(), "{name:?} {kind}");
        }
    }
}
