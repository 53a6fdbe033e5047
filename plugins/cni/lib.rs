//! CNI's protocol: a process for each call, that asks the daemon once and ends. Nothing is kept here; what an attachment
//! is, the daemon's journal knows under (network, container, interface).

mod call;
mod chained;
mod config;
mod delegate;
mod failure;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod host_local;
pub mod install;
mod json;
mod leftovers;
mod loopback;
mod main_plugin;
pub mod migrate;
mod netns;
mod outcome;
mod role;
mod translate;
mod version;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;

use bowline_api::{Client, SOCKET, STATE_DIR};

use call::{Call, Verb};
use config::Config;
use json::{Json, object};
use version::Version;

pub use failure::{Code, Failure};
pub use role::Role;

/// Of configuration; with a whole chain's result in it, a real one has a hundredth of it.
const MOST: u64 = 4 << 20;

/// Called by a runtime: its exit code.
pub fn main(role: Role) -> u8 {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let env = |name: &str| std::env::var_os(name);
    let (answer, code) = match answer(role, &env, &mut std::io::stdin()) {
        Ok(Answer::About(text)) => return u8::from(err.write_all(text.as_bytes()).is_err()),
        Ok(Answer::Nothing) => return 0,
        Ok(Answer::Json(json)) => (json, 0),
        Err((failure, version)) => (failure.json(version.as_str()), 1),
    };
    let written = out.write_all(format!("{answer}\n").as_bytes()).and_then(|()| out.flush());
    if written.is_ok() { code } else { 1 }
}

enum Answer {
    /// For a person.
    About(String),
    Nothing,
    Json(Json),
}

type Result<T> = std::result::Result<T, Failure>;

/// One call, with all that it needs.
struct Asked {
    role: Role,
    call: Call,
    config: Config,
    /// As it came, for another plugin.
    bytes: Vec<u8>,
    client: Client,
    state_dir: PathBuf,
}

fn answer(
    role: Role,
    env: &dyn Fn(&str) -> Option<OsString>,
    stdin: &mut dyn Read,
) -> std::result::Result<Answer, (Failure, Version)> {
    let newest = |failure| (failure, Version::NEWEST);
    let Some(call) = Call::read(env).map_err(newest)? else { return Ok(Answer::About(about(role))) };
    if call.verb == Verb::Version {
        return Ok(Answer::Json(versions()));
    }
    let bytes = read(stdin).map_err(newest)?;
    let config = Config::read(&bytes).map_err(newest)?;
    let version = config.version;
    let dir = |name: &str, usual: &str| env(name).map_or_else(|| usual.into(), PathBuf::from);
    let client = Client::new(dir("BOWLINE_SOCKET", SOCKET));
    let asked = Asked { role, call, config, bytes, client, state_dir: dir("BOWLINE_STATE_DIR", STATE_DIR) };
    match asked.run() {
        Ok(Some(json)) => Ok(Answer::Json(json)),
        Ok(None) => Ok(Answer::Nothing),
        Err(failure) => Err((failure, version)),
    }
}

impl Asked {
    fn run(&self) -> Result<Option<Json>> {
        match self.call.verb {
            Verb::Check => self.config.at_least(Version::V0_4_0, "CHECK")?,
            Verb::Gc => self.config.at_least(Version::V1_1_0, "GC")?,
            Verb::Status => self.config.at_least(Version::V1_1_0, "STATUS")?,
            Verb::Add | Verb::Del | Verb::Version => (),
        }
        match self.role {
            Role::Bowline | Role::Bridge | Role::Macvlan | Role::Ipvlan | Role::Ptp => self.main_plugin(),
            Role::Portmap | Role::Firewall | Role::Tuning | Role::Bandwidth => self.chained(),
            Role::Loopback => self.loopback(),
            Role::HostLocal => self.host_local(),
            Role::Static => self.fixed(),
        }
    }

    /// The number of the namespace that the runtime is in, which is the host's.
    fn host(&self) -> Result<u64> {
        netns::own().map(|(_, number)| number)
    }

    /// The file that `ipam.resolvConf` names.
    fn resolv_conf(&self) -> Result<Option<String>> {
        let Some(ipam) = self.config.ipam()? else { return Ok(None) };
        let Some(path) = ipam.text_of("resolvConf")? else { return Ok(None) };
        let text = std::fs::read(path).map_err(|error| {
            Failure::new(Code::Config, format!("read resolvConf {path:.200?}")).because(error)
        })?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    fn key(&self) -> Result<String> {
        Ok(translate::key(self.host()?, &self.config.name, &self.call.container, &self.call.ifname))
    }
}

fn read(stdin: &mut dyn Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stdin
        .take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Code::Io, "read the network configuration").because(error))?;
    if bytes.len() as u64 > MOST {
        return Err(Failure::new(Code::Decode, "the network configuration is too large")
            .because(format!("{MOST} bytes are the most")));
    }
    Ok(bytes)
}

fn supported() -> Vec<Json> {
    Version::ALL.iter().map(|version| Json::text(version.as_str())).collect()
}

fn versions() -> Json {
    object([
        ("cniVersion", Json::text(Version::NEWEST.as_str())),
        ("supportedVersions", Json::List(supported())),
    ])
}

/// The first line in the form that some runtimes read.
fn about(role: Role) -> String {
    let all: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
    format!(
        "CNI {} plugin v{}\nCNI protocol versions supported: {}\nbowline {}\n",
        role.name(),
        role::LIKE,
        all.join(", "),
        env!("CARGO_PKG_VERSION")
    )
}
