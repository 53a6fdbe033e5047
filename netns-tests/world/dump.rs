//! The whole world on paper, for whoever has to find out what went wrong without running it again.

use super::World;

const LOOK: &str = r#"
show() { echo; echo "== $*"; "$@" 2>&1; }
show ip -d addr
show ip route show table all
show ip -6 route show table all
show bridge link
show nft list ruleset
for netns in $(ip netns list | cut -d' ' -f1); do
    show ip -n "$netns" addr
    show ip -n "$netns" route
    show ip -n "$netns" -6 route
done
show find /run /var/lib/bowline /etc/netns /etc/bowline -ls
[ -S /run/bowline/bowline.sock ] && show curl -sS -m 5 --unix-socket /run/bowline/bowline.sock http://h/v1/dump
[ -S /run/bowline/bowline.sock ] && show curl -sS -m 5 --unix-socket /run/bowline/bowline.sock http://h/v1/drift
true
"#;

/// More of a log than this was said long before things went wrong.
const LINES: usize = 200;

pub(crate) fn dump(world: &World) -> String {
    let mut command = world.machine.brief(None, "bash");
    let seen = command.args(["-c", LOOK]).output();
    let seen = seen.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stdout).into_owned());
    let log = world.log();
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let processes = world.machine.processes().join("\n");
    format!("{seen}\n## processes\n{processes}\n\n## the daemon's log, its end\n{tail}\n")
}
