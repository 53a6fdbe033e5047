//! All that a machine holds, as other people's tools print it, so that before and after can be laid side by side.

use std::collections::BTreeMap;

use super::World;

/// Everything but what goes its own way: the stores themselves, which outlive a daemon on purpose; three directories, where
/// they are empty; neighbours and timers, which come and go; and what the kernel adds on its own, in its own time, to a
/// link with IPv6 and to a host that forwards, which stays on once it was needed.
const LOOK: &str = r#"
section() { echo "@@ $1"; }
section link; ip -o -d link | sed -E 's/[a-z_]+_timer +[0-9.]+//g'
section address; ip -o addr | grep -v fe80::
section route; ip -4 route show table all
section 'route 6'; ip -6 route show table all | grep -vE '^anycast|fe80::|ff00::/8'
section rule; ip rule; ip -6 rule
section nft; nft list ruleset
section namespace; ip netns list | cut -d' ' -f1 | sort
section file
find /run /etc/netns /etc/bowline /var/lib/bowline /etc/hosts /etc/hostname /etc/resolv.conf 2>/dev/null |
    grep -vE '^(/etc/netns|/run/bowline|/run/bowline/hosts|/run/bowline/resolv|/run/bowline/run.redb|/run/bowline/boot|/run/bowline/asked|/var/lib/bowline|/var/lib/bowline/state.redb)$' | sort
"#;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<String, Vec<String>>);

impl Snapshot {
    pub(crate) fn of(world: &World) -> Snapshot {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut section = String::new();
        for line in world.host().shell(LOOK).lines() {
            match line.strip_prefix("@@ ") {
                Some(name) => section = name.to_string(),
                None => all.entry(section.clone()).or_default().push(line.trim_end().to_string()),
            }
        }
        all.insert("mount".into(), world.machine.mounts());
        Snapshot(all)
    }

    /// What came (+) and what went (-).
    pub(crate) fn changes(&self, after: &Snapshot) -> Vec<String> {
        let none = Vec::new();
        let mut changes = Vec::new();
        let sections: std::collections::BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        for section in sections {
            let (old, new) = (self.0.get(section).unwrap_or(&none), after.0.get(section).unwrap_or(&none));
            changes.extend(old.iter().filter(|l| !new.contains(l)).map(|l| format!("- {section}: {l}")));
            changes.extend(new.iter().filter(|l| !old.contains(l)).map(|l| format!("+ {section}: {l}")));
            if old.len() != new.len() && changes.is_empty() {
                changes.push(format!("{section}: {} lines became {}", old.len(), new.len()));
            }
        }
        changes
    }
}
