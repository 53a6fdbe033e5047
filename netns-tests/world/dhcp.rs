//! DHCP servers behind a second card of the host's: dnsmasq, and one in Python that says what a story tells it to.

use std::fs;

use super::World;
use super::background::Background;
use super::said::{eventually, only_if};

const LOG: &str = "/run/dhcp.log";
const LEASES: &str = "/run/dhcp.leases";

/// What dnsmasq is asked to give: 198.51.100.100 to .150, and itself for everything.
pub(crate) struct Dnsmasq<'w> {
    world: &'w World,
    program: Background,
}

impl World {
    /// It answers at `lan1` outside, for two minutes, which is the least that it gives.
    #[track_caller]
    pub(crate) fn dnsmasq(&self, options: &str) -> Dnsmasq<'_> {
        let program = self.outside().starts(&format!(
            "dnsmasq --conf-file=/dev/null --keep-in-foreground --user=root --pid-file= --no-resolv --no-hosts \
             --interface=lan1 --bind-interfaces --except-interface=lo --no-ping --dhcp-authoritative \
             --dhcp-range=198.51.100.100,198.51.100.150,2m --dhcp-leasefile={LEASES} --log-facility={LOG} {options}"
        ));
        let server = Dnsmasq { world: self, program };
        eventually("dnsmasq answers", || {
            let log = server.log();
            only_if(log.contains("DHCP, sockets bound"), log)
        });
        server
    }

    /// It says what it hears, one line each, and takes orders.
    #[track_caller]
    pub(crate) fn scripted_dhcp(&self) -> Background {
        self.outside().starts_python(SCRIPTED, "ready")
    }
}

impl Dnsmasq<'_> {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.world.machine.path(LOG)).unwrap_or_default()
    }

    /// How many messages of a kind about an address, or about anything, it has seen or sent: `DHCPREQUEST`.
    pub(crate) fn count(&self, kind: &str, about: &str) -> usize {
        self.log().lines().filter(|line| line.contains(&format!("{kind}(")) && line.contains(about)).count()
    }

    /// What it has given, as its file has it: time, MAC, address, name, client id.
    pub(crate) fn leases(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.world.machine.path(LEASES)).unwrap_or_default();
        text.lines().map(|line| line.split(' ').map(str::to_string).collect()).collect()
    }

    #[track_caller]
    pub(crate) fn stops(self) {
        self.program.signal("TERM");
        drop(self.program.ends());
        for file in [LOG, LEASES] {
            fs::remove_file(self.world.machine.path(file)).expect("remove what dnsmasq wrote");
        }
    }
}

/// Orders: `give ADDRESS SECONDS T1 T2`, `refuse`, `silence`, `lie` (before each answer, others that are none).
const SCRIPTED: &str = r#"
import socket, struct, sys, threading
KINDS = {1: 'DISCOVER', 2: 'OFFER', 3: 'REQUEST', 4: 'DECLINE', 5: 'ACK', 6: 'NAK', 7: 'RELEASE'}
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lan1')
s.bind(('', 67))
how = {'mode': 'silence', 'lies': False}
def orders():
    for line in sys.stdin:
        words = line.split()
        if words[0] == 'lie': how['lies'] = True
        else: how['mode'] = words[0]
        if words[0] == 'give': how['what'] = (words[1], *map(int, words[2:5]))
        print('ordered', line.strip(), flush=True)
threading.Thread(target=orders, daemon=True).start()
def message(kind, xid, chaddr, address, seconds=0, t1=0, t2=0, server='198.51.100.2'):
    ip = socket.inet_aton
    head = bytes([2, 1, 6, 0]) + struct.pack('>IHH', xid, 0, 0) + bytes(4) + ip(address) + bytes(8) + chaddr + bytes(10 + 64 + 128)
    options = bytes([53, 1, kind, 54, 4]) + ip(server)
    if kind != 6:
        options += bytes([1, 4]) + ip('255.255.255.0') + bytes([3, 4]) + ip('198.51.100.2') + bytes([51, 4]) + struct.pack('>I', seconds)
        options += bytes([58, 4]) + struct.pack('>I', t1) + bytes([59, 4]) + struct.pack('>I', t2)
    return head + b'\x63\x82\x53\x63' + options + b'\xff'
def say(data): s.sendto(data, ('255.255.255.255', 68))
def lies(kind, xid, chaddr):
    say(message(kind, xid ^ 1, chaddr, '198.51.100.66', 600, 300, 500))
    say(message(kind, xid, b'\x02\x66\x66\x66\x66\x66', '198.51.100.66', 600, 300, 500))
    say(message(6, xid, chaddr, '0.0.0.0', server='198.51.100.66'))
    say(message(kind, xid, chaddr, '224.0.0.66', 600, 300, 500))
    say(message(kind, xid, chaddr, '127.0.0.66', 600, 300, 500))
    say(message(kind, xid, chaddr, '198.51.100.66', 0, 0, 0))
    good = message(kind, xid, chaddr, '198.51.100.66', 600, 300, 500)
    # Without the last of them it is whole, and the one before is how long it lasts.
    for end in range(0, 266, 7): say(good[:end])
    say(b'\xff' * 1400)
    say(good[:240] + bytes(range(256)) * 4)
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(2048)
    options, at = {}, 240
    while data[at] != 255:
        if data[at] == 0: at += 1; continue
        options[data[at]] = data[at + 2:at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    kind, xid, chaddr = options[53][0], struct.unpack('>I', data[4:8])[0], data[28:34]
    wish = socket.inet_ntoa(options[50]) if 50 in options else '-'
    print('heard', KINDS[kind], 'of', socket.inet_ntoa(data[12:16]), 'by', peer[0], 'wishing', wish, flush=True)
    if how['mode'] == 'silence' or kind not in (1, 3): continue
    if how['lies']: lies(2 if kind == 1 else 5, xid, chaddr)
    if how['mode'] == 'refuse':
        if kind == 3: say(message(6, xid, chaddr, '0.0.0.0'))
        continue
    say(message(2 if kind == 1 else 5, xid, chaddr, *how['what']))
"#;
