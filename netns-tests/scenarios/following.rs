//! The host's resolv.conf is followed, whoever writes it in whatever way, and running containers never notice. Who
//! answers is seen in the answer: 127.0.0.53 says 198.51.100.53, and 192.0.2.2 says 198.51.100.2.

use std::time::{Duration, Instant};

use crate::world::World;
use crate::world::dns::{Asker, Stub};

/// From the change on, until it is no longer asked where it was asked before.
const AT_ONCE: Duration = Duration::from_secs(1);

const NEAR: &str = "127.0.0.53";
const FAR: &str = "192.0.2.2";

struct Reader<'w> {
    w: &'w World,
    asker: Asker,
    asked: usize,
    _stubs: [Stub; 2],
}

impl<'w> Reader<'w> {
    /// A container on a host that asks the near server.
    fn new(w: &'w World) -> Reader<'w> {
        let stubs = [w.host().serves_names("127.0.0.53:53", 53), w.outside().serves_names("192.0.2.2:53", 2)];
        w.host().run("mkdir /run/dns");
        w.host_asks(&[NEAR]);
        w.start();
        w.bowline("network create front --subnet 10.9.0.0/24");
        let mut reader = Reader { w, asker: w.attach("web", "front", "").asker(), asked: 0, _stubs: stubs };
        assert_eq!(reader.answered_by(), NEAR);
        reader
    }

    /// Who answers about a name that nobody was asked about yet.
    fn answered_by(&mut self) -> String {
        self.asked += 1;
        let found = self.asker.finds(&format!("www{}.example", self.asked));
        match found[0].as_str() {
            "198.51.100.53" => NEAR.into(),
            "198.51.100.2" => FAR.into(),
            other => other.into(),
        }
    }

    #[track_caller]
    fn follows(&mut self, script: &str, server: &str) {
        self.w.host().shell(&format!("cd /etc; asks() {{ echo nameserver $1; }}; {script}"));
        let changed = Instant::now();
        let mut last = self.answered_by();
        while last != server && changed.elapsed() < AT_ONCE {
            last = self.answered_by();
        }
        assert_eq!(last, server, "after {:?}: {script}", changed.elapsed());
    }

    /// For as long as a change may take, nothing changes.
    #[track_caller]
    fn stays_with(&mut self, server: &str, script: &str) {
        self.w.host().shell(&format!("cd /etc; {script}"));
        let changed = Instant::now();
        while changed.elapsed() < AT_ONCE {
            assert_eq!(self.answered_by(), server, "after {:?}: {script}", changed.elapsed());
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        drop(self.w.host().tries("rm -rf /run/dns"));
    }
}

pub(crate) fn a_file_that_is_written_anew(w: &World) {
    let mut reader = Reader::new(w);
    for _ in 0..3 {
        reader.follows("asks 192.0.2.2 > resolv.conf", FAR);
        reader.follows("asks 127.0.0.53 > new; mv new resolv.conf", NEAR);
        reader.follows("rm resolv.conf; asks 192.0.2.2 > resolv.conf", FAR);
        reader.follows("asks 127.0.0.53 | tee resolv.conf", NEAR);
        reader.follows("asks 192.0.2.2 > new; ln -f new resolv.conf; rm new", FAR);
        reader.follows("mv resolv.conf old; asks 127.0.0.53 > resolv.conf; rm old", NEAR);
    }
}

pub(crate) fn a_link_that_is_turned(w: &World) {
    let mut reader = Reader::new(w);
    let to = |path: &str| format!("ln -s {path} new; mv -T new resolv.conf");
    reader.follows(&format!("asks 192.0.2.2 > /run/dns/a; {}", to("/run/dns/a")), FAR);
    reader.follows(&format!("asks 127.0.0.53 > /run/dns/b; {}", to("/run/dns/b")), NEAR);
    reader.follows("ln -sfn /run/dns/a resolv.conf", FAR);
    // What it leads to is written, replaced, gone for a moment.
    reader.follows("asks 127.0.0.53 > /run/dns/a", NEAR);
    reader.follows("asks 192.0.2.2 > /run/dns/new; mv /run/dns/new /run/dns/a", FAR);
    reader.follows("rm /run/dns/a; asks 127.0.0.53 > /run/dns/a", NEAR);
    // A relative one, and one by way of another.
    reader.follows(&format!("asks 192.0.2.2 > c; {}", to("c")), FAR);
    reader.follows(&format!("ln -s /run/dns/b /run/dns/d; {}", to("/run/dns/d")), NEAR);
    reader.follows("ln -sfn a /run/dns/d; asks 192.0.2.2 > /run/dns/a", FAR);
    // To nowhere, until there is something.
    reader.stays_with(FAR, &to("/run/dns/later/it"));
    reader.follows("mkdir /run/dns/later; asks 127.0.0.53 > /run/dns/later/it", NEAR);
    w.host().run("rm /etc/c /etc/resolv.conf");
    w.host_asks(&[FAR]);
}

/// As a volume of Kubernetes is: a link to a directory is what is turned, and the directory before it is gone.
pub(crate) fn a_directory_that_is_exchanged(w: &World) {
    let mut reader = Reader::new(w);
    reader.follows(
        "mkdir /run/dns/v1; asks 192.0.2.2 > /run/dns/v1/it; ln -s v1 /run/dns/now; ln -sfn /run/dns/now/it resolv.conf",
        FAR,
    );
    for (n, (address, server)) in [("127.0.0.53", NEAR), ("192.0.2.2", FAR)].repeat(2).iter().enumerate() {
        let (old, new) = (n + 1, n + 2);
        reader.follows(
            &format!(
                "cd /run/dns; mkdir v{new}; asks {address} > v{new}/it; ln -s v{new} next; mv -T next now; rm -r v{old}"
            ),
            server,
        );
    }
    // The same place, but another directory.
    for (address, server) in [("127.0.0.53", NEAR), ("192.0.2.2", FAR)].repeat(2) {
        reader.follows(&format!("cd /run/dns; rm -r v5; mkdir v5; asks {address} > v5/it"), server);
    }
}

pub(crate) fn a_file_that_is_mounted_over(w: &World) {
    let mut reader = Reader::new(w);
    reader.follows("asks 192.0.2.2 > /run/dns/a; mount --bind /run/dns/a resolv.conf", FAR);
    reader.follows("asks 127.0.0.53 > /run/dns/a", NEAR);
    reader.follows("asks 192.0.2.2 > resolv.conf", FAR);
    reader.follows("umount resolv.conf", NEAR);
}

/// F65: the last good list stands.
pub(crate) fn a_file_that_says_nothing_changes_nothing(w: &World) {
    let mut reader = Reader::new(w);
    reader.follows("asks 192.0.2.2 > resolv.conf", FAR);
    reader.stays_with(FAR, ": > resolv.conf");
    reader.stays_with(FAR, "echo '# nameserver 127.0.0.53' > resolv.conf");
    reader.stays_with(FAR, "printf 'nameser' > resolv.conf");
    reader.stays_with(FAR, "printf 'nameserver 127.0.0.5x\\nnameserver\\n' > resolv.conf");
    reader.stays_with(FAR, "head -c 100000 /dev/zero > resolv.conf");
    reader.stays_with(FAR, "rm resolv.conf");
    reader.stays_with(FAR, "mkdir resolv.conf");
    // Whoever opens that without care waits for ever.
    reader.stays_with(FAR, "rmdir resolv.conf; mkfifo resolv.conf");
    reader.follows("rm resolv.conf; asks 127.0.0.53 > resolv.conf", NEAR);
}

pub(crate) fn what_was_written_while_the_daemon_was_away_holds(w: &World) {
    let mut reader = Reader::new(w);
    w.kill();
    w.host_asks(&[FAR]);
    w.start();
    assert_eq!(reader.answered_by(), FAR);
    w.stop();
    w.host_asks(&[NEAR]);
    w.start();
    assert_eq!(reader.answered_by(), NEAR);
    reader.follows("asks 192.0.2.2 > resolv.conf", FAR);
}
