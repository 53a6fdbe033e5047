//! Names as others see them: `dig`, somebody who asks quickly, somebody who asks by the clock, and a name server.

mod ask;
mod stub;
mod wire;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::World;
use super::background::Background;
use super::place::Place;
use super::said::{Said, eventually, only_if};

/// Where containers ask.
pub(crate) const RESOLVER: &str = "127.0.0.11";

/// The parts of a witness that have to do with names.
pub(super) fn witness(part: &str, args: &[String]) -> io::Result<()> {
    match (part, args) {
        ("dns-ask", [server]) => ask::converse(server),
        ("dns-clock", [server, rate, names @ ..]) => ask::talk_by_the_clock(server, rate, names),
        ("dns-stub", [address, number, log]) => stub::serve(address, number, log),
        _ => Err(io::Error::other(format!("no part like {part} {args:?}"))),
    }
}

/// What `dig` printed.
#[derive(Debug)]
pub(crate) struct Dig {
    pub(crate) status: String,
    /// `qr aa rd ra`
    pub(crate) flags: Vec<String>,
    /// `web. 5 IN A 10.9.0.2`, in the order that they came in
    pub(crate) answers: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) text: String,
}

impl Dig {
    fn read(said: &Said) -> Dig {
        let after = |mark: &str, end: char| {
            let rest = said.out.split_once(mark).map_or("", |(_, rest)| rest);
            rest.split(end).next().unwrap_or_default().trim().to_string()
        };
        let section = |name: &str| -> Vec<String> {
            let head = format!(";; {name} SECTION:\n");
            let rest = said.out.split_once(&head).map_or("", |(_, rest)| rest);
            let lines = rest.lines().take_while(|line| !line.is_empty());
            lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        Dig {
            status: after("status: ", ','),
            flags: after(";; flags: ", ';').split(' ').map(str::to_string).collect(),
            answers: section("ANSWER"),
            authority: section("AUTHORITY"),
            text: said.to_string(),
        }
    }

    /// The last word of each answer, sorted: addresses, or names.
    pub(crate) fn found(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.answers.iter().filter_map(|line| line.rsplit(' ').next()).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }
}

/// What came of a question.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// `NOTHING`, and why, where none came.
    pub(crate) status: String,
    pub(crate) took: Duration,
    /// `A 5 10.9.0.2`
    pub(crate) records: Vec<String>,
}

impl Answer {
    /// The records' data in the order that they came in.
    pub(crate) fn data(&self) -> Vec<&str> {
        self.records.iter().filter_map(|record| record.splitn(3, ' ').nth(2)).collect()
    }

    pub(crate) fn ttl(&self) -> Option<u32> {
        self.records.first()?.split(' ').nth(1)?.parse().ok()
    }
}

/// Somebody inside who asks without the time that it takes to start a program.
pub(crate) struct Asker(Background);

impl Asker {
    #[track_caller]
    pub(crate) fn ask(&mut self, name: &str, kind: &str) -> Answer {
        self.asks(name, kind, "udp")
    }

    #[track_caller]
    pub(crate) fn ask_by_tcp(&mut self, name: &str, kind: &str) -> Answer {
        self.asks(name, kind, "tcp")
    }

    /// The addresses of a name, sorted; what is said instead where it has none.
    #[track_caller]
    pub(crate) fn finds(&mut self, name: &str) -> Vec<String> {
        let answer = self.ask(name, "A");
        let mut all: Vec<String> = answer.data().into_iter().map(str::to_string).collect();
        all.sort_unstable();
        if all.is_empty() { vec![answer.status] } else { all }
    }

    #[track_caller]
    fn asks(&mut self, name: &str, kind: &str, over: &str) -> Answer {
        self.0.tell(&format!("{name} {kind} {over}"));
        let line = self.0.wait_for_line("\t");
        let mut parts = line.trim_end_matches('\n').split('\t');
        let mut next = || parts.next().unwrap_or_default().to_string();
        let (status, took) = (next(), next());
        let took = Duration::from_micros(took.parse().expect("it says how long it took"));
        let records = parts.filter(|record| !record.is_empty()).map(str::to_string).collect();
        Answer { status, took, records }
    }
}

/// Somebody inside who asks by the clock.
pub(crate) struct Clock(Background);

/// How long the answers took.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
}

impl Clock {
    /// Goes on until so many hundred more were answered.
    #[track_caller]
    pub(crate) fn hears(&mut self, hundreds: usize) {
        for _ in 0..hundreds {
            self.0.wait_for_line("answered");
        }
    }

    /// Every question has been answered, and with an address.
    #[track_caller]
    pub(crate) fn ends(self) -> Tally {
        let said = self.0.ends().well();
        let line = said.out.lines().last().unwrap_or_default();
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [sent, lost, wrong, p50, p99, longest] = numbers[..] else { panic!("no tally from {said}") };
        assert!(sent > 0 && lost == 0 && wrong == 0, "of {sent} {lost} are lost, {wrong} are wrong: {said}");
        let [p50, p99, longest] = [p50, p99, longest].map(Duration::from_micros);
        Tally { p50, p99, longest }
    }
}

/// A name server, and what it was asked.
pub(crate) struct Stub {
    _running: Background,
    log: PathBuf,
}

/// One question that a name server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// `udp` or `tcp`
    pub(crate) over: String,
    pub(crate) from: String,
    pub(crate) port: u16,
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) kind: String,
}

impl Stub {
    pub(crate) fn heard(&self) -> Vec<Heard> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let heard = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [over, from, port, id, name, kind] = words[..] else { return None };
            let [over, from, name, kind] = [over, from, name, kind].map(str::to_string);
            Some(Heard { over, from, name, kind, port: port.parse().ok()?, id: id.parse().ok()? })
        };
        text.lines().filter_map(heard).collect()
    }

    /// How often it was asked about this, in whatever case.
    pub(crate) fn heard_of(&self, name: &str) -> usize {
        self.heard().iter().filter(|heard| heard.name.eq_ignore_ascii_case(name)).count()
    }
}

impl Place<'_> {
    /// Asks 127.0.0.11 once, as in `dig -t AAAA web`.
    #[track_caller]
    pub(crate) fn digs(self, line: &str) -> Dig {
        self.digs_at(RESOLVER, line)
    }

    #[track_caller]
    pub(crate) fn digs_at(self, server: &str, line: &str) -> Dig {
        Dig::read(&self.tries(&format!("dig @{server} +tries=1 +time=5 {line}")))
    }

    #[track_caller]
    pub(crate) fn asker(self) -> Asker {
        Asker(self.plays("dns-ask", &[&format!("{RESOLVER}:53")]))
    }

    /// Asks 127.0.0.11 for these names in turn, so many times a second.
    #[track_caller]
    pub(crate) fn asks_by_the_clock(self, rate: u32, names: &[&str]) -> Clock {
        let (server, rate) = (format!("{RESOLVER}:53"), rate.to_string());
        let mut clock = Clock(self.starts_to_play("dns-clock", &[&[server.as_str(), &rate], names].concat()));
        clock.hears(1);
        clock
    }

    /// A name server at this address that answers with 198.51.100.NUMBER. See [`stub`] for its other answers.
    #[track_caller]
    pub(crate) fn serves_names(self, address: &str, number: u8) -> Stub {
        let log = self.world.scratch.path().join(format!("stub-{number}"));
        let path = log.to_str().expect("the path of a directory of ours is text");
        let running = self.plays("dns-stub", &[address, &number.to_string(), path]);
        Stub { _running: running, log }
    }
}

impl World {
    /// Who keeps the daemon's sockets while the daemon is away, by the numbers that they have inside.
    pub(crate) fn keepers(&self) -> Vec<String> {
        let keepers = self.machine.processes().into_iter().filter(|line| line.contains(") bowline keeper "));
        keepers.map(|line| line.split(' ').next().unwrap_or_default().to_string()).collect()
    }

    /// With the daemon dead as well, nothing is kept for the next one.
    pub(crate) fn kill_keepers(&self) {
        for keeper in self.keepers() {
            self.host().run(&format!("kill -9 {keeper}"));
        }
        eventually("nobody keeps anything", || {
            let left = self.keepers();
            only_if(left.is_empty(), format!("{left:?}"))
        });
    }

    /// Writes the host's resolv.conf in place.
    #[track_caller]
    pub(crate) fn host_asks(&self, servers: &[&str]) {
        let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        fs::write(self.machine.path("/etc/resolv.conf"), lines).expect("write the host's resolv.conf");
    }
}
