//! The files in /etc that a command has for itself, and the same ones for whoever enters with `ip netns exec`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bowline_api::v1::{EndpointDns, Interface};
use bowline_core::name::Name;
use bowline_core::{Code, Error, Result};
use bowline_linux::process::Bind;

use super::record::Spec;
use super::shelf::Place;
use crate::wishes::DnsArgs;

/// Where `ip netns exec NAME` looks for files to put over those of /etc.
const NETNS_ETC: &str = "/etc/netns";

const RESOLVER: &str = "resolv.conf";

/// Those that `ip netns exec` needs: it sets no host name.
const LINKED: [&str; 2] = ["hosts", RESOLVER];

/// Writes the files, and says what to put where. What this host lacks cannot be put over, and is not missed.
pub(super) fn write(
    place: &Place,
    spec: &Spec,
    hostname: &str,
    interfaces: &[Interface],
    dns: Option<&EndpointDns>,
) -> Result<Vec<Bind>> {
    let contents = [
        ("hosts", hosts(spec, hostname, interfaces)),
        ("hostname", format!("{hostname}\n")),
        (RESOLVER, names(spec, dns)),
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

/// Writes into the file that a command has as its /etc/resolv.conf. In place, for it has that very file, by whatever name.
pub(super) fn follow(place: &Place, dns: Option<&EndpointDns>) -> Result<()> {
    let path = place.file(RESOLVER);
    let failed = |e: &std::io::Error| {
        Error::new(Code::StateUnwritable, format!("write {}", path.display())).because(e)
    };
    let mut file = match File::options().read(true).write(true).open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.map_err(|e| failed(&e))?,
    };
    let wanted = names(&place.spec()?, dns);
    let mut there = String::new();
    file.read_to_string(&mut there).map_err(|e| failed(&e))?;
    if there == wanted {
        return Ok(());
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(wanted.as_bytes())
    };
    write(&mut file).map_err(|e| failed(&e))
}

/// What the daemon says where it answers for names, else what the host says.
fn names(spec: &Spec, dns: Option<&EndpointDns>) -> String {
    let here = || fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    dns.map_or_else(|| resolver(&spec.resolver, &here()), |dns| dns.resolv_conf.clone())
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

/// /etc/resolv.conf where no resolver of ours is: the host's own, with what was asked for in place of what it says of that.
pub(super) fn resolver(asked: &DnsArgs, here: &str) -> String {
    let DnsArgs { servers, search, options, links: _ } = asked;
    let kept = |line: &&str| match line.split_whitespace().next() {
        Some("nameserver") => servers.is_empty(),
        Some("search" | "domain") => search.is_empty(),
        Some("options") => options.is_empty(),
        // Notes on who made the file and how are about the host's, as it is.
        _ => servers.is_empty() && search.is_empty() && options.is_empty(),
    };
    let mut lines: Vec<String> = servers.iter().map(|ip| format!("nameserver {ip}")).collect();
    lines.extend(here.lines().filter(kept).map(str::to_string));
    if !search.is_empty() && *search != ["."] {
        lines.push(format!("search {}", search.join(" ")));
    }
    if !options.is_empty() {
        lines.push(format!("options {}", options.join(" ")));
    }
    lines.into_iter().map(|line| line + "\n").collect()
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
    // Busy is what somebody has mounted something on.
    let others = [ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty, ErrorKind::ResourceBusy];
    let fine = |outcome: std::io::Result<()>, path: &Path| match outcome {
        Err(e) if !others.contains(&e.kind()) => {
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
