//! A machine of its own for a scenario: network, mounts, host name and processes of nobody else.
//! Its first process reads from us, so it and all that runs there ends when we do, however that happens.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::patience::seconds;

/// Who does not end by itself within this hangs.
const BRIEF: Duration = Duration::from_secs(30);

/// What makes an empty machine look like one: writable places that nobody sees, an uplink, and a neighbour behind it.
const BIRTH: &str = r#"
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/etc-work /mnt/lib /mnt/lib-work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/etc-work /etc
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/mnt/lib,workdir=/mnt/lib-work /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mount -t sysfs sysfs /sys
rm -rf /etc/netns /etc/bowline /var/lib/bowline
rm -f /etc/resolv.conf
echo nameserver 192.0.2.2 > /etc/resolv.conf
hostname machine
ip link set lo up
ip netns add outside
ip link add uplink type veth peer name card netns outside
sysctl -qw net.ipv6.conf.uplink.accept_dad=0
ip netns exec outside sysctl -qw net.ipv6.conf.card.accept_dad=0
ip -n outside -batch - <<END
link set lo up
addr add 192.0.2.2/24 dev card
addr add 2001:db8::2/64 dev card nodad
link set card up
END
ip -batch - <<END
addr add 192.0.2.1/24 dev uplink
addr add 2001:db8::1/64 dev uplink nodad
link set uplink up
route add default via 192.0.2.2
route add default via 2001:db8::2
END
until ip link show uplink | grep -q 'state UP'; do :; done
until ip -6 route show table local | grep -q 2001:db8::1 && ip -6 addr show uplink | grep -q fe80; do :; done
"#;

pub(crate) struct Machine {
    /// Started `unshare`, which kills the first process of the machine when it is killed itself.
    keeper: Child,
    /// The first process, by the number it has out here.
    init: u32,
}

impl Machine {
    pub(crate) fn born() -> Result<Machine, String> {
        let script = format!("{BIRTH}\necho born\nwhile read -r line; do :; done");
        let mut keeper = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("start unshare: {e}"))?;
        let mut line = String::new();
        let said = keeper.stdout.as_mut().expect("its output is piped");
        let heard = BufReader::new(said).read_line(&mut line);
        if heard.is_err() || line.trim() != "born" {
            drop(keeper.kill());
            let end = keeper.wait_with_output().map_err(|e| e.to_string())?;
            return Err(String::from_utf8_lossy(&end.stderr).into_owned());
        }
        let init = child_of(keeper.id()).ok_or("the machine ended at once")?;
        Ok(Machine { keeper, init })
    }

    /// A program inside, in the machine's own network namespace or in a named one.
    pub(crate) fn command(&self, netns: Option<&str>, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "-m", "-u", "-i", "-p"]);
        match netns {
            None => command.arg("-n"),
            Some(name) => {
                command.arg(format!("--net={}", self.path(&format!("/run/netns/{name}")).display()))
            }
        };
        command.arg("--").arg(program).env("NO_COLOR", "1").env_remove("BOWLINE_SOCKET");
        command.env_remove("BOWLINE_FORMAT").stdin(Stdio::null());
        command
    }

    /// A program that has to end by itself, before long: one that hangs is a failure, not a test that never ends.
    pub(crate) fn brief(&self, netns: Option<&str>, program: &str) -> Command {
        let mut command = self.command(netns, "timeout");
        command.args(["--kill-after=1", &seconds(BRIEF), program]);
        command
    }

    /// A path of the machine's, as it is reached from here.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// Every process but the first, by its number inside and its command line.
    pub(crate) fn processes(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("/proc")).into_iter().flatten().flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let others = pids.filter(|&pid| pid != 1);
        others
            .map(|pid| {
                let line = fs::read(self.path(&format!("/proc/{pid}/cmdline"))).unwrap_or_default();
                let comm = fs::read_to_string(self.path(&format!("/proc/{pid}/comm"))).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                format!("{pid} ({}) {}", comm.trim(), line.trim())
            })
            .collect()
    }

    pub(crate) fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", self.init)).unwrap_or_default();
        // Without the numbers that every mount gets afresh: its root, its place, its options.
        let plain = |line: &str| line.split(' ').skip(3).take(3).collect::<Vec<_>>().join(" ");
        text.lines().map(plain).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process is killed with it, and with that one every other: the kernel sees to it.
        drop(self.keeper.kill());
        drop(self.keeper.wait());
    }
}

/// The only child of a process, by the number it has out here.
pub(crate) fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
