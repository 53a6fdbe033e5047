//! The test program itself, run inside a namespace as somebody to talk to. It ends when its input does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

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
        _ => Err(io::Error::other(format!("no part like {args:?}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Both families by one socket, as Linux gives it.
fn serve(port: &str, answer: fn(&mut TcpStream, IpAddr) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, number(port)?)))?;
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
    let mut stream = TcpStream::connect_timeout(&socket_address(address, port)?, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
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
