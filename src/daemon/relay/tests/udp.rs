use super::*;

/// An endpoint that answers with what it hears, and from whose port.
fn echo(at: &str) -> SocketAddr {
    let socket = UdpSocket::bind(at).unwrap_or_else(|e| panic!("these tests need {at}: {e}"));
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let tagged = [&from.port().to_be_bytes(), &buffer[..length]].concat();
            // The longest there are have no room for more.
            let answer = if tagged.len() > 65_000 { &buffer[..length] } else { &tagged };
            socket.send_to(answer, from).unwrap();
        }
    });
    address
}

/// Asks, and returns who answered.
fn ask(client: &UdpSocket, at: SocketAddr, words: &[u8]) -> (u16, SocketAddr) {
    client.send_to(words, at).unwrap();
    hear(client, words)
}

/// The port that the endpoint saw, which tells flows apart, and the address that answered.
fn hear(client: &UdpSocket, words: &[u8]) -> (u16, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = client.recv_from(&mut buffer).unwrap_or_else(|e| panic!("no answer: {e}"));
    assert_eq!(&buffer[2..length], words);
    (u16::from_be_bytes([buffer[0], buffer[1]]), from)
}

#[track_caller]
fn relays(at: &str, asked: &str, endpoint: &str) {
    let world = World::new(LIMITS);
    let (served, _) = world.udp(at, echo(endpoint));
    let asked = SocketAddr::new(asked.parse().unwrap(), served.port());
    let client = bind(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
    for _ in 0..3 {
        assert_eq!(ask(&client, asked, b"hello").1, asked);
    }
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
fn the_hosts_own_address_reaches_an_endpoint_of_ipv6() {
    relays("[::1]:0", "::1", "[::1]:0");
}

#[track_caller]
fn answers_from_what_was_asked(at: &str) {
    let world = World::new(LIMITS);
    let (served, _) = world.udp(at, echo("[::1]:0"));
    let client = bind("127.0.0.1:0");
    let asked = |ip: &str| SocketAddr::new(ip.parse().unwrap(), served.port());
    let (one, two) = (asked("127.0.0.1"), asked("127.0.0.2"));
    let (first, from_one) = ask(&client, one, b"one");
    let (second, from_two) = ask(&client, two, b"two");
    assert_eq!((from_one, from_two), (one, two));
    assert_ne!(first, second, "each is a flow of its own");
    assert_eq!(ask(&client, one, b"again"), (first, one));
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    answers_from_what_was_asked("0.0.0.0:0");
}

#[test]
fn an_answer_leaves_from_the_ipv4_address_that_was_asked_of_a_socket_for_both() {
    answers_from_what_was_asked("[::]:0");
}

#[test]
fn a_socket_that_tells_no_address_is_served_too() {
    let world = World::new(LIMITS);
    let socket = bind("[::1]:0");
    let at = socket.local_addr().unwrap();
    let key = key(Protocol::Udp, at.port());
    world.relays.serve(key, socket.into(), echo("127.0.0.1:0"), Arc::new(Straight)).unwrap();
    assert_eq!(ask(&bind("[::1]:0"), at, b"hello").1, at);
}

#[test]
fn a_mapped_client_of_an_ipv4_endpoint_is_not_served() {
    let world = World::new(LIMITS);
    let endpoint = bind("127.0.0.1:0");
    let (served, _) = world.udp("[::]:0", endpoint.local_addr().unwrap());
    let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), served.port());
    bind("127.0.0.1:0").send_to(b"refused", at("127.0.0.1")).unwrap();
    bind("[::1]:0").send_to(b"welcome", at("::1")).unwrap();
    // They are taken in order.
    let mut heard = [0; 64];
    let length = endpoint.recv(&mut heard).unwrap();
    assert_eq!(&heard[..length], b"welcome");
    endpoint.set_nonblocking(true).unwrap();
    assert_eq!(endpoint.recv(&mut heard).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn the_longest_datagram_passes_both_ways_and_so_does_the_empty_one() {
    let world = World::new(LIMITS);
    let (at, _) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    let client = bind("[::1]:0");
    ask(&client, at, b"");
    let longest: Vec<u8> = (0..65_507_u32).map(|n| (n % 251) as u8).collect();
    client.send_to(&longest, at).unwrap();
    let mut heard = vec![0; 64 << 10];
    let length = client.recv(&mut heard).unwrap();
    assert!(heard[..length] == longest, "{length} bytes came back of {}", longest.len());
}

#[test]
fn many_clients_at_once_hear_their_own_answers() {
    let world = World::new(LIMITS);
    let (at, _) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    let clients: Vec<_> = (0..200).map(|_| bind("[::1]:0")).collect();
    let begun = Instant::now();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(format!("client {number}").as_bytes(), at).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        hear(client, format!("client {number}").as_bytes());
    }
    println!("a flow: {:?}", begun.elapsed() / 200);
    let begun = Instant::now();
    for _ in 0..5000 {
        ask(&clients[0], at, b"again");
    }
    println!("a datagram there and back: {:?}", begun.elapsed() / 5000);
    assert_eq!(flows(&world), 200);
}

fn flows(world: &World) -> usize {
    world.relays.shared.limits.flows_in_all - world.relays.shared.flows.available_permits()
}

#[test]
fn a_flow_ends_when_it_was_idle_for_long_enough() {
    let idle = Duration::from_secs(1);
    let world = World::new(Limits { idle, ..LIMITS });
    let (at, _) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    let (busy, quiet) = (bind("[::1]:0"), bind("[::1]:0"));
    let (flow, _) = ask(&busy, at, b"busy");
    let begun = Instant::now();
    ask(&quiet, at, b"quiet");
    assert_eq!(flows(&world), 2);
    let (mut asked, mut stalled) = (begun, false);
    until("only the busy one is left", || {
        let (now, _) = ask(&busy, at, b"busy");
        // This machine may have been too busy to ask in time.
        stalled |= asked.elapsed() >= idle;
        assert!(now == flow || stalled, "a busy flow was ended");
        asked = Instant::now();
        flows(&world) == 1
    });
    assert!(begun.elapsed() >= idle, "it ended after {:?}", begun.elapsed());
    until("none is left", || flows(&world) == 0);
    ask(&quiet, at, b"anew");
}

#[test]
fn answers_alone_keep_a_flow() {
    let idle = Duration::from_secs(1);
    let world = World::new(Limits { idle, ..LIMITS });
    let endpoint = bind("127.0.0.1:0");
    let (at, _) = world.udp("[::1]:0", endpoint.local_addr().unwrap());
    let client = bind("[::1]:0");
    client.send_to(b"tell me", at).unwrap();
    let (_, flow) = endpoint.recv_from(&mut [0; 64]).unwrap();
    let (begun, mut told, mut stalled) = (Instant::now(), Instant::now(), false);
    until("it has lasted longer than an idle one", || {
        endpoint.send_to(b"news", flow).unwrap();
        stalled |= told.elapsed() >= idle;
        told = Instant::now();
        assert!(client.recv(&mut [0; 64]).is_ok() || stalled, "the flow was ended");
        stalled || begun.elapsed() > idle * 2
    });
}

#[test]
fn the_flow_that_was_idle_longest_makes_room() {
    let world = World::new(Limits { flows: 2, ..LIMITS });
    let (at, _) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    let clients = [bind("[::1]:0"), bind("[::1]:0"), bind("[::1]:0")];
    let (first, _) = ask(&clients[0], at, b"one");
    ask(&clients[1], at, b"two");
    ask(&clients[0], at, b"one again");
    ask(&clients[2], at, b"three");
    assert_eq!(flows(&world), 2);
    assert_eq!(ask(&clients[0], at, b"one still").0, first);
    ask(&clients[1], at, b"two anew");
    assert_eq!(flows(&world), 2);
}

#[test]
fn all_ports_together_have_their_bound_of_flows() {
    let world = World::new(Limits { flows_in_all: 2, ..LIMITS });
    let (at, _) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    let clients = [bind("[::1]:0"), bind("[::1]:0"), bind("[::1]:0")];
    for client in &clients {
        ask(client, at, b"hello");
    }
    assert_eq!(flows(&world), 2);
    // A port that has no flow of its own to give up waits for others to leave theirs.
    let (other, _) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    clients[0].send_to(b"lost", other).unwrap();
    world.relays.end(&key(Protocol::Udp, at.port()));
    until("there is room again", || {
        clients[1].set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        clients[1].send_to(b"hello", other).unwrap();
        clients[1].recv(&mut [0; 64]).is_ok()
    });
}

#[test]
fn an_endpoint_that_refuses_is_served_when_it_listens() {
    let world = World::new(LIMITS);
    // An address that no other test uses, so that nobody takes the port meanwhile.
    let gone = bind("127.0.0.77:0");
    let to = gone.local_addr().unwrap();
    drop(gone);
    let (at, _) = world.udp("[::1]:0", to);
    let client = bind("[::1]:0");
    for _ in 0..5 {
        client.send_to(b"is anybody there?", at).unwrap();
    }
    until("the flow is open", || flows(&world) == 1);
    echo(&to.to_string());
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    until("it is answered", || {
        client.send_to(b"is anybody there?", at).unwrap();
        client.recv(&mut [0; 64]).is_ok()
    });
    assert_eq!(flows(&world), 1);
}

/// Fails once.
struct Stumbling(Mutex<Option<io::Error>>);

impl Dial for Stumbling {
    fn dial(&self, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        match self.0.lock().unwrap().take() {
            Some(error) => Err(error),
            None => socket::fixture::dial(protocol, to),
        }
    }
}

#[test]
fn a_flow_that_cannot_be_opened_keeps_nobody_from_the_next() {
    let world = World::new(LIMITS);
    let socket = bind("[::1]:0");
    let at = socket.local_addr().unwrap();
    let dial = Arc::new(Stumbling(Mutex::new(Some(io::ErrorKind::NetworkUnreachable.into()))));
    let key = key(Protocol::Udp, at.port());
    world.relays.serve(key, socket.into(), echo("127.0.0.1:0"), dial.clone()).unwrap();
    let client = bind("[::1]:0");
    client.send_to(b"lost", at).unwrap();
    until("it failed", || dial.0.lock().unwrap().is_none());
    ask(&client, at, b"hello");
}

#[test]
fn the_end_closes_the_socket_and_its_flows() {
    let world = World::new(LIMITS);
    let (at, key) = world.udp("[::1]:0", echo("127.0.0.1:0"));
    ask(&bind("[::1]:0"), at, b"hello");
    world.relays.end(&key);
    bind(&at.to_string());
    assert_eq!((world.relays.count(), flows(&world)), (0, 0));
}
