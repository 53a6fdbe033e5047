//! The test program itself, run inside a namespace as somebody to talk to. It ends when its input does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::dns;
use crate::patience::stretched;

pub(crate) fn main(args: &[String]) -> ExitCode {
    let part = args.first().map(String::as_str);
    let outcome = match (part, &args[1..]) {
        (Some("serve"), [port]) => serve(port, |stream, from| writeln!(stream, "{from}")),
        (Some("echo"), [port]) => serve(port, |stream, _| {
            let mut copy = stream.try_clone()?;
            io::copy(stream, &mut copy).map(drop)
        }),
        (Some("fetch"), [address, port, ms]) => fetch(address, port, ms),
        (Some("talk"), [address, port]) => talk(address, port),
        (Some("bind"), [kind, address]) => bind(kind, address),
        (Some("udp-serve"), [name, port]) => udp_serve(name, port),
        (Some("udp-ask"), [address, port, ms]) => udp_ask("0", address, port, ms),
        (Some("udp-ask-from"), [own, address, port, ms]) => udp_ask(own, address, port, ms),
        (Some("swallow"), [port]) => serve(port, |stream, _| {
            io::copy(stream, &mut io::sink())?;
            stream.write_all(b"all")
        }),
        (Some("send"), [address, port, kbytes]) => send(address, port, kbytes),
        (Some("keep-calling"), [address, port]) => talk_again_and_again(address, port),
        (Some("udp-stream"), [address, port]) => udp_stream(address, port),
        (Some(part), rest) => dns::witness(part, rest),
        (None, _) => Err(io::Error::other("no part at all")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A port of both families by one socket, as Linux gives it, or `192.0.2.1:80`.
fn serve(port: &str, answer: fn(&mut TcpStream, IpAddr) -> io::Result<()>) -> io::Result<()> {
    let everywhere = || Ok::<_, io::Error>(SocketAddr::from((Ipv6Addr::UNSPECIFIED, number(port)?)));
    let listener = TcpListener::bind(port.parse().or_else(|_| everywhere())?)?;
    println!("ready");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || -> io::Result<()> {
                let mut stream = stream;
                let from = stream.peer_addr()?.ip().to_canonical();
                answer(&mut stream, from)
            });
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

fn fetch(address: &str, port: &str, ms: &str) -> io::Result<()> {
    let patience = Duration::from_millis(number(ms)?);
    let mut stream = TcpStream::connect_timeout(&socket_address(address, port)?, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    print!("{text}");
    if text.is_empty() { Err(io::Error::other("an empty answer")) } else { Ok(()) }
}

/// One number after the other, each only when the last has come back; the longest wait is told at the end.
fn talk(address: &str, port: &str) -> io::Result<()> {
    let mut stream =
        TcpStream::connect_timeout(&socket_address(address, port)?, stretched(Duration::from_secs(5)))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(stretched(Duration::from_secs(10))))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    println!("connected");
    let ended = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    let (mut count, mut longest) = (0_u64, Duration::ZERO);
    while !ended.is_finished() {
        let asked = Instant::now();
        writeln!(stream, "{count}")?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        if line.trim() != count.to_string() {
            return Err(io::Error::other(format!("{count} came back as {line:?}")));
        }
        longest = longest.max(asked.elapsed());
        count += 1;
        thread::sleep(Duration::from_millis(1));
    }
    println!("{count} exchanged, the slowest in {} ms", longest.as_millis());
    Ok(())
}

/// So many bytes, of which the last has to arrive; how long that took, in microseconds.
fn send(address: &str, port: &str, kbytes: &str) -> io::Result<()> {
    let mut stream =
        TcpStream::connect_timeout(&socket_address(address, port)?, stretched(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(stretched(Duration::from_secs(20))))?;
    let block = [0; 1000];
    let begun = Instant::now();
    for _ in 0..number(kbytes)? {
        stream.write_all(&block)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{}", begun.elapsed().as_micros());
    if answer == "all" { Ok(()) } else { Err(io::Error::other("it did not all arrive")) }
}

/// Calls again and again. A call that is taken has to last: it says something and waits for the echo, twice.
fn talk_again_and_again(address: &str, port: &str) -> io::Result<()> {
    let to = socket_address(address, port)?;
    println!("connected");
    let ended = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    while !ended.is_finished() {
        let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(20)) else {
            println!("tried in vain");
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_millis(400)))?;
        thread::sleep(Duration::from_secs(1));
        let mut buffer = [0; 8];
        let lasted = stream.write_all(b"hello").is_ok() && stream.read(&mut buffer).is_ok_and(|len| len > 0);
        println!("tried, and it {}", if lasted { "lasted" } else { "was cut" });
    }
    Ok(())
}

/// As a server would, who does not mind what was there a moment ago.
fn bind(kind: &str, address: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(|e| io::Error::other(format!("{address}: {e}")))?;
    match kind {
        "tcp" => TcpListener::bind(address).map(drop),
        _ => UdpSocket::bind(address).map(drop),
    }
}

/// Answers every datagram with its own name, the sender's address and what the datagram said.
fn udp_serve(name: &str, port: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, number(port)?)))?;
    println!("ready");
    let name = name.to_string();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let said = String::from_utf8_lossy(&buffer[..len]);
            let answer = format!("{name} {} {said}", from.ip().to_canonical());
            drop(socket.send_to(answer.as_bytes(), from));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

/// Only an answer from the address that was asked counts.
fn udp_ask(own: &str, address: &str, port: &str, ms: &str) -> io::Result<()> {
    let socket = udp_to(number(own)?, address, port)?;
    let patience: u64 = number(ms)?;
    let mut buffer = [0; 2048];
    // Datagrams get lost; one that is asked again a few times is answered, or there is nobody.
    socket.set_read_timeout(Some(Duration::from_millis((patience / 4).max(1))))?;
    let mut last = io::Error::other("nobody was asked");
    for _ in 0..4 {
        drop(socket.send(b"hello"));
        match socket.recv(&mut buffer) {
            Ok(len) => {
                println!("{}", String::from_utf8_lossy(&buffer[..len]));
                return Ok(());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A sender that never stops, from one port: a datagram each millisecond. At the end it tells each answerer's name with
/// the longest time between the last answer of the one before and its own first.
fn udp_stream(address: &str, port: &str) -> io::Result<()> {
    let socket = udp_to(0, address, port)?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    println!("connected");
    let ended = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    let mut heard: Vec<(String, Instant, Instant)> = Vec::new();
    let mut buffer = [0; 2048];
    while !ended.is_finished() {
        drop(socket.send(b"x"));
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let said = String::from_utf8_lossy(&buffer[..len]);
        let name = said.split(' ').next().unwrap_or_default();
        match heard.last_mut() {
            Some((last, _, until)) if last == name => *until = Instant::now(),
            _ => {
                println!("{name}");
                heard.push((name.to_string(), Instant::now(), Instant::now()));
            }
        }
    }
    for pair in heard.windows(2) {
        println!("{} after {}: {} ms", pair[1].0, pair[0].0, (pair[1].1 - pair[0].2).as_millis());
    }
    Ok(())
}

fn udp_to(own: u16, address: &str, port: &str) -> io::Result<UdpSocket> {
    let to = socket_address(address, port)?;
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, own))?;
    socket.connect(to)?;
    Ok(socket)
}

/// `fe80::1%3` has its link's number behind it.
fn socket_address(address: &str, port: &str) -> io::Result<SocketAddr> {
    let wrong = |e| io::Error::other(format!("{address}: {e}"));
    if let Some((ip, scope)) = address.split_once('%') {
        let ip: Ipv6Addr = ip.parse().map_err(wrong)?;
        return Ok(SocketAddrV6::new(ip, number(port)?, 0, number(scope)?).into());
    }
    let ip: IpAddr = address.parse().map_err(wrong)?;
    Ok((ip, number(port)?).into())
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not a number")))
}
