//! aardvark-dns, the resolver of Podman, serving the same names beside ours.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;

use super::wire;

/// Starts it, and returns when it serves. It makes itself nobody's child: what ends all of its namespace ends it.
pub(super) fn start(
    program: &Path,
    inside: &OwnedFd,
    address: Ipv4Addr,
    names: &[(String, Ipv4Addr)],
    dir: &Path,
) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(Code::Internal, "start aardvark-dns").because(e);
    fs::create_dir_all(dir).map_err(failed)?;
    fs::write(dir.join("front"), members(address, names)).map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(dir).args(["--port", &wire::PORT.to_string(), "run"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = netns::run(inside, move || command.status())?.map_err(failed)?;
    if !status.success() {
        return Err(Error::new(Code::Internal, "start aardvark-dns").because(status));
    }
    let Some((name, known)) = names.last() else { return Ok(()) };
    wire::expect(inside, IpAddr::V4(address), name, *known)
}

/// Where it listens, and a line for each container: id, addresses of both families, names. Who asks is known by the
/// address of a container, and who asks here has that of loopback.
fn members(address: Ipv4Addr, names: &[(String, Ipv4Addr)]) -> String {
    let mut text = format!("{address}\nasker {}  asker \n", Ipv4Addr::LOCALHOST);
    for (n, (name, address)) in names.iter().enumerate() {
        writeln!(text, "id{n} {address}  {name} ").expect("a string takes all");
    }
    text
}
