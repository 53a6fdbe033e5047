//! `bowline port check`: free, or whose.

use bowline_api::v1::{Port, PortCheck, PortQuery};
use bowline_core::{Code, Error, Result};

use super::view;
use crate::exit;
use crate::io::Io;
use crate::report;
use crate::session::Session;
use crate::system::named;

pub(super) fn execute(query: &PortQuery, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let check = session.client.check_port(query)?;
    let code = if check.free { exit::OK } else { exit::code(Code::PortTaken) };
    if session.json {
        io.json(&check)?;
        return Ok(code);
    }
    match check.free {
        true => io.data(&format!("port {} is free\n", written(query, query.host_port)))?,
        false => report::failure(&taken(query, &check), session, io),
    }
    for obstacle in &check.obstacles {
        report::warning(&named(obstacle), &obstacle.fix, session, io);
    }
    Ok(code)
}

fn taken(query: &PortQuery, check: &PortCheck) -> Error {
    let error = Error::new(Code::PortTaken, format!("port {} is taken", written(query, query.host_port)));
    let by_endpoint = |port: &Port| format!("endpoint {} has published {}", port.endpoint, view::shown(port));
    let reasons = check.published.iter().map(by_endpoint);
    let reasons = reasons.chain(check.holders.iter().map(|holder| format!("{holder} holds it")));
    let reasons: Vec<String> = reasons.collect();
    let error = if reasons.is_empty() { error } else { error.because(reasons.join("; ")) };
    match check.suggestion {
        Some(free) => error.fix(format!("this one is free: {}", written(query, free))),
        None => error.fix("end what holds it, or let a free one be chosen: bowline port publish NAME PORT"),
    }
}

/// `127.0.0.1:8080/tcp`
fn written(query: &PortQuery, port: u16) -> String {
    let at = match query.host_ip {
        None => String::new(),
        Some(ip) if ip.is_ipv4() => format!("{ip}:"),
        Some(ip) => format!("[{ip}]:"),
    };
    format!("{at}{port}/{}", view::protocol(query.protocol))
}
