//! A small blocking client: one request, one answer, over the daemon's unix socket.

mod http;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::routes::Method;
use crate::v1::{self, Failure};
use crate::{Code, Error, Result};

#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: impl Into<PathBuf>) -> Client {
        Client { socket: socket.into() }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn version(&self) -> Result<v1::Version> {
        self.call(Method::Get, "/v1/version", None::<&()>)
    }

    pub fn health(&self) -> Result<v1::Health> {
        self.call(Method::Get, "/v1/health", None::<&()>)
    }

    pub fn info(&self) -> Result<v1::Info> {
        self.call(Method::Get, "/v1/info", None::<&()>)
    }

    pub fn checkup(&self) -> Result<v1::Checkup> {
        self.call(Method::Get, "/v1/checkup", None::<&()>)
    }

    pub fn dump(&self) -> Result<v1::Dump> {
        self.call(Method::Get, "/v1/dump", None::<&()>)
    }

    pub fn drift(&self) -> Result<v1::Drift> {
        self.call(Method::Get, "/v1/drift", None::<&()>)
    }

    pub fn repair(&self) -> Result<v1::Drift> {
        self.call(Method::Post, "/v1/repair", None::<&()>)
    }

    pub fn networks(&self) -> Result<Vec<v1::Network>> {
        self.call(Method::Get, "/v1/networks", None::<&()>)
    }

    pub fn network(&self, name: &str) -> Result<v1::Network> {
        self.call(Method::Get, &path(&["networks", name]), None::<&()>)
    }

    pub fn create_network(&self, wish: &v1::CreateNetwork) -> Result<v1::Network> {
        self.call(Method::Post, "/v1/networks", Some(wish))
    }

    pub fn plan_network(&self, wish: &v1::CreateNetwork) -> Result<v1::Plan> {
        self.call(Method::Post, "/v1/networks/plan", Some(wish))
    }

    pub fn update_network(&self, name: &str, wish: &v1::UpdateNetwork) -> Result<v1::Network> {
        self.call(Method::Patch, &path(&["networks", name]), Some(wish))
    }

    pub fn remove_network(&self, name: &str) -> Result<()> {
        self.call_without_answer(Method::Delete, &path(&["networks", name]))
    }

    pub fn prune_networks(&self) -> Result<v1::Pruned> {
        self.call(Method::Post, "/v1/networks/prune", None::<&()>)
    }

    pub fn prune(&self) -> Result<v1::Pruned> {
        self.call(Method::Post, "/v1/prune", None::<&()>)
    }

    pub fn endpoints(&self) -> Result<Vec<v1::Endpoint>> {
        self.call(Method::Get, "/v1/endpoints", None::<&()>)
    }

    pub fn endpoint(&self, name: &str) -> Result<v1::Endpoint> {
        self.call(Method::Get, &path(&["endpoints", name]), None::<&()>)
    }

    /// The caller keeps the namespace's file open until this returns.
    pub fn create_endpoint(&self, wish: &v1::CreateEndpoint) -> Result<v1::Endpoint> {
        self.call(Method::Post, "/v1/endpoints", Some(wish))
    }

    pub fn plan_endpoint(&self, wish: &v1::CreateEndpoint) -> Result<v1::Plan> {
        self.call(Method::Post, "/v1/endpoints/plan", Some(wish))
    }

    pub fn connect(&self, endpoint: &str, join: &v1::Join) -> Result<v1::Endpoint> {
        self.call(Method::Post, &path(&["endpoints", endpoint, "connect"]), Some(join))
    }

    pub fn disconnect(&self, endpoint: &str, network: &str) -> Result<v1::Endpoint> {
        let wish = v1::Disconnect { network: network.to_string() };
        self.call(Method::Post, &path(&["endpoints", endpoint, "disconnect"]), Some(&wish))
    }

    pub fn stop_endpoint(&self, name: &str) -> Result<v1::Endpoint> {
        self.call(Method::Post, &path(&["endpoints", name, "stop"]), None::<&()>)
    }

    pub fn remove_endpoint(&self, name: &str) -> Result<()> {
        self.call_without_answer(Method::Delete, &path(&["endpoints", name]))
    }

    /// Where its part of the kernel differs from what is wanted.
    pub fn check_endpoint(&self, name: &str, look: &v1::Look) -> Result<v1::Drift> {
        self.call(Method::Post, &path(&["endpoints", name, "check"]), Some(look))
    }

    pub fn sweep_endpoints(&self, sweep: &v1::Sweep) -> Result<v1::Pruned> {
        self.call(Method::Post, "/v1/endpoints/sweep", Some(sweep))
    }

    /// The caller keeps the namespace's file open until this returns.
    pub fn update_endpoint(&self, name: &str, wish: &v1::UpdateEndpoint) -> Result<v1::Endpoint> {
        self.call(Method::Patch, &path(&["endpoints", name]), Some(wish))
    }

    /// The caller keeps the namespace's file open until this returns.
    pub fn prepare_netns(&self, wish: &v1::PrepareNetns) -> Result<()> {
        let body = serde_json::to_vec(wish).expect("wire types have string keys only");
        let path = "/v1/netns/prepare";
        good(http::send(&self.socket, Method::Post, path, Some(&body), Some(Client::PATIENCE))?).map(drop)
    }

    pub fn publish(&self, endpoint: &str, wish: &v1::Publish) -> Result<Vec<v1::Port>> {
        self.call(Method::Post, &path(&["endpoints", endpoint, "publish"]), Some(wish))
    }

    pub fn unpublish(&self, endpoint: &str, wish: &v1::Publish) -> Result<Vec<v1::Port>> {
        self.call(Method::Post, &path(&["endpoints", endpoint, "unpublish"]), Some(wish))
    }

    pub fn ports(&self) -> Result<Vec<v1::Port>> {
        self.call(Method::Get, "/v1/ports", None::<&()>)
    }

    pub fn check_port(&self, query: &v1::PortQuery) -> Result<v1::PortCheck> {
        self.call(Method::Post, "/v1/ports/check", Some(query))
    }

    pub fn firewall(&self) -> Result<v1::Firewall> {
        self.call(Method::Get, "/v1/firewall", None::<&()>)
    }

    pub fn release_firewall(&self) -> Result<v1::Firewall> {
        self.call(Method::Post, "/v1/firewall/release", None::<&()>)
    }

    /// What endpoints are called, on one network or on all.
    pub fn dns_names(&self, network: Option<&str>) -> Result<Vec<v1::DnsName>> {
        let query = network.map(|name| format!("?network={}", escaped(name))).unwrap_or_default();
        self.call(Method::Get, &format!("/v1/dns/names{query}"), None::<&()>)
    }

    pub fn dns_resolve(&self, question: &v1::DnsQuestion) -> Result<v1::DnsAnswer> {
        self.call(Method::Post, "/v1/dns/resolve", Some(question))
    }

    /// Queries of a higher number than `after`: the newest `limit` of them, or all that are kept.
    pub fn dns_log(&self, after: u64, limit: Option<u64>) -> Result<Vec<v1::DnsLine>> {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        self.call(Method::Get, &format!("/v1/dns/log?after={after}{limit}"), None::<&()>)
    }

    pub fn dns_flush(&self) -> Result<v1::Flushed> {
        self.call(Method::Post, "/v1/dns/flush", None::<&()>)
    }

    /// What happens from now on, until the daemon ends.
    pub fn events(&self) -> Result<impl Iterator<Item = Result<v1::Event>>> {
        let answer = http::send(&self.socket, Method::Get, "/v1/events", None, None)?;
        let lines = io::BufReader::new(good(answer)?.into_reader()).lines();
        Ok(lines.map(|line| {
            let line = line.map_err(|e| self.lost("read events", &e))?;
            serde_json::from_str(&line).map_err(|e| misread("/v1/events", &e))
        }))
    }

    /// One call of any route. The answer's JSON is read as `T`.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        let body = body.map(|b| serde_json::to_vec(b).expect("wire types have string keys only"));
        let answer = good(http::send(&self.socket, method, path, body.as_deref(), Some(Client::PATIENCE))?)?;
        let bytes = answer.into_bytes().map_err(|e| self.lost("read the daemon's answer", &e))?;
        serde_json::from_slice(&bytes).map_err(|e| misread(path, &e))
    }

    fn call_without_answer(&self, method: Method, path: &str) -> Result<()> {
        good(http::send(&self.socket, method, path, None, Some(Client::PATIENCE))?).map(drop)
    }

    /// How long a silent daemon is waited for.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn lost(&self, what: &str, error: &io::Error) -> Error {
        Error::new(Code::Unreachable, what)
            .because(format!("{}: {error}", self.socket.display()))
            .fix("see whether the daemon still runs: bowline system info")
    }
}

/// `/v1/networks/front`, with every byte that a path cannot carry escaped.
fn path(parts: &[&str]) -> String {
    let mut path = "/v1".to_string();
    for part in parts {
        path.push('/');
        path.push_str(&escaped(part));
    }
    path
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            escaped.push(byte as char);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn good(answer: http::Answer) -> Result<http::Answer> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let status = answer.status;
    let failure = answer.into_bytes().ok().and_then(|bytes| serde_json::from_slice::<Failure>(&bytes).ok());
    Err(match failure {
        Some(failure) => failure.into(),
        None => Error::new(Code::Internal, format!("the daemon answered {status} without a reason")),
    })
}

fn misread(path: &str, error: &serde_json::Error) -> Error {
    Error::new(Code::Internal, format!("read the daemon's answer to {path}"))
        .because(error)
        .fix("use a client and a daemon of the same version: bowline version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_carries_any_name() {
        assert_eq!(path(&["networks", "front"]), "/v1/networks/front");
        assert_eq!(path(&["networks", "a/../b c"]), "/v1/networks/a%2F..%2Fb%20c");
    }
}
