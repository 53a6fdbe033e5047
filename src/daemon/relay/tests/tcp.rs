use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::*;

/// Says something, and expects to hear it back and then the end.
fn ask(mut stream: &TcpStream, words: &str) {
    stream.write_all(words.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, words);
}

/// Says a byte and hears it back, with the connection left open.
fn is_served(mut stream: &TcpStream) -> bool {
    let mut heard = [0];
    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut heard)).is_ok()
}

/// Bytes that tell where they belong.
fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A relay, a client of it, and the endpoint's side of the connection.
fn pair(world: &World) -> (TcpStream, TcpStream) {
    let (listener, to) = listen("127.0.0.1:0");
    let (at, _) = world.tcp("[::1]:0", to);
    let client = connect(at);
    (client, patient(listener.accept().unwrap().0))
}

#[track_caller]
fn relays(at: &str, reached_at: &str, endpoint: &str) {
    let world = World::new(LIMITS);
    let (served, _) = world.tcp(at, echo(endpoint));
    let client = connect(SocketAddr::new(reached_at.parse().unwrap(), served.port()));
    ask(&client, "hello");
}

#[test]
fn ipv6_reaches_an_endpoint_of_ipv4() {
    relays("[::1]:0", "::1", "127.0.0.1:0");
}

#[test]
fn ipv4_reaches_an_endpoint_of_ipv6() {
    relays("127.0.0.1:0", "127.0.0.1", "[::1]:0");
}

#[test]
fn ipv4_reaches_an_endpoint_of_ipv6_by_a_socket_for_both() {
    relays("[::ffff:127.0.0.1]:0", "127.0.0.1", "[::1]:0");
}

#[test]
fn the_hosts_own_address_reaches_an_endpoint_of_ipv6() {
    relays("[::1]:0", "::1", "[::1]:0");
}

#[track_caller]
fn refuses_ipv4(at: &str) {
    let world = World::new(LIMITS);
    let (listener, to) = listen("127.0.0.1:0");
    let (served, _) = world.tcp(at, to);
    let client = connect(SocketAddr::new("127.0.0.1".parse().unwrap(), served.port()));
    assert!(is_reset(&client), "IPv4 is not refused");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "the endpoint was reached");
}

#[test]
fn a_mapped_client_of_an_ipv4_endpoint_is_refused() {
    refuses_ipv4("[::ffff:127.0.0.1]:0");
}

#[test]
fn an_ipv4_client_of_an_ipv4_endpoint_is_refused() {
    refuses_ipv4("127.0.0.1:0");
}

#[test]
fn each_direction_ends_by_itself() {
    let world = World::new(LIMITS);
    for client_first in [true, false] {
        let (client, server) = pair(&world);
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        second.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "question");
        second.write_all(b"answer").unwrap();
        let mut part = [0; 6];
        first.read_exact(&mut part).unwrap();
        second.write_all(b" and more").unwrap();
        drop(second);
        heard.clear();
        first.read_to_string(&mut heard).unwrap();
        assert_eq!((&part, heard.as_str()), (b"answer", " and more"));
    }
    let all = world.relays.shared.limits.connections_in_all;
    until("what ended is not counted", || world.relays.shared.connections.available_permits() == all);
}

#[test]
fn much_passes_both_ways_at_once_and_arrives_as_it_was() {
    const LENGTH: usize = 10 << 20;
    let world = World::new(LIMITS);
    let (client, server) = pair(&world);
    let begun = Instant::now();
    let talk = |stream: TcpStream, says: u32, hears: u32| {
        let writer = stream.try_clone().unwrap();
        let speaking = thread::spawn(move || {
            (&writer).write_all(&pattern(says, LENGTH)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        thread::spawn(move || {
            let mut heard = Vec::new();
            (&stream).read_to_end(&mut heard).unwrap();
            speaking.join().unwrap();
            assert_eq!(heard.len(), LENGTH);
            assert!(heard == pattern(hears, LENGTH), "what arrived is not what was sent");
        })
    };
    let (one, other) = (talk(client, 1, 2), talk(server, 2, 1));
    one.join().unwrap();
    other.join().unwrap();
    println!("10 MiB each way: {:?}", begun.elapsed());
}

#[test]
fn who_reads_late_misses_nothing() {
    const LENGTH: usize = 32 << 20;
    let world = World::new(LIMITS);
    let (client, server) = pair(&world);
    let (tell, stuck) = mpsc::channel();
    let speaking = thread::spawn(move || {
        // As much as all buffers on the way take, and then the rest.
        server.set_nonblocking(true).unwrap();
        let data = pattern(7, LENGTH);
        let mut sent = 0;
        let mut waited = Instant::now();
        while waited.elapsed() < Duration::from_millis(200) {
            match (&server).write(&data[sent..]) {
                Ok(length) => (sent, waited) = (sent + length, Instant::now()),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        tell.send(sent).unwrap();
        server.set_nonblocking(false).unwrap();
        (&server).write_all(&data[sent..]).unwrap();
    });
    assert!(stuck.recv().unwrap() < LENGTH, "nothing holds the sender back");
    let mut heard = Vec::new();
    (&client).read_to_end(&mut heard).unwrap();
    speaking.join().unwrap();
    assert!(heard == pattern(7, LENGTH), "what arrived is not what was sent");
}

#[test]
fn an_endpoint_that_refuses_resets_its_client() {
    let world = World::new(LIMITS);
    // The port is known to be nobody's, since it is held and does not listen.
    let held = bind("127.0.0.1:0");
    let (at, _) = world.tcp("[::1]:0", held.local_addr().unwrap());
    assert!(is_reset(&connect(at)));
}

#[test]
fn an_endpoint_that_is_silent_resets_its_client_in_time() {
    let world = World::new(Limits { connect: Duration::from_millis(100), ..LIMITS });
    let (listener, to) = listen("127.0.0.1:0");
    socket::fixture::shorten_queue(&listener);
    let _waits = connect(to);
    let (at, _) = world.tcp("[::1]:0", to);
    assert!(is_reset(&connect(at)));
}

#[test]
fn a_reset_passes_on_and_what_was_said_before_it_too() {
    let world = World::new(LIMITS);
    let (mut client, mut server) = pair(&world);
    client.write_all(b"nobody reads this").unwrap();
    until("it waits at the endpoint", || server.peek(&mut [0]).is_ok_and(|length| length > 0));
    server.write_all(b"go away").unwrap();
    // What is closed with something unread is reset.
    drop(server);
    let mut heard = [0; 7];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"go away");
    assert!(is_reset(&client));
}

#[test]
fn who_cannot_be_told_any_more_is_heard_to_the_end() {
    let world = World::new(LIMITS);
    let (mut client, mut server) = pair(&world);
    client.write_all(b"nobody reads this").unwrap();
    until("it waits at the endpoint", || server.peek(&mut [0]).is_ok_and(|length| length > 0));
    world.behind_its_back(|| {
        server.write_all(b"go away").unwrap();
        drop(server);
        client.write_all(b"nor this").unwrap();
    });
    let mut heard = [0; 7];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"go away");
    assert!(is_reset(&client));
}

#[test]
fn a_client_that_said_all_and_then_left_is_noticed() {
    let world = World::new(LIMITS);
    let (client, mut server) = pair(&world);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    client.set_nonblocking(true).unwrap();
    let _inside = world.runtime.enter();
    tokio::net::TcpStream::from_std(client).unwrap().set_zero_linger().unwrap();
    until("the endpoint hears of it", || server.take_error().unwrap().is_some());
}

#[test]
fn the_end_cuts_what_is_carried() {
    let world = World::new(LIMITS);
    let (listener, to) = listen("127.0.0.1:0");
    let (at, key) = world.tcp("[::1]:0", to);
    let mut client = connect(at);
    let mut server = patient(listener.accept().unwrap().0);
    client.write_all(b"?").unwrap();
    server.read_exact(&mut [0]).unwrap();
    world.relays.end(&key);
    assert_eq!(world.relays.count(), 0);
    let refused = TcpStream::connect(at).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "the socket is not closed");
    assert!(is_reset(&client) && is_reset(&server));
    // Twice is as good as once.
    world.relays.end(&key);
    let all = world.relays.shared.limits.connections_in_all;
    until("what was cut is not counted", || world.relays.shared.connections.available_permits() == all);
}

#[test]
fn a_later_one_takes_the_place_of_an_earlier_one() {
    let world = World::new(LIMITS);
    let (silent, to) = listen("127.0.0.1:0");
    let (at, key) = world.tcp("[::1]:0", to);
    let before = connect(at);
    let _server = silent.accept().unwrap();
    let again = TcpListener::bind("[::1]:0").unwrap();
    let now_at = again.local_addr().unwrap();
    world.relays.serve(key, again.into(), echo("127.0.0.1:0"), Arc::new(Straight)).unwrap();
    assert!(is_reset(&before));
    ask(&connect(now_at), "hello");
    assert_eq!(world.relays.count(), 1);
}

#[test]
fn what_is_no_longer_owned_ends() {
    let world = World::new(LIMITS);
    let (at, _) = world.tcp("[::1]:0", echo("127.0.0.1:0"));
    let client = connect(at);
    assert!(is_served(&client));
    let World { runtime, relays } = world;
    drop(relays);
    assert!(is_reset(&client));
    drop(runtime);
}

#[test]
fn thousands_are_served_one_after_the_other() {
    let world = World::new(LIMITS);
    let (at, _) = world.tcp("[::1]:0", echo("127.0.0.1:0"));
    let begun = Instant::now();
    for number in 0..2000 {
        ask(&connect(at), &format!("hello {number}"));
    }
    println!("a connection: {:?}", begun.elapsed() / 2000);
}

#[test]
fn a_port_has_its_bound_and_those_who_leave_make_room() {
    let world = World::new(Limits { connections: 3, ..LIMITS });
    let (at, _) = world.tcp("[::1]:0", echo("127.0.0.1:0"));
    let (other, _) = world.tcp("[::1]:0", echo("127.0.0.1:0"));
    let mut open: Vec<_> = (0..3).map(|_| connect(at)).collect();
    assert!(open.iter().all(is_served));
    assert!(is_reset(&connect(at)));
    assert!(is_served(&connect(other)), "another port has room of its own");
    assert!(open.iter().all(is_served));
    open.pop();
    until("there is room again", || is_served(&connect(at)));
}

#[test]
fn all_ports_together_have_their_bound() {
    let world = World::new(Limits { connections_in_all: 2, ..LIMITS });
    let (at, _) = world.tcp("[::1]:0", echo("127.0.0.1:0"));
    let (other, _) = world.tcp("[::1]:0", echo("127.0.0.1:0"));
    let open = [connect(at), connect(other)];
    assert!(open.iter().all(is_served));
    assert!(is_reset(&connect(at)) && is_reset(&connect(other)));
    drop(open);
    until("there is room again", || is_served(&connect(at)));
}

/// What the process below is told: where the endpoint is.
const ENDPOINT: &str = "BOWLINE_TEST_ENDPOINT";

#[test]
#[ignore = "the process without files that another test starts"]
fn without_files() {
    let Ok(to) = env::var(ENDPOINT) else { return };
    let world = World::new(LIMITS);
    let (at, _) = world.tcp("[::1]:0", to.parse().unwrap());
    let mut taken = Vec::new();
    let none_left = loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => break error,
        }
    };
    println!("\nserved at {at}: {none_left}");
    let mut lines = io::stdin().lines();
    assert_eq!(lines.next().unwrap().unwrap(), "let go");
    drop(taken);
    assert!(lines.next().is_none());
}

#[test]
fn without_files_it_waits_calmly_and_goes_on() {
    // A bound on files is for a whole process, so it needs one of its own.
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" relay::tests::tcp::without_files --exact --ignored --nocapture",
        ])
        .arg(env::current_exe().unwrap())
        .env(ENDPOINT, echo("127.0.0.1:0").to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find_map(|line| Some(line.strip_prefix("served at ")?.to_string())).unwrap();
    let (at, why) = said.split_once(": ").unwrap();
    assert!(why.contains("os error 24"), "its files ended with: {why}");
    let clients = [0; 3].map(|_| connect(at.parse().unwrap()));
    let (before, begun) = (ticks(child.id()), Instant::now());
    until("a while has passed", || begun.elapsed() > Duration::from_millis(500));
    let spent = ticks(child.id()) - before;
    assert!(spent < 10, "{spent} of 50 ticks of the clock were spent on waiting");
    let mut orders = child.stdin.take().unwrap();
    orders.write_all(b"let go\n").unwrap();
    assert!(clients.iter().all(is_served), "it does not go on");
    drop(orders);
    assert!(child.wait().unwrap().success());
}

/// The time that a process has worked for, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}
