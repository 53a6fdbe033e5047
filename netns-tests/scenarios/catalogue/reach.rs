//! What an internal network and one without IPv6 have of the host and of the world: nothing at all.

use super::frames::{Gate, said_by_python, sends};
use crate::world::World;
use crate::world::place::{Place, SILENCE};
use crate::world::said::{eventually, only_if};

/// Asks every address at every port by TCP and UDP, all at once, and says from which there came anything at all. A
/// refusal is an answer too.
const ASK: &str = "
import select, socket, sys, time
poll, asked = select.poll(), {}
for address in sys.argv[2:]:
    for port in (53, 81, 5353, 8080, 9):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                family, _, _, _, to = socket.getaddrinfo(address, port, type=kind)[0]
                s = socket.socket(family, kind)
                s.setblocking(False)
                s.connect_ex(to)
                if kind == socket.SOCK_DGRAM:
                    s.send(b'hello')
            except OSError as error:
                continue
            poll.register(s, (select.POLLOUT if kind == socket.SOCK_STREAM else 0) | select.POLLIN)
            asked[s.fileno()] = (s, f'{address} {port} {kind.name}')
print(len(asked), 'asked')
until = time.monotonic() + float(sys.argv[1])
while asked and time.monotonic() < until:
    for fd, _ in poll.poll(50):
        s, name = asked.pop(fd)
        poll.unregister(fd)
        error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # Nobody there to resolve, or no answer within long: our own kernel speaks, not the host.
        if error not in (113, 110):
            print(name, error)
";

/// Who answered, after so long.
fn answers(from: Place<'_>, addresses: &[String], seconds: &str) -> Vec<String> {
    let scoped = |address: &String| match address.starts_with("fe80") {
        true => format!("{address}%eth0"),
        false => address.clone(),
    };
    let args = [vec![seconds.to_string()], addresses.iter().map(scoped).collect()].concat();
    let said = said_by_python(from, ASK, &args);
    let mut lines = said.lines().map(str::to_string);
    let asked = lines.next().expect("it says how many it asked");
    let expected = addresses.len() * 10;
    assert_eq!(asked, format!("{expected} asked"), "{said}");
    lines.collect()
}

/// All of a host's addresses but those of its loopback.
fn addresses_of(host: Place<'_>) -> Vec<String> {
    let links = host.ip("addr");
    let infos = links.iter().flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default());
    let all = infos.filter_map(|info| info["local"].as_str().map(str::to_string));
    all.filter(|address| !address.starts_with("127.") && address != "::1").collect()
}

/// T-09 and T-13. Whatever routes it makes itself, at whatever address and port of the host's.
pub(crate) fn a_member_of_an_internal_network_gets_no_answer_of_the_host(w: &World) {
    w.bowline("network create inner --subnet 10.9.0.0/24 --subnet fd00:9::/64 --internal");
    w.bowline("network create front --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    let (spy, app) = (w.attach("spy", "inner", ""), w.attach("app", "front", "-p 8080:80"));
    spy.shell("ip route add default via 10.9.0.1; ip route add default via fd00:9::1");
    let _servers = (w.host().serves(81), w.host().answers_udp("host", 5353), app.serves(80));
    let addresses = eventually("every card has its link-local address", || {
        let all = addresses_of(w.host());
        let count = all.iter().filter(|address| address.starts_with("fe80")).count();
        only_if(count >= 3, &all).map(|()| all)
    });
    eventually("others get answers from each", || {
        let known = answers(app, &addresses, "2");
        let of = |begin: &str| known.iter().filter(|answer| answer.starts_with(begin)).count();
        let mut global = addresses.iter().filter(|address| !address.starts_with("fe80"));
        only_if(global.all(|address| of(&format!("{address} ")) >= 5) && of("fe80") > 0, known)
    });
    assert_eq!(answers(spy, &addresses, "2"), Vec::<String>::new());
}

/// T-10. No address, no group, and no ear for advertisements, which do arrive.
pub(crate) fn a_member_without_ipv6_neither_speaks_nor_hears_it(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let (web, rogue) = (w.attach("web", "front", ""), w.attach("rogue", "front", "--no-antispoof"));
    w.bowline("network create six --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    let app = w.attach("app", "six", "");
    // Groups of all nodes, and on a host that forwards of all routers, the kernel notes for every card.
    let groups = |place: Place<'_>, card: &str| {
        place.shell(&format!("grep -w {card} /proc/net/igmp6 | grep -vE ' ff0[125]0{{27}}[12] ' || true"))
    };
    // The kernel joins them a moment after the address is there.
    for (place, card) in [(app, "eth0"), (w.host(), "bl-six")] {
        eventually("one that has IPv6 is in groups of its own", || {
            only_if(!groups(place, card).is_empty(), "in none")
        });
    }
    assert_eq!((groups(web, "eth0"), groups(w.host(), "bl-front")), (String::new(), String::new()));

    let gate = Gate::at(web, "eth0");
    let frame = "ether('33:33:00:00:00:01', mine, 0x86dd, advertised_router('fe80::bad', '2001:db8:bad::'))";
    eventually("advertisements arrive", || {
        sends(rogue, "eth0", 20, frame);
        only_if(gate.arrived() > 0, gate.arrived())
    });
    web.reaches("10.9.0.3");
    assert_eq!(web.run("ip -6 -o addr show dev eth0"), "");
    assert_eq!(web.run("ip -6 route show table all dev eth0"), "");
    assert_eq!(w.host().run("ip -6 -o addr show dev bl-front"), "");
    // Nor does it ask of its own: what it sends to everybody does not leave.
    assert!(web.ping(SILENCE, "ff02::1%eth0").code != 0);
}
