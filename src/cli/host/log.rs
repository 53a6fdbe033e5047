//! What a detached command writes: a file of at most 10 MiB, and the one before it. `bowline logs` reads both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use bowline_api::{Code, Error, Result};
use bowline_linux::process::{Watch, Woken};
use clap::Args;

use super::shelf::{Place, Shelf};
use crate::exit;
use crate::io::Io;
use crate::session::Session;

/// A file that is larger is put aside, in place of the one that was put aside before.
const LARGEST: u64 = 10 << 20;

pub(super) const NOTE: &str = "\
The last 10 to 20 MiB are kept, standard output and standard error in one, as they came,
until 'bowline rm'.";

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    aside: PathBuf,
    file: File,
    size: u64,
    largest: u64,
    failed: bool,
}

impl LogFile {
    pub(super) fn open(place: &Place) -> Result<LogFile> {
        LogFile::with_limit(place.file("log"), place.file("log.1"), LARGEST)
    }

    fn with_limit(path: PathBuf, aside: PathBuf, largest: u64) -> Result<LogFile> {
        let opened = fresh(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened
            .map_err(|e| Error::new(Code::StateUnwritable, format!("open {}", path.display())).because(e))?;
        Ok(LogFile { path, aside, file, size, largest, failed: false })
    }

    /// What cannot be kept is lost, and said once: the command must not stop for a full disk.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if let Err(e) = self.try_append(bytes)
            && !self.failed
        {
            self.failed = true;
            eprintln!("bowline: write {}: {e}", self.path.display());
        }
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.largest {
            fs::rename(&self.path, &self.aside)?;
            self.file = fresh(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

fn fresh(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Whose
    #[arg(value_name = "HOST")]
    host: String,

    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,

    /// Begin with the last N lines [default: all]
    #[arg(short = 'n', long, value_name = "N", value_parser = lines)]
    tail: Option<Tail>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    All,
    Last(usize),
}

fn lines(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail::All),
        _ => text.parse().map(Tail::Last).map_err(|_| "give a number, or all".to_string()),
    }
}

pub(super) fn execute(args: &LogsArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let place = Shelf::new(session.hosts_dir()).find(&args.host)?;
    if !place.spec()?.detached {
        return Err(Error::new(Code::NotRunning, format!("show the log of {}", place.name))
            .because("it runs in the foreground, and keeps none")
            .fix("run it with --detach"));
    }
    // Before the first look, so that nothing falls between the look and the wait.
    let watched = if args.follow { Some((place.supervisor()?, Watch::on(place.dir())?)) } else { None };
    let mut reader = Reader::open(&place)?;
    let mut text = reader.rest()?;
    if let Some(Tail::Last(lines)) = args.tail {
        let from = start_of_last(&text, lines);
        text.drain(..from);
    }
    if write(io, &text)?.is_break() {
        return Ok(exit::OK);
    }
    let Some((Some(supervisor), mut watch)) = watched else { return Ok(exit::OK) };
    loop {
        let woken = watch.wait(&supervisor)?;
        if write(io, &reader.rest()?)?.is_break() || woken == Woken::Ended {
            return Ok(exit::OK);
        }
    }
}

/// Where the last `lines` lines begin; an unfinished one is one.
fn start_of_last(text: &[u8], lines: usize) -> usize {
    if lines == 0 {
        return text.len();
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    breaks.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0)
}

/// Raw, as the command wrote it. A reader that has left ends it.
fn write(io: &mut Io<'_>, bytes: &[u8]) -> Result<ControlFlow<()>> {
    match io.out.write_all(bytes).and_then(|()| io.out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(e) => Err(Error::new(Code::Kernel, "write to standard output").because(e)),
    }
}

/// Reads the file that was put aside, then the present one, and each that follows it.
struct Reader {
    path: PathBuf,
    aside: PathBuf,
    /// None until the command has a log, and after it was removed.
    file: Option<File>,
    begun: bool,
}

impl Reader {
    fn open(place: &Place) -> Result<Reader> {
        Ok(Reader { path: place.file("log"), aside: place.file("log.1"), file: None, begun: false })
    }

    /// All that was written since the last call.
    fn rest(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        self.read_rest(&mut text).map_err(|e| {
            Error::new(Code::StateUnwritable, format!("read {}", self.path.display())).because(e)
        })?;
        Ok(text)
    }

    fn read_rest(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.file = open(&self.aside)?;
        }
        loop {
            if let Some(file) = &mut self.file {
                file.read_to_end(text)?;
            }
            let Some(mut next) = open(&self.path)? else { return Ok(()) };
            match &mut self.file {
                Some(file) if same(file, &next)? => return Ok(()),
                // What was written between the last look and its being put aside.
                Some(file) => file.read_to_end(text).map(drop)?,
                None => (),
            }
            next.seek(SeekFrom::Start(0))?;
            self.file = Some(next);
        }
    }
}

fn open(path: &PathBuf) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

fn same(a: &File, b: &File) -> io::Result<bool> {
    Ok(a.metadata()?.ino() == b.metadata()?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Scratch;

    #[test]
    fn the_last_lines() {
        let check = |text: &str, lines: usize, wanted: &str| {
            assert_eq!(&text[start_of_last(text.as_bytes(), lines)..], wanted, "{text:?} {lines}");
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\nb\nc", 9, "a\nb\nc");
        check("a\n\n", 1, "\n");
        check("a\n", 0, "");
        check("", 3, "");
    }

    #[test]
    fn a_log_keeps_its_largest_and_the_one_before() {
        let scratch = Scratch::new("log");
        let (path, aside) = (scratch.path("log"), scratch.path("log.1"));
        let mut reader = Reader { path: path.clone(), aside: aside.clone(), file: None, begun: false };
        assert_eq!(reader.rest().unwrap(), b"");
        let mut log = LogFile::with_limit(path.clone(), aside.clone(), 10).unwrap();
        log.append(b"123456");
        assert_eq!(reader.rest().unwrap(), b"123456");
        log.append(b"78");
        log.append(b"abc");
        assert_eq!(reader.rest().unwrap(), b"78abc", "what was put aside is finished first");
        log.append(b"longer than the limit");
        log.append(b"end");
        assert_eq!(fs::read(&aside).unwrap(), b"longer than the limit");
        assert_eq!(fs::read(&path).unwrap(), b"end");
        let mut late = Reader { path, aside, file: None, begun: false };
        assert_eq!(late.rest().unwrap(), b"longer than the limitend");
        assert_eq!(late.rest().unwrap(), b"");
    }
}
