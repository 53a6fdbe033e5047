//! A name server that answers by what it is asked: the part before the first `-` of a name says how. It writes down who
//! asked what.

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::wire::{self, Question};

/// What a name wants to hear. Whatever is none of these has the server's own address, for 300 seconds.
enum Part {
    Address {
        ttl: u32,
    },
    /// `nx`: no such name, for 60 seconds
    Nobody,
    /// `none`: the name, but no such record, for 60 seconds
    Nothing,
    /// `fail`, `refuse`; `only2`: from every server but the second
    Failure(u8),
    /// `mute`
    Silence,
    /// `big`: a hundred addresses, which do not fit a datagram
    Much,
    /// `wide`: forty, in a datagram of more than 512 bytes that nobody said he could take
    Wide,
    /// `opt`: as text, what came with the query behind its question
    Options,
    /// `forged`: over UDP the wrong id; `unasked`: another question; `echo`: the query itself, with an answer
    Lie(Lie),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    Id,
    Question,
    NoResponse,
}

/// 198.51.100.NUMBER is what names lead to; 203.0.113.66 is where lies lead.
struct Stub {
    number: u8,
    log: File,
}

pub(super) fn serve(address: &str, number: &str, log: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let log = File::options().create(true).append(true).open(log)?;
    let stub = Stub { number: number.parse().map_err(io::Error::other)?, log };
    let (udp, tcp) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
    println!("ready");
    let stub: &'static Stub = Box::leak(Box::new(stub));
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            // A client that is gone already may have sent an ICMP message, which is no end of the service.
            let Ok((length, from)) = udp.recv_from(&mut buffer) else { continue };
            if let Some(answer) = stub.answer(&buffer[..length], Some(from)) {
                udp.send_to(&answer, from)?;
            }
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            thread::spawn(move || stub.converse(stream));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

impl Stub {
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let query = wire::read_frame(&mut stream)?;
            if let Some(answer) = self.answer(&query, None) {
                wire::write_frame(&mut stream, &answer)?;
            }
        }
    }

    /// From where it came, if it is a datagram.
    fn answer(&self, query: &[u8], datagram: Option<SocketAddr>) -> Option<Vec<u8>> {
        let question = wire::question(query)?;
        let (over, port) = datagram.map_or(("tcp", 0), |from| ("udp", from.port()));
        let from = datagram.map_or_else(|| "-".to_string(), |from| from.ip().to_string());
        let line = format!(
            "{over} {from} {port} {} {} {}\n",
            question.id,
            question.name,
            wire::kind_name(question.kind)
        );
        (&self.log).write_all(line.as_bytes()).ok()?;
        self.reply(query, &question, datagram.is_some())
    }

    fn reply(&self, query: &[u8], question: &Question, datagram: bool) -> Option<Vec<u8>> {
        let own = [198, 51, 100, self.number];
        let mut message = Message::to(query, question);
        match Part::of(&question.name, self.number) {
            Part::Silence => return None,
            Part::Address { ttl } if question.kind == 1 => message.record(1, ttl, &own),
            Part::Address { .. } | Part::Nothing => message.is_not_there(0),
            Part::Nobody => message.is_not_there(3),
            Part::Failure(outcome) => message.bytes[3] |= outcome,
            Part::Much if datagram => message.bytes[2] |= 2,
            Part::Wide => (0..40).for_each(|n| message.record(1, 300, &[198, 51, 100, n])),
            Part::Much => (0..100).for_each(|n| message.record(1, 300, &[198, 51, 100, n])),
            Part::Options => {
                let hex: String = query[question.end..].iter().map(|byte| format!("{byte:02x}")).collect();
                let length = u8::try_from(hex.len()).unwrap_or(0);
                message.record(16, 0, &[&[length], hex.as_bytes()].concat());
            }
            Part::Lie(lie) if datagram => {
                message.record(1, 300, &[203, 0, 113, 66]);
                match lie {
                    Lie::Id => message.bytes[1] ^= 1,
                    Lie::Question => message.bytes[13] ^= 2,
                    Lie::NoResponse => message.bytes[2] &= 0x7f,
                }
            }
            Part::Lie(_) => message.record(1, 300, &own),
        }
        Some(message.with_options_of(query, question))
    }
}

impl Part {
    fn of(name: &str, own: u8) -> Part {
        let lower = name.to_ascii_lowercase();
        let word = lower.split(['-', '.']).next().unwrap_or_default();
        match word {
            "nx" => Part::Nobody,
            "none" => Part::Nothing,
            "fail" => Part::Failure(2),
            "refuse" => Part::Failure(5),
            "mute" => Part::Silence,
            "big" => Part::Much,
            "wide" => Part::Wide,
            "opt" => Part::Options,
            "forged" => Part::Lie(Lie::Id),
            "unasked" => Part::Lie(Lie::Question),
            "echo" => Part::Lie(Lie::NoResponse),
            _ => match (number_behind("only", word), number_behind("ttl", word)) {
                (Some(only), _) if only != u32::from(own) => Part::Failure(2),
                (_, ttl) => Part::Address { ttl: ttl.unwrap_or(300) },
            },
        }
    }
}

fn number_behind(prefix: &str, word: &str) -> Option<u32> {
    word.strip_prefix(prefix)?.parse().ok()
}

struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn to(query: &[u8], question: &Question) -> Message {
        let mut bytes = query[..question.end].to_vec();
        bytes[2] = 0x80 | query[2] & 1;
        bytes[3] = 0x80;
        bytes[6..12].fill(0);
        Message { bytes }
    }

    fn record(&mut self, kind: u16, ttl: u32, data: &[u8]) {
        self.bytes[7] += 1;
        self.put(&[0xc0, 12], kind, ttl, data);
    }

    /// With the SOA that says for how long.
    fn is_not_there(&mut self, outcome: u8) {
        self.bytes[3] |= outcome;
        self.bytes[9] = 1;
        let numbers = [1_u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat();
        self.put(&[0], 6, 60, &[vec![0, 0], numbers].concat());
    }

    fn put(&mut self, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
        self.bytes.extend(owner);
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend([0, 1]);
        self.bytes.extend(ttl.to_be_bytes());
        self.bytes.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        self.bytes.extend(data);
    }

    /// An OPT record of the query comes back as it was.
    fn with_options_of(mut self, query: &[u8], question: &Question) -> Vec<u8> {
        self.bytes.extend(&query[question.end..]);
        self.bytes[11] = query[11];
        self.bytes
    }
}
