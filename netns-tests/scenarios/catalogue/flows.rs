//! Connections that the kernel keeps track of: there is room for so many, and one member asks for all of it.

use super::frames::said_by_python;
use crate::world::World;

/// Datagrams from five ports to every port of somebody who never answers, again and again: each is a flow.
const FLOOD: &str = "
import socket, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), __import__('os')._exit(0)), daemon=True).start()
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
for n, s in enumerate(sockets):
    s.bind(('0.0.0.0', 5000 + n))
first = True
while True:
    for s in sockets:
        for port in range(1024, 65536):
            s.sendto(b'x', ('192.0.2.2', port))
    if first:
        print('flooded', flush=True)
    first = False
";

/// Each a new connection of which no step may fail, one after the other.
const CALL: &str = "
import socket
for _ in range(100):
    s = socket.create_connection(('192.0.2.2', 80), timeout=5)
    s.settimeout(5)
    assert s.recv(100)
    s.close()
print('all')
";

/// Swallowed there, so that not even a refusal comes back.
const HOLE: &str = "nft -f - <<END
table netdev hole {
    chain ingress {
        type filter hook ingress device card priority 0;
        ip protocol udp drop
    }
}
END";

/// How many flows each processor has dropped for want of room, in hexadecimal.
const EVICTED: &str = "awk '
NR == 1 { for (i = 1; i <= NF; i++) if ($i == \"early_drop\") at = i }
NR > 1 { print $at }' /proc/net/stat/nf_conntrack";

/// T-18, as far as the kernel helps itself: flows that nobody answered give way to others when there is no more room.
/// Flows that are answered do not; docs/testing.md says why nothing limits them.
pub(crate) fn unanswered_flows_of_one_leave_room_for_others(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let (app, mallory) = (w.attach("app", "front", ""), w.attach("mallory", "front", ""));
    let _server = w.outside().serves(80);
    app.fetches("192.0.2.2", 80);
    // However slow the machine is, the first are there when the last come.
    w.host().run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=300");
    let number = |name: &str| -> u64 {
        let said = w.host().run(&format!("sysctl -n net.netfilter.nf_conntrack_{name}"));
        said.trim().parse().expect("a number")
    };
    w.outside().shell(HOLE);
    let flood = mallory.starts_python(FLOOD, "flooded");
    assert!(number("count") > number("max") / 10 * 9, "{} of {} flows", number("count"), number("max"));
    let evicted = w.host().shell(EVICTED);
    assert!(evicted.split_whitespace().any(|count| !count.trim_start_matches('0').is_empty()), "{evicted}");
    assert_eq!(said_by_python(app, CALL, &[]), "all\n");
    drop(flood);
    w.outside().run("nft delete table netdev hole");
}
