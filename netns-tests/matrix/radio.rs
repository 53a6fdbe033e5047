//! All stations of a town, heard at once: what each of them says goes into the cell that it belongs to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::cells::Cell;
use super::model::Answer;
use crate::patience::stretched;
use crate::world::place::Place;

/// How long all have to be silent before silence is believed: what is dropped is never answered.
const SILENCE: Duration = Duration::from_millis(400);
/// How long the next answer that has to come is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Radio {
    stations: BTreeMap<String, Station>,
    said: Receiver<(String, String)>,
    says: Sender<(String, String)>,
}

struct Station {
    child: Child,
    input: Option<ChildStdin>,
}

impl Radio {
    pub(crate) fn new() -> Radio {
        let (says, said) = channel();
        Radio { stations: BTreeMap::new(), said, says }
    }

    /// A station in this place, which listens nowhere yet.
    #[track_caller]
    pub(crate) fn adds(&mut self, place: Place<'_>, name: &str) {
        let own = std::env::current_exe().expect("a running program has a path");
        let mut command = place.command(own.to_str().expect("the path of a test program is text"));
        command.args(["station", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start the station of {name}: {e}"));
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("its output is piped"));
        let (says, owner) = (self.says.clone(), name.to_string());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody hears it once the story is over.
                drop(says.send((owner.clone(), line)));
            }
        });
        self.stations.insert(name.to_string(), Station { child, input });
    }

    #[track_caller]
    pub(crate) fn listens(&mut self, name: &str, at: SocketAddr) {
        self.tell(name, &format!("listen {at}\n"));
        loop {
            let said = self.said.recv_timeout(stretched(PATIENCE));
            let (who, line) = said.unwrap_or_else(|e| panic!("{name} does not listen at {at}: {e}"));
            if who == name && line == "listening" {
                return;
            }
        }
    }

    #[track_caller]
    fn tell(&mut self, name: &str, text: &str) {
        let station = self.stations.get_mut(name).unwrap_or_else(|| panic!("{name} has no station"));
        let input = station.input.as_mut().expect("it is open until the end");
        input.write_all(text.as_bytes()).unwrap_or_else(|e| panic!("tell {name}: {e}"));
    }

    /// All calls at once, until all that have to be answered are, and silence after that.
    #[track_caller]
    pub(crate) fn round(&mut self, cells: &mut [Cell]) {
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for (nonce, cell) in cells.iter().enumerate() {
            *texts.entry(cell.caller).or_default() += &cell.line(nonce);
        }
        let names: Vec<String> = texts.keys().map(ToString::to_string).collect();
        for (name, text) in &texts {
            self.tell(name, &format!("{text}go\n"));
        }
        self.hears(cells);
        for name in &names {
            self.tell(name, "enough\n");
        }
        let mut quiet = 0;
        while quiet < names.len() {
            let (name, line) =
                self.said.recv_timeout(stretched(PATIENCE)).expect("every station becomes quiet");
            quiet += usize::from(line == "quiet");
            note(cells, &name, &line);
        }
    }

    fn hears(&mut self, cells: &mut [Cell]) {
        let mut awaited = cells.iter().filter(|cell| cell.expected.is_some()).count();
        let mut deadline = Instant::now() + stretched(PATIENCE);
        loop {
            match self.said.recv_timeout(stretched(SILENCE)) {
                Ok((name, line)) if note(cells, &name, &line) => {
                    awaited -= 1;
                    deadline = Instant::now() + stretched(PATIENCE);
                }
                Err(RecvTimeoutError::Timeout) if awaited == 0 => return,
                Ok(_) | Err(_) => (),
            }
            if Instant::now() > deadline {
                return;
            }
        }
    }
}

/// True for an answer that was awaited.
fn note(cells: &mut [Cell], station: &str, line: &str) -> bool {
    let mut words = line.splitn(3, ' ');
    let (Some(kind), Some(nonce)) = (words.next(), words.next()) else { return false };
    let Some(cell) = nonce.parse().ok().and_then(|n: usize| cells.get_mut(n)) else {
        panic!("{station} said {line:?}")
    };
    let rest: Vec<&str> = words.next().unwrap_or("").split(' ').collect();
    match (kind, &rest[..]) {
        ("arrived", [port]) => {
            cell.arrived.insert(Answer { who: station.into(), port: port.parse().expect("a port") });
            false
        }
        ("answer", [who, port, seen]) => {
            let answer = Answer { who: (*who).into(), port: port.parse().expect("a port") };
            let awaited = cell.expected.is_some() && cell.answered.is_none();
            cell.answered = Some((answer, (*seen).to_string()));
            awaited
        }
        ("failed", _) => {
            cell.why = rest.join(" ");
            false
        }
        _ => panic!("{station} said {line:?}"),
    }
}

impl Drop for Radio {
    fn drop(&mut self) {
        for station in self.stations.values_mut() {
            drop(station.input.take());
        }
        for station in self.stations.values_mut() {
            drop(station.child.wait());
        }
    }
}
