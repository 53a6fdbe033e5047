//! HTTP by hand, for everything that a well-behaved client would not send.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bowline_api::Code;
use bowline_api::v1::{Event, Failure};
use serde_json::Value;

use super::Daemon;

/// No answer is waited for any longer.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case, as received.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A connection that is used for as long as the test likes.
pub(crate) struct Line {
    stream: BufReader<UnixStream>,
}

impl Line {
    pub(crate) fn open(socket: &Path) -> Line {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        stream.set_write_timeout(Some(LONGEST)).unwrap();
        Line { stream: BufReader::new(stream) }
    }

    /// Whole, or as much as the other side takes: a server may refuse before it has read all.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.send(&request(method, path, body.as_bytes()))?;
        self.answer()
    }

    /// An answer with a known length, which all but the stream of events have.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {head:?}")));
            }
        }
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, head, body })
    }

    /// The next of a stream of events, which comes in chunks of a line each.
    pub(crate) fn event(&mut self) -> Event {
        let mut lines = [(); 3].map(|()| String::new());
        for line in &mut lines {
            self.stream.read_line(line).unwrap();
        }
        serde_json::from_str(&lines[1]).unwrap_or_else(|error| panic!("{error}: {lines:?}"))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// One object, with nothing in it but what a failure has, and a code of the list.
    pub(crate) fn failure(&self) -> (Code, Failure) {
        assert!((400..600).contains(&self.status), "{} is no failure: {}", self.status, self.text());
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        let json = self.json();
        let object = json.as_object().unwrap_or_else(|| panic!("a failure is one object: {json}"));
        let known = ["code", "message", "cause", "fix"];
        assert!(object.keys().all(|key| known.contains(&key.as_str())), "{json}");
        assert!(object.values().all(|value| value.as_str().is_some_and(|text| !text.is_empty())), "{json}");
        let failure: Failure = serde_json::from_value(json.clone()).unwrap();
        let code = Code::parse(&failure.code).unwrap_or_else(|| panic!("there is no code {}", failure.code));
        (code, failure)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Daemon {
    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_raw(&request(method, path, body.as_bytes()))
    }

    /// Bytes as they are, and what comes back.
    pub(crate) fn ask_raw(&self, bytes: &[u8]) -> Answer {
        let mut line = Line::open(&self.socket());
        // It may be refused before it was read: then the answer is there all the same.
        let sent = line.send(bytes);
        line.answer().unwrap_or_else(|error| {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            panic!("no answer: {error} (sent: {sent:?}) to {start}\n{}", self.log())
        })
    }
}

pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: bowline\r\n").into_bytes();
    bytes.extend(format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
    bytes.extend(body);
    bytes
}

/// The same, with its body in pieces and its length not announced.
pub(crate) fn request_in_chunks(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: bowline\r\n").into_bytes();
    bytes.extend(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(60_000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
