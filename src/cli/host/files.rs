//! The files in /etc that a command has for itself, and the same ones for whoever enters with `ip netns exec`.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bowline_api::v1::Interface;
use bowline_core::name::Name;
use bowline_core::{Code, Error, Result};
use bowline_linux::process::Bind;

use super::record::Spec;
use super::shelf::Place;

/// Where `ip netns exec NAME` looks for files to put over those of /etc.
const NETNS_ETC: &str = "/etc/netns";

/// Those that `ip netns exec` needs: it sets no host name.
const LINKED: [&str; 2] = ["hosts", "resolv.conf"];

/// Writes the files, and says what to put where. What this host lacks cannot be put over, and is not missed.
pub(super) fn write(
    place: &Place,
    spec: &Spec,
    hostname: &str,
    interfaces: &[Interface],
) -> Result<Vec<Bind>> {
    let here = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let contents = [
        ("hosts", hosts(spec, hostname, interfaces)),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", resolver(&spec.dns, &here)),
    ];
    let mut binds = Vec::new();
    for (name, content) in contents {
        place.put(name, content.as_bytes())?;
        let target = Path::new("/etc").join(name);
        if target.exists() {
            binds.push(Bind { source: place.file(name), target });
        }
    }
    Ok(binds)
}

/// /etc/hosts: loopback, itself by each of its addresses, and what was asked for.
pub(super) fn hosts(spec: &Spec, hostname: &str, interfaces: &[Interface]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for interface in interfaces {
        for address in &interface.addresses {
            let ip = address.split('/').next().unwrap_or(address);
            let mut names = vec![hostname];
            for name in [spec.name.as_str()].into_iter().chain(interface.aliases.iter().map(String::as_str)) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            text.push_str(&format!("{ip}\t{}\n", names.join(" ")));
        }
    }
    if interfaces.iter().all(|i| i.addresses.is_empty()) {
        // As Debian has it for a machine without an address: it can still find itself.
        text.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    for (name, ip) in &spec.add_hosts {
        text.push_str(&format!("{ip}\t{name}\n"));
    }
    text
}

/// /etc/resolv.conf: the host's own, with other servers where some were asked for.
pub(super) fn resolver(servers: &[IpAddr], here: &str) -> String {
    if servers.is_empty() {
        return here.to_string();
    }
    let mut text: String = servers.iter().map(|ip| format!("nameserver {ip}\n")).collect();
    let kept = here
        .lines()
        .filter(|line| matches!(line.split_whitespace().next(), Some("search" | "domain" | "options")));
    kept.for_each(|line| {
        text.push_str(line);
        text.push('\n');
    });
    text
}

/// Shows the files to `ip netns exec`, as links, by which they are known as ours. Where the administrator has put
/// files of that name, theirs stay.
pub(super) fn link(place: &Place) -> Result<()> {
    let dir = netns_etc(&place.name);
    let failed = |path: &Path, e: &std::io::Error| {
        Error::new(Code::StateUnwritable, format!("link {}", path.display())).because(e)
    };
    // Another command's end may take the outer directory away just before the inner one is made.
    fs::create_dir_all(&dir).or_else(|_| fs::create_dir_all(&dir)).map_err(|e| failed(&dir, &e))?;
    for name in LINKED {
        let path = dir.join(name);
        match symlink(place.file(name), &path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => (),
            linked => linked.map_err(|e| failed(&path, &e))?,
        }
    }
    Ok(())
}

/// Takes the links away, and the directories where they are empty then.
pub(super) fn unlink(place: &Place) -> Result<()> {
    let dir = netns_etc(&place.name);
    let fine = |outcome: std::io::Result<()>, path: &Path| match outcome {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(Error::new(Code::StateUnwritable, format!("remove {}", path.display())).because(e))
        }
        _ => Ok(()),
    };
    let mut ours = false;
    for name in LINKED {
        let path = dir.join(name);
        if fs::read_link(&path).is_ok_and(|target| target == place.file(name)) {
            fine(fs::remove_file(&path), &path)?;
            ours = true;
        }
    }
    if !ours {
        return Ok(());
    }
    fine(fs::remove_dir(&dir), &dir)?;
    fine(fs::remove_dir(NETNS_ETC), Path::new(NETNS_ETC))
}

fn netns_etc(name: &Name) -> PathBuf {
    Path::new(NETNS_ETC).join(name.as_str())
}
