//! Files under /proc/sys. Those below net/ are of the namespace of the thread that opens them.

mod procfs;

use std::io::{Read, Seek, Write};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::fault;

/// Gives the file this value, unless it has it already.
pub(crate) fn set(path: &str, value: &str) -> Result<()> {
    let failed = |errno: Errno| {
        let code = match errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => Code::Denied,
            _ => Code::Kernel,
        };
        Error::new(code, format!("set sysctl {path} to {value}")).because(errno)
    };
    check(path)?;
    let mut file = match procfs::open(path, OFlag::O_RDWR) {
        Ok(file) => file,
        Err(Errno::ENOENT) => {
            return match without_ipv6(path) {
                Some(now) if now == value => Ok(()),
                Some(_) => Err(Error { code: Code::Unsupported, ..failed(Errno::ENOENT) }
                    .because("the link has no IPv6")),
                None => Err(failed(Errno::ENOENT)),
            };
        }
        Err(errno) => return Err(failed(errno)),
    };
    let mut now = String::new();
    file.read_to_string(&mut now).map_err(|e| failed(errno_of(&e)))?;
    if now.trim() == value {
        return Ok(());
    }
    file.rewind().map_err(|e| failed(errno_of(&e)))?;
    fault::about_to_change();
    file.write_all(value.as_bytes()).map_err(|e| failed(errno_of(&e)))
}

/// The value of the file; None where there is no such file.
pub(crate) fn get(path: &str) -> Result<Option<String>> {
    check(path)?;
    let failed = |errno: Errno| Error::new(Code::Kernel, format!("read sysctl {path}")).because(errno);
    match procfs::open(path, OFlag::O_RDONLY) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(|e| failed(errno_of(&e)))?;
            Ok(Some(text.trim().to_string()))
        }
        Err(Errno::ENOENT) => Ok(without_ipv6(path).map(str::to_string)),
        Err(errno) => Err(failed(errno)),
    }
}

/// Only what is of a network namespace is reached.
fn check(path: &str) -> Result<()> {
    let plain = path.starts_with("net/") && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain {
        return Ok(());
    }
    Err(Error::new(Code::Internal, format!("{path:?} is not a sysctl of a network namespace")))
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// What a missing file of IPv6 amounts to where the link itself is there: the kernel has no IPv6 at all,
/// or an MTU below 1280 took it from the link. Then nothing is accepted or checked, and forwarding harms nobody.
fn without_ipv6(path: &str) -> Option<&'static str> {
    let (link, leaf) = path.strip_prefix("net/ipv6/conf/")?.split_once('/')?;
    procfs::open(&format!("net/ipv4/conf/{link}"), OFlag::O_PATH).ok()?;
    match leaf {
        "disable_ipv6" | "forwarding" => Some("1"),
        "accept_ra" | "accept_dad" => Some("0"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_namespace_are_reached() {
        for path in
            ["kernel/hostname", "net/../kernel/hostname", "/net/ipv4/ip_forward", "net//ipv4", "net/."]
        {
            assert_eq!(set(path, "1").unwrap_err().code, Code::Internal, "{path}");
        }
    }

    #[test]
    fn what_is_missing_reads_as_none_and_is_not_set() {
        assert_eq!(get("net/ipv4/conf/nosuchlink/rp_filter").unwrap(), None);
        assert_eq!(get("net/ipv6/conf/nosuchlink/accept_ra").unwrap(), None);
        assert_eq!(set("net/ipv6/conf/nosuchlink/accept_ra", "0").unwrap_err().code, Code::Kernel);
    }
}
