//! As much of HTTP/1.1 as a client of one server needs: a request in one write, an answer by length or in chunks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::routes::Method;
use crate::{Code, Error, Result};

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Length(io::Take<BufReader<UnixStream>>),
    Chunks { stream: BufReader<UnixStream>, left: u64, over: bool },
}

/// `patience` bounds every read; None waits for ever.
pub(super) fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&[u8]>,
    patience: Option<Duration>,
) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket).map_err(|error| unreachable(socket, &error))?;
    let talk = |stream: &mut UnixStream| -> io::Result<Answer> {
        stream.set_read_timeout(patience)?;
        let sent = stream.write_all(&request(method, path, body));
        match (sent, read_answer(stream.try_clone()?)) {
            // A daemon may refuse, and hang up, before it has read all: what it says counts, not that it left.
            (_, Ok(answer)) => Ok(answer),
            (sent, Err(error)) => sent.and(Err(error)),
        }
    };
    talk(&mut stream).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Code::Timeout,
            _ => Code::Unreachable,
        };
        Error::new(code, format!("ask the daemon for {} {path}", method.as_str()))
            .because(format!("{}: {error}", socket.display()))
            .fix("see whether the daemon still runs: bowline system info")
    })
}

fn unreachable(socket: &Path, error: &io::Error) -> Error {
    let what = format!("connect to the daemon at {}", socket.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::new(Code::Denied, what)
            .because(error)
            .fix("run as root, or as a member of the group that owns the socket"),
        io::ErrorKind::InvalidInput => Error::new(Code::InvalidSocket, what)
            .because(error)
            .fix("a socket's path has at most 107 bytes: choose a shorter one"),
        _ => Error::new(Code::Unreachable, what)
            .because(error)
            .fix("start it: bowline daemon (or: systemctl start bowline)"),
    }
}

fn request(method: Method, path: &str, body: Option<&[u8]>) -> Vec<u8> {
    let method = method.as_str();
    let mut bytes =
        format!("{method} {path} HTTP/1.1\r\nHost: bowline\r\nConnection: close\r\n").into_bytes();
    if let Some(body) = body {
        bytes.extend(format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body.unwrap_or_default());
    bytes
}

fn read_answer(stream: UnixStream) -> io::Result<Answer> {
    let mut stream = BufReader::new(stream);
    let status_line = line(&mut stream)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| malformed("status line", &status_line))?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(&mut stream)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(|| malformed("header", &header))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(|_| malformed("length", value))?,
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => (),
        }
    }
    let body = match chunked {
        true => Body::Chunks { stream, left: 0, over: false },
        false => Body::Length(stream.take(length)),
    };
    Ok(Answer { status, body })
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    const LONGEST: u64 = 16 << 10;
    let mut line = String::new();
    stream.take(LONGEST).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early"));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn malformed(what: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer has a malformed {what}: {text:?}"))
}

impl Answer {
    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.into_reader().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn into_reader(self) -> impl Read {
        self.body
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Body::Length(stream) => {
                let read = stream.read(buffer)?;
                if read == 0 && !buffer.is_empty() && stream.limit() > 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early"));
                }
                Ok(read)
            }
            Body::Chunks { stream, left, over } => {
                if *left == 0 && !*over {
                    *left = chunk_size(stream)?;
                    *over = *left == 0;
                }
                if *over {
                    return Ok(0);
                }
                let most = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let read = stream.read(&mut buffer[..most])?;
                if read == 0 && most > 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early"));
                }
                *left -= read as u64;
                if *left == 0 {
                    line(stream)?;
                }
                Ok(read)
            }
        }
    }
}

fn chunk_size(stream: &mut impl BufRead) -> io::Result<u64> {
    let text = line(stream)?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| malformed("chunk", &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let (mut server, client) = UnixStream::pair()?;
        server.write_all(bytes)?;
        drop(server);
        let answer = read_answer(client)?;
        Ok((answer.status, answer.into_bytes()?))
    }

    #[test]
    fn an_answer_by_length() {
        let (status, body) = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}rest").unwrap();
        assert_eq!((status, body.as_slice()), (200, b"{}".as_slice()));
    }

    #[test]
    fn an_answer_in_chunks() {
        let bytes =
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(answer(bytes).unwrap(), (404, b"abcde".to_vec()));
    }

    #[test]
    fn an_answer_that_ends_early_is_an_error() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na",
            b"nonsense\r\n\r\n",
        ] {
            assert!(answer(bytes).is_err(), "{bytes:?}");
        }
    }
}
