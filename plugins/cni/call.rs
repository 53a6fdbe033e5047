//! What the runtime says in the environment: which verb, on which container and interface. Checked before anything else.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::{Code, Failure};

type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    /// Empty where the verb is about none.
    pub(crate) container: String,
    pub(crate) ifname: String,
    pub(crate) netns: Option<String>,
    pub(crate) args: Vec<(String, String)>,
    /// Where other plugins may be run from, and nowhere else.
    pub(crate) path: Vec<PathBuf>,
}

/// Of one variable: more is nobody's honest wish, and an answer would carry it on.
const LONGEST: usize = 64 << 10;

impl Call {
    /// None where no verb is named: then somebody only wants to know who we are.
    pub(crate) fn read(env: impl Fn(&str) -> Option<OsString>) -> Result<Option<Call>> {
        let read = |name: &str| -> Result<Option<String>> {
            let Some(value) = env(name).filter(|value| !value.is_empty()) else { return Ok(None) };
            let text = value.into_string().map_err(|_| bad(name, "it is not UTF-8"))?;
            if text.len() > LONGEST { Err(bad(name, "it is too long")) } else { Ok(Some(text)) }
        };
        let Some(command) = read("CNI_COMMAND")? else { return Ok(None) };
        let verb = match command.as_str() {
            "ADD" => Verb::Add,
            "CHECK" => Verb::Check,
            "DEL" => Verb::Del,
            "GC" => Verb::Gc,
            "STATUS" => Verb::Status,
            "VERSION" => Verb::Version,
            _ => return Err(bad("CNI_COMMAND", &format!("{command:.40?} is no command"))),
        };
        let of_one = matches!(verb, Verb::Add | Verb::Check | Verb::Del);
        let (container, ifname, netns) = match of_one {
            true => (read("CNI_CONTAINERID")?, read("CNI_IFNAME")?, read("CNI_NETNS")?),
            false => (None, None, None),
        };
        if let Some(id) = container.as_deref().filter(|id| !is_name(id) || id.len() > LONGEST_ID) {
            return Err(bad("CNI_CONTAINERID", &format!("{id:.80?} is no container's id")));
        }
        if let Some(name) = ifname.as_deref().filter(|name| !is_ifname(name)) {
            return Err(bad("CNI_IFNAME", &format!("{name:.80?} is no interface name")));
        }
        let missing: Vec<&str> = [
            ("CNI_CONTAINERID", of_one && container.is_none()),
            ("CNI_NETNS", matches!(verb, Verb::Add | Verb::Check) && netns.is_none()),
            ("CNI_IFNAME", of_one && ifname.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        if !missing.is_empty() {
            let all = missing.join(",");
            return Err(Failure::new(Code::Environment, format!("required env variables [{all}] missing")));
        }
        let path = env("CNI_PATH")
            .map(|path| std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect());
        Ok(Some(Call {
            verb,
            container: container.unwrap_or_default(),
            ifname: ifname.unwrap_or_default(),
            netns,
            args: if of_one { args(read("CNI_ARGS")?.as_deref().unwrap_or_default()) } else { Vec::new() },
            path: path.unwrap_or_default(),
        }))
    }

    /// The value of one of CNI_ARGS. Of several, the last.
    pub(crate) fn arg(&self, key: &str) -> Option<&str> {
        self.args.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// What no runtime's ids come near, and a key has room for.
const LONGEST_ID: usize = 256;

/// `K=V;K2=V2`. What is no pair says nothing to us: runtimes put more there than any plugin reads.
fn args(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// As the specification has names of networks and ids of containers.
pub(crate) fn is_name(text: &str) -> bool {
    let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(part)
}

fn is_ifname(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    text.len() <= 15 && !matches!(text, "." | "..") && text.bytes().all(fits)
}

fn bad(name: &str, why: &str) -> Failure {
    Failure::new(Code::Environment, format!("{name} is not usable")).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Call>> {
        Call::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    const ADD: [(&str, &str); 4] =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a1"), ("CNI_NETNS", "/n"), ("CNI_IFNAME", "eth0")];

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let failure = read(&[("CNI_COMMAND", "ADD")]).unwrap_err();
        assert_eq!(failure.code, Code::Environment);
        assert!(failure.msg.contains("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"), "{failure:?}");
        let failure = read(&[("CNI_COMMAND", "DEL")]).unwrap_err();
        assert!(failure.msg.contains("[CNI_CONTAINERID,CNI_IFNAME]"), "{failure:?}");
        for verb in ["GC", "STATUS", "VERSION"] {
            assert!(read(&[("CNI_COMMAND", verb)]).unwrap().is_some());
        }
        assert_eq!(read(&[]).unwrap(), None);
    }

    #[test]
    fn what_no_runtime_should_say_names_its_variable() {
        for (name, value) in [
            ("CNI_COMMAND", "add"),
            ("CNI_CONTAINERID", "/x"),
            ("CNI_CONTAINERID", "-x"),
            ("CNI_CONTAINERID", "x\n"),
            ("CNI_IFNAME", "sixteen-bytes-xx"),
            ("CNI_IFNAME", "a/b"),
            ("CNI_IFNAME", "a:b"),
            ("CNI_IFNAME", "."),
            ("CNI_IFNAME", ".."),
            ("CNI_IFNAME", "a b"),
        ] {
            let mut all = ADD.to_vec();
            all.retain(|(key, _)| *key != name);
            all.push((name, value));
            let failure = read(&all).unwrap_err();
            assert_eq!(failure.code, Code::Environment, "{name}={value}");
            assert!(failure.msg.contains(name), "{failure:?}");
        }
        let long = "x".repeat(100_000);
        assert!(read(&[ADD[0], ("CNI_CONTAINERID", &long), ADD[2], ADD[3]]).is_err());
    }

    #[test]
    fn args_are_pairs_and_the_rest_is_nothing() {
        let call = read(&[&ADD[..], &[("CNI_ARGS", "IgnoreUnknown=1;IP=10.0.0.1;none;=x;MAC=a=b")]].concat());
        let call = call.unwrap().unwrap();
        assert_eq!(
            (call.arg("IP"), call.arg("MAC"), call.arg("none")),
            (Some("10.0.0.1"), Some("a=b"), None)
        );
    }
}
