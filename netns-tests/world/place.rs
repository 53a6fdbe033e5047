//! A network namespace of the machine's, seen with other people's tools: the host's own, the neighbour's, a container's.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::World;
use super::background::Background;
use super::said::{Said, eventually, only_if};
use crate::patience::{milliseconds, seconds};

/// How long a silence has to last to be one. What is dropped is never answered, so only a probe that fails waits for it.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// How long an answer is waited for.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
pub(crate) struct Place<'w> {
    pub(super) world: &'w World,
    pub(super) netns: Option<&'w str>,
}

impl<'w> Place<'w> {
    pub(crate) fn command(self, program: &str) -> Command {
        self.world.machine.command(self.netns, program)
    }

    /// A program that has to end by itself, before long.
    pub(crate) fn brief(self, program: &str) -> Command {
        self.world.machine.brief(self.netns, program)
    }

    /// Words between spaces are its arguments; there is no shell.
    pub(crate) fn tries(self, line: &str) -> Said {
        let mut words = line.split_whitespace();
        let mut command = self.brief(words.next().expect("a command has a name"));
        command.args(words);
        Said::by(self.named(line), command)
    }

    #[track_caller]
    pub(crate) fn run(self, line: &str) -> String {
        self.tries(line).well().out
    }

    #[track_caller]
    pub(crate) fn shell(self, script: &str) -> String {
        let mut command = self.brief("bash");
        command.args(["-ec", script]);
        Said::by(self.named(script), command).well().out
    }

    #[track_caller]
    pub(crate) fn run_python(self, script: &str) -> String {
        self.tries_python(script).well().out
    }

    pub(crate) fn tries_python(self, script: &str) -> Said {
        let mut command = self.brief("python3");
        command.args(["-c", script]);
        Said::by(self.named("python3"), command)
    }

    /// A program in Python that runs on beside us, once it has said this.
    #[track_caller]
    pub(crate) fn starts_python(self, script: &str, ready: &str) -> Background {
        let mut command = self.command("python3");
        let mut program = Background::start(self.named("python3"), command.args(["-c", script]));
        program.wait_for_line(ready);
        program
    }

    /// Runs on beside us until it is dropped or waited for.
    #[track_caller]
    pub(crate) fn starts(self, line: &str) -> Background {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().expect("a command has a name"));
        Background::start(self.named(line), command.args(words))
    }

    /// `ip -j -d ...`, without the empty objects that it prints for what it filtered out.
    #[track_caller]
    pub(crate) fn ip(self, line: &str) -> Vec<Value> {
        let said = self.tries(&format!("ip -j -d {line}")).well();
        let Value::Array(all) = said.json() else { panic!("no list from {said}") };
        let full = |v: &Value| v.as_object().is_some_and(|o| !o.is_empty());
        all.into_iter()
            .filter(full)
            .map(|mut object| {
                if let Some(list) = object["addr_info"].as_array_mut() {
                    list.retain(full);
                }
                object
            })
            .collect()
    }

    /// A link as `ip` sees it, or None where there is none of that name.
    pub(crate) fn link(self, name: &str) -> Option<Value> {
        let said = self.tries(&format!("ip -j -d link show dev {name}"));
        (said.code == 0).then(|| said.json()[0].clone())
    }

    /// The addresses of a link with their prefix lengths, link-local ones left out.
    pub(crate) fn addresses(self, link: &str) -> Vec<String> {
        let all = self.ip(&format!("addr show dev {link}"));
        let infos = all.iter().flat_map(|l| l["addr_info"].as_array().cloned().unwrap_or_default());
        let global = infos.filter(|info| info["scope"] == "global");
        global.map(|i| format!("{}/{}", i["local"].as_str().unwrap_or("?"), i["prefixlen"])).collect()
    }

    /// Where packets for everywhere go: `10.9.0.1 dev eth0`.
    pub(crate) fn default_route(self, family: &str) -> Option<String> {
        let all = self.ip(&format!("{family} route show default"));
        let text = |route: &Value, key: &str| route[key].as_str().unwrap_or("?").to_string();
        all.first().map(|route| format!("{} dev {}", text(route, "gateway"), text(route, "dev")))
    }

    pub(crate) fn pings(self, to: &str) -> bool {
        self.ping(ANSWER, to).code == 0
    }

    #[track_caller]
    pub(crate) fn reaches(self, to: &str) {
        // A peer that could not be found a moment ago is not looked for again at once; that is the kernel's way.
        eventually("it is reached", || {
            let said = self.ping(ANSWER, to);
            only_if(said.code == 0, said)
        });
    }

    /// No answer, and not even a packet refused on the way: silence.
    #[track_caller]
    pub(crate) fn does_not_reach(self, to: &str) {
        let said = self.ping(SILENCE, to);
        assert!(said.code != 0, "wanted silence from {said}");
    }

    /// Once, with more options of ping's before whom it is for: `-I eth1 10.9.0.2`.
    pub(crate) fn ping(self, patience: Duration, to: &str) -> Said {
        self.tries(&format!("ping -n -q -c 1 -W {} {to}", seconds(patience)))
    }

    /// Listens on a TCP port, and tells every caller which address it saw.
    #[track_caller]
    pub(crate) fn serves(self, port: u16) -> Background {
        let mut command = self.witness();
        let mut server = Background::start(self.named("serve"), command.args(["serve", &port.to_string()]));
        server.wait_for_line("ready");
        server
    }

    /// The same at one address only: `192.0.2.1:80`.
    #[track_caller]
    pub(crate) fn serves_at(self, address: &str) -> Background {
        let mut command = self.witness();
        let mut server = Background::start(self.named("serve"), command.args(["serve", address]));
        server.wait_for_line("ready");
        server
    }

    /// Echoes whatever comes on a TCP port.
    #[track_caller]
    pub(crate) fn echoes(self, port: u16) -> Background {
        let mut command = self.witness();
        let mut server = Background::start(self.named("echo"), command.args(["echo", &port.to_string()]));
        server.wait_for_line("ready");
        server
    }

    /// A conversation over one TCP connection that ends when asked to.
    #[track_caller]
    pub(crate) fn talks_to(self, address: &str, port: u16) -> Background {
        let mut command = self.witness();
        command.args(["talk", address, &port.to_string()]);
        let mut talk = Background::start(self.named("talk"), &mut command);
        talk.wait_for_line("connected");
        talk
    }

    /// Whether a server could have this address and port: `tcp`, `0.0.0.0:8080`.
    pub(crate) fn binds(self, kind: &str, address: &str) -> Said {
        let mut command = self.witness();
        command.args(["bind", kind, address]);
        Said::by(self.named(&format!("bind {kind} {address}")), command)
    }

    /// Answers on a UDP port, under a name.
    #[track_caller]
    pub(crate) fn answers_udp(self, name: &str, port: u16) -> Background {
        let mut command = self.witness();
        command.args(["udp-serve", name, &port.to_string()]);
        let mut server = Background::start(self.named("udp-serve"), &mut command);
        server.wait_for_line("ready");
        server
    }

    /// Sends to a UDP port for ever, and notes who answers.
    #[track_caller]
    pub(crate) fn streams_to(self, address: &str, port: u16) -> Background {
        let mut command = self.witness();
        command.args(["udp-stream", address, &port.to_string()]);
        let mut stream = Background::start(self.named("udp-stream"), &mut command);
        stream.wait_for_line("connected");
        stream
    }

    /// Who answers on a UDP port, and which address it saw: `web 192.0.2.2`.
    #[track_caller]
    pub(crate) fn asks_udp(self, address: &str, port: u16) -> String {
        eventually("it is answered", || {
            let said = self.ask_udp(address, port, ANSWER);
            let words = said.out.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            if said.code == 0 { Ok(words) } else { Err(said.to_string()) }
        })
    }

    #[track_caller]
    pub(crate) fn gets_no_udp(self, address: &str, port: u16) {
        let said = self.ask_udp(address, port, SILENCE);
        assert!(said.code != 0, "wanted no answer from {said}");
    }

    fn ask_udp(self, address: &str, port: u16, patience: Duration) -> Said {
        let mut command = self.witness();
        command.args(["udp-ask", address, &port.to_string(), &milliseconds(patience)]);
        Said::by(self.named(&format!("udp-ask {address} {port}")), command)
    }

    /// Asks from a port of its own, briefly.
    pub(crate) fn asks_udp_from(self, own: u16, address: &str, port: u16) -> Said {
        let mut command = self.witness();
        command.args(["udp-ask-from", &own.to_string(), address, &port.to_string(), &milliseconds(SILENCE)]);
        Said::by(self.named(&format!("udp-ask-from {own} {address} {port}")), command)
    }

    /// Takes in what is sent to a TCP port.
    #[track_caller]
    pub(crate) fn swallows(self, port: u16) -> Background {
        let mut command = self.witness();
        let mut server =
            Background::start(self.named("swallow"), command.args(["swallow", &port.to_string()]));
        server.wait_for_line("ready");
        server
    }

    /// How long so many kilobytes took to arrive.
    #[track_caller]
    pub(crate) fn sends(self, address: &str, port: u16, kbytes: u64) -> Duration {
        let mut command = self.witness();
        command.args(["send", address, &port.to_string(), &kbytes.to_string()]);
        let said = Said::by(self.named(&format!("send {kbytes} kB to {address} {port}")), command).well();
        Duration::from_micros(said.out.trim().parse().expect("it says how long it took"))
    }

    /// Tries to hold conversations, over and over.
    #[track_caller]
    pub(crate) fn keeps_calling(self, address: &str, port: u16) -> Background {
        let mut command = self.witness();
        command.args(["keep-calling", address, &port.to_string()]);
        let mut caller = Background::start(self.named("keep-calling"), &mut command);
        caller.wait_for_line("connected");
        caller
    }

    /// Which address a server saw us come from.
    #[track_caller]
    pub(crate) fn seen_by(self, address: &str, port: u16) -> String {
        eventually("it is answered", || {
            let said = self.fetch(address, port, ANSWER);
            if said.code == 0 { Ok(said.out.trim().to_string()) } else { Err(said.to_string()) }
        })
    }

    #[track_caller]
    pub(crate) fn fetches(self, address: &str, port: u16) {
        self.seen_by(address, port);
    }

    #[track_caller]
    pub(crate) fn does_not_fetch(self, address: &str, port: u16) {
        let said = self.fetch(address, port, SILENCE);
        assert!(said.code != 0, "wanted no answer from {said}");
    }

    fn fetch(self, address: &str, port: u16, patience: Duration) -> Said {
        let mut command = self.witness();
        command.args(["fetch", address, &port.to_string(), &milliseconds(patience)]);
        Said::by(self.named(&format!("fetch {address} {port}")), command)
    }

    /// The part of a peer that says when it is ready.
    #[track_caller]
    pub(super) fn plays(self, part: &str, args: &[&str]) -> Background {
        let mut peer = self.starts_to_play(part, args);
        peer.wait_for_line("ready");
        peer
    }

    #[track_caller]
    pub(super) fn starts_to_play(self, part: &str, args: &[&str]) -> Background {
        let mut command = self.witness();
        Background::start(self.named(part), command.arg(part).args(args))
    }

    /// This test program, in the part of a peer.
    fn witness(self) -> Command {
        let own = std::env::current_exe().expect("a running program has a path");
        let mut command = self.command(own.to_str().expect("the path of a test program is text"));
        command.arg("witness").stdin(Stdio::piped());
        command
    }

    fn named(self, line: &str) -> String {
        match self.netns {
            None => line.to_string(),
            Some(netns) => format!("[{netns}] {line}"),
        }
    }
}
