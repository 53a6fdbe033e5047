//! Addresses for a main plugin that is not ours: host-local's ranges with host-local's own files, and static's list. Files,
//! and not the daemon, so that it and the reference plugin may be there in turn, and see what the other gave.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipnetwork::IpNetwork;

use crate::call::Verb;
use crate::failure::{Code, Failure};
use crate::json::Json;
use crate::outcome::{Ip, Outcome};
use crate::translate::addresses::{self, Range};
use crate::{Asked, Result};

/// Where host-local keeps a folder for each network.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// Of a network with host-local: a file for each address, named by it, that says whose it is.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Asked {
    pub(crate) fn host_local(&self) -> Result<Option<Json>> {
        let owner = owner(&self.call.container, &self.call.ifname);
        match self.call.verb {
            Verb::Add => self.give(&owner).map(Some),
            Verb::Del => Folder::of(self)?.release(&owner).map(|()| None),
            Verb::Check => match Folder::of(self)?.all()?.iter().any(|(_, theirs)| *theirs == owner) {
                true => Ok(None),
                false => Err(Failure::new(
                    Code::Otherwise,
                    "host-local: failed to find address added by container",
                )
                .because(&self.call.container)),
            },
            Verb::Gc | Verb::Status | Verb::Version => Ok(None),
        }
    }

    fn give(&self, owner: &str) -> Result<Json> {
        let Some(ipam) = self.config.ipam()? else {
            return Err(Failure::new(Code::Config, "there is no ipam"));
        };
        let sets = addresses::sets(&self.config, ipam)?;
        let dns = addresses::dns(ipam, self.resolv_conf()?.as_deref())?;
        let wished = addresses::wished(&self.config, self.call.arg("IP"))?;
        let mut wished: Vec<IpAddr> = wished
            .iter()
            .map(|text| text.split('/').next().unwrap_or_default().parse())
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| {
                Failure::new(Code::Config, "a requested address is none").because(wished.join(", "))
            })?;
        let folder = Folder::of(self)?;
        let _held = folder.lock()?;
        if folder.all()?.iter().any(|(_, theirs)| theirs == owner) {
            return Err(Failure::new(
                Code::Exists,
                "addresses have been allocated to this container already",
            )
            .because("duplicate allocation is not allowed"));
        }
        let mut outcome = Outcome { routes: addresses::routes(ipam)?, dns, ..Outcome::default() };
        let taken: Result<()> = sets.iter().enumerate().try_for_each(|(number, set)| {
            outcome.ips.push(folder.take(number, set, &mut wished, owner)?);
            Ok(())
        });
        let all = taken.and_then(|()| match wished.as_slice() {
            [] => Ok(()),
            [left, ..] => Err(Failure::new(Code::Config, format!("requested address {left} is in no range"))),
        });
        if let Err(failure) = all {
            folder.release_locked(owner)?;
            return Err(failure);
        }
        outcome.json(self.config.version)
    }

    pub(crate) fn fixed(&self) -> Result<Option<Json>> {
        if self.call.verb != Verb::Add {
            return Ok(None);
        }
        let Some(ipam) = self.config.ipam()? else {
            return Err(Failure::new(Code::Config, "there is no ipam"));
        };
        let outcome = Outcome {
            ips: addresses::given(&self.config, ipam, &self.call)?,
            routes: addresses::routes(ipam)?,
            dns: addresses::dns(ipam, None)?,
            ..Outcome::default()
        };
        outcome.json(self.config.version).map(Some)
    }
}

impl Folder {
    pub(crate) fn of(asked: &Asked) -> Result<Folder> {
        let named = asked.config.ipam()?.map(|ipam| ipam.text_of("dataDir")).transpose()?.flatten();
        let parent = Path::new(named.unwrap_or(DATA_DIR));
        if !parent.is_absolute() {
            return Err(Failure::new(Code::Config, "ipam.dataDir is not absolute"));
        }
        // A network's name has no / in it, and is neither . nor ..
        Ok(Folder { path: parent.join(&asked.config.name) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every address that somebody has, and who.
    pub(crate) fn all(&self) -> Result<Vec<(IpAddr, String)>> {
        Ok(self.entries()?.into_iter().map(|(ip, owner, _)| (ip, owner)).collect())
    }

    /// Those given since a moment.
    pub(crate) fn since(&self, moment: SystemTime) -> Result<Vec<(IpAddr, String)>> {
        let young = self.entries()?.into_iter().filter(|(_, _, path)| {
            fs::metadata(path).and_then(|file| file.modified()).is_ok_and(|written| written >= moment)
        });
        Ok(young.map(|(ip, owner, _)| (ip, owner)).collect())
    }

    fn entries(&self) -> Result<Vec<(IpAddr, String, PathBuf)>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(&error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| self.failed(&error))?.path();
            let ip = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let Some((ip, owner)) = ip.zip(fs::read_to_string(&path).ok()) else { continue };
            all.push((ip, owner.trim().to_string(), path));
        }
        Ok(all)
    }

    fn take(&self, number: usize, set: &[Range], wished: &mut Vec<IpAddr>, owner: &str) -> Result<Ip> {
        let within = |range: &Range, ip: IpAddr| range.start <= ip && ip <= range.end;
        let asked = wished.iter().position(|ip| set.iter().any(|range| within(range, *ip)));
        if let Some(at) = asked {
            let ip = wished.remove(at);
            let range = set.iter().find(|range| within(range, ip)).copied().unwrap_or(set[0]);
            if ip == range.gateway {
                return Err(Failure::new(Code::Config, format!("requested address {ip} is the gateway")));
            }
            if !self.reserve(ip, owner)? {
                return Err(Failure::new(
                    Code::AddressTaken,
                    format!("requested IP address {ip} is not available"),
                ));
            }
            return Ok(given(range, ip));
        }
        let memory = self.path.join(format!("last_reserved_ip.{number}"));
        let last: Option<IpAddr> = fs::read_to_string(&memory).ok().and_then(|text| text.trim().parse().ok());
        let at = last.and_then(|last| set.iter().position(|range| within(range, last)).map(|at| (at, last)));
        let (first_range, first) = at.map_or((0, set[0].start), |(at, last)| match next(last) {
            Some(after) if within(&set[at], after) => (at, after),
            Some(_) | None => ((at + 1) % set.len(), set[(at + 1) % set.len()].start),
        });
        // Once around: the rest of this range, the others, and its beginning.
        let others = (1..=set.len()).map(|step| (first_range + step) % set.len());
        let turns = std::iter::once((first_range, first)).chain(others.map(|at| (at, set[at].start)));
        for (at, start) in turns {
            let range = set[at];
            let mut ip = Some(start);
            while let Some(address) = ip.filter(|ip| within(&range, *ip)) {
                if address != range.gateway && self.reserve(address, owner)? {
                    fs::write(&memory, address.to_string()).map_err(|error| self.failed(&error))?;
                    return Ok(given(range, address));
                }
                ip = next(address);
            }
        }
        Err(Failure::new(Code::Full, format!("no IP addresses available in range set {number}")).because(
            set.iter().map(|range| format!("{}-{}", range.start, range.end)).collect::<Vec<_>>().join(", "),
        ))
    }

    /// False where somebody has it.
    fn reserve(&self, ip: IpAddr, owner: &str) -> Result<bool> {
        match File::create_new(self.path.join(ip.to_string())) {
            Ok(mut file) => {
                file.write_all(owner.as_bytes()).map_err(|error| self.failed(&error))?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Gives back what an owner has; where there is no such folder, nobody has anything.
    pub(crate) fn release(&self, owner: &str) -> Result<()> {
        if !self.path.is_dir() {
            return Ok(());
        }
        let _held = self.lock()?;
        self.release_locked(owner)
    }

    fn release_locked(&self, owner: &str) -> Result<()> {
        for (_, _, path) in self.entries()?.iter().filter(|(_, theirs, _)| theirs == owner) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.failed(&error)),
                Ok(()) | Err(_) => (),
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.path).map_err(|error| self.failed(&error))?;
        let lock = File::options().create(true).append(true).open(self.path.join("lock"));
        lock.and_then(|file| file.lock().map(|()| file)).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::new(Code::Io, format!("keep addresses in {}", self.path.display())).because(error)
    }
}

/// As host-local writes it.
pub(crate) fn owner(container: &str, ifname: &str) -> String {
    format!("{container}\r\n{ifname}")
}

fn given(range: Range, ip: IpAddr) -> Ip {
    let address = IpNetwork::new(ip, range.net.prefix()).expect("the prefix length of its subnet");
    Ip { address, gateway: Some(range.gateway), interface: None }
}

fn next(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|bits| Ipv4Addr::from(bits).into()),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|bits| Ipv6Addr::from(bits).into()),
    }
}
