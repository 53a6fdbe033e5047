//! What is told in the guest, whose kernel has more than most: that it has all that it is there for, and that an endpoint
//! finds there what it finds everywhere.

use super::attach;
use crate::needs::{Kernel, Need};
use crate::world::World;

pub(crate) fn the_guest_has_what_it_is_for(_: &World) {
    assert_eq!(Kernel::default().lacks(Need::ALL), None);
}

pub(crate) fn an_endpoint_gets_what_it_gets_elsewhere(w: &World) {
    attach::a_container_gets_what_was_promised(w);
}

/// The client is seen as who it is, like those of other protocols.
pub(crate) fn a_published_sctp_port_carries_traffic(w: &World) {
    const SERVE: &str = "
from socket import *
s = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)
s.bind(('0.0.0.0', 36412)); s.listen()
print('ready', flush=True)
while True:
    peer, address = s.accept()
    peer.sendall(address[0].encode()); peer.close()
";
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "-p 5000:36412/sctp");
    let _server = web.starts_python(SERVE, "ready");
    let ask = |host: &str| {
        format!(
            "
from socket import *
s = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP); s.settimeout(20)
s.connect(('{host}', 5000)); print(s.recv(100).decode())"
        )
    };
    assert_eq!(w.outside().run_python(&ask("192.0.2.1")), "192.0.2.2\n");
    assert_eq!(w.host().run_python(&ask("192.0.2.1")), "192.0.2.1\n");
    w.bowline("port unpublish web 5000:36412/sctp");
    let refused = ask("192.0.2.1").replace("settimeout(20)", "settimeout(1)");
    let said = w.outside().tries_python(&refused);
    assert!(said.code != 0, "wanted no answer from {said}");
}
