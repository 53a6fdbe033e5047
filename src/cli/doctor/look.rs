//! What is looked at, and by whom.

use bowline_api::v1::{self, Checkup, Version};
use bowline_core::checkup::{self, Check};
use bowline_core::kernel::Kernel as _;
use bowline_core::place::Door;
use bowline_core::{Code, Error, Result};
use bowline_linux::probe;

use crate::session::Session;
use crate::start;

pub(super) fn at_everything(session: &Session) -> Checkup {
    let (mut checks, found) = match session.client.version() {
        Ok(daemon) => {
            let (said, found) = by_the_daemon(session, &daemon);
            (vec![version(&daemon), said], found)
        }
        Err(error) => (vec![no_daemon(session, &error)], None),
    };
    checks.push(privilege(found.is_some()));
    let found = found.unwrap_or_else(by_ourselves);
    let checks = checks.into_iter().map(v1::Check::from).chain(found.checks).collect();
    Checkup { features: found.features, checks }
}

/// What the daemon is, and what it found. One of an older version has no checkup.
fn by_the_daemon(session: &Session, daemon: &Version) -> (Check, Option<Checkup>) {
    const ABOUT: &str = "daemon";
    let asked = session.client.info().and_then(|info| match session.client.checkup() {
        Ok(found) => Ok((info, Some(found))),
        Err(error) if error.code == Code::NoSuchPath => Ok((info, None)),
        Err(error) => Err(error),
    });
    match asked {
        Ok((info, found)) => {
            let counts = format!("networks {}, endpoints {}", info.networks, info.endpoints);
            (Check::well(ABOUT, format!("{} at {}: {counts}", daemon.version, info.socket)), found)
        }
        Err(error) => (wrong(ABOUT, &error), None),
    }
}

fn version(daemon: &Version) -> Check {
    const ABOUT: &str = "version";
    let ours = env!("CARGO_PKG_VERSION");
    match daemon.version == ours {
        true => Check::well(ABOUT, format!("the daemon's is this program's, {ours}")),
        false => Check::wrong(
            ABOUT,
            format!("the daemon is of version {}, and this program of {ours}", daemon.version),
            "systemctl restart bowline",
        ),
    }
}

/// Where none runs that should, that is wrong; where one is started by whoever needs it first, it is not.
fn no_daemon(session: &Session, error: &Error) -> Check {
    const ABOUT: &str = "daemon";
    let socket = session.client.socket();
    match start::absent(socket) {
        Some(why) if start::is_left_to_systemd() => wrong(ABOUT, &start::left_to_systemd(socket, &why)),
        Some(_) => {
            let what = format!("none runs at {}; the next verb that needs one starts it", socket.display());
            Check::well(ABOUT, what)
        }
        None if error.code == Code::Denied => Check::unknown(ABOUT, error),
        None => wrong(ABOUT, error),
    }
}

fn wrong(about: &'static str, error: &Error) -> Check {
    Check { standing: checkup::Standing::Wrong, ..Check::unknown(about, error) }
}

/// Of whoever looks, which matters where no daemon looks instead.
fn privilege(daemon_looks: bool) -> Check {
    const ABOUT: &str = "privilege";
    match (probe::is_privileged(), daemon_looks) {
        (true, _) => Check::well(ABOUT, "CAP_NET_ADMIN and CAP_SYS_ADMIN are there"),
        (false, true) => Check::well(ABOUT, "none, and none is needed to ask the daemon"),
        (false, false) => {
            let why =
                Error::new(Code::Denied, "without CAP_NET_ADMIN and CAP_SYS_ADMIN, much cannot be seen");
            Check::unknown(ABOUT, &why.fix("sudo bowline doctor"))
        }
    }
}

/// What can be seen of the host from here.
fn by_ourselves() -> Checkup {
    looked().unwrap_or_else(|error| Checkup {
        features: Vec::new(),
        checks: vec![Check::unknown("kernel", &error).into()],
    })
}

fn looked() -> Result<Checkup> {
    let kernel = bowline_linux::Kernel::new(bowline_linux::Options::default())?;
    let features = checkup::features(&kernel);
    let checks = checkup::host(&kernel, kernel.open(&Door::Own)?, &[], &features);
    Ok(Checkup {
        features: features.iter().map(v1::Feature::from).collect(),
        checks: checks.into_iter().map(v1::Check::from).collect(),
    })
}
