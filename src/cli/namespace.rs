//! A namespace as it is written on the command line: a name that `ip netns` knows, a path, or a process.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use bowline_api::v1::Netns;
use bowline_core::place::Door;
use bowline_core::{Code, Error, Result};
use bowline_linux::netns;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace {
    path: String,
    /// The path means the same after a restart. That of a process does not: its number is used again.
    lasts: bool,
}

impl Namespace {
    pub(crate) fn parse(text: &str) -> Result<Namespace> {
        let of_process = text.strip_prefix("pid:");
        let path = match of_process.map(str::parse::<u32>) {
            Some(Ok(pid)) => format!("/proc/{pid}/ns/net"),
            Some(Err(_)) => {
                return Err(Error::new(Code::InvalidNetns, format!("{text:?} is not a process"))
                    .fix("write its number: pid:1234"));
            }
            None if text.contains('/') => absolute(text)?,
            None => format!("/run/netns/{text}"),
        };
        let lasts = !Path::new(&path).starts_with("/proc");
        Ok(Namespace { path, lasts })
    }

    /// The daemon takes it from us by the number of the file, so the file stays open until it has answered.
    pub(crate) fn open(&self) -> Result<(OwnedFd, Netns)> {
        let file = netns::open(&Door::Path(self.path.clone())).map_err(|error| match error.code {
            Code::NetnsGone if self.lasts => error.fix("see which there are: ip netns list"),
            Code::NetnsGone => error.fix("see whether the process still runs: ps -e"),
            Code::Denied => error.fix("run it as root"),
            _ => error,
        })?;
        let fd = u32::try_from(file.as_raw_fd()).expect("an open file has a number");
        let netns = self.wire(Some(fd));
        Ok((file, netns))
    }

    fn wire(&self, fd: Option<u32>) -> Netns {
        Netns { fd, path: self.lasts.then(|| self.path.clone()) }
    }
}

/// The daemon works in another directory.
fn absolute(text: &str) -> Result<String> {
    let whole = std::path::absolute(text)
        .map_err(|error| Error::new(Code::InvalidNetns, format!("make {text:?} absolute")).because(error))?;
    Ok(whole.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_namespace() {
        let check = |text: &str| {
            let namespace = Namespace::parse(text).unwrap();
            (namespace.path.clone(), namespace.wire(None).path.is_some())
        };
        assert_eq!(check("web"), ("/run/netns/web".to_string(), true));
        assert_eq!(check("/run/netns/web"), ("/run/netns/web".to_string(), true));
        assert_eq!(check("pid:12"), ("/proc/12/ns/net".to_string(), false));
        assert_eq!(check("/proc/12/ns/net"), ("/proc/12/ns/net".to_string(), false));
        assert!(check("./web").0.ends_with("/web"));
        assert_eq!(Namespace::parse("pid:web").unwrap_err().code, Code::InvalidNetns);
    }

    #[test]
    fn what_is_no_namespace_is_named() {
        let error = Namespace::parse("no-such-namespace").unwrap().open().unwrap_err();
        assert_eq!(error.code, Code::NetnsGone);
        assert!(error.what.contains("/run/netns/no-such-namespace"), "{error}");
        assert_eq!(Namespace::parse("/dev/null").unwrap().open().unwrap_err().code, Code::InvalidNetns);
    }
}
