//! DNS over a stream: bytes in as they come, whole messages out (RFC 1035 §4.2.2). Nothing is believed of a length but that
//! so many bytes may come; they are kept only once they have.

/// What has come over one connection and was not taken yet.
#[derive(Debug, Default)]
pub struct Stream {
    held: Vec<u8>,
    taken: usize,
}

/// What is next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    Message(&'a [u8]),
    /// Some of it is still to come, or all of it.
    More,
    /// A message of no length: no query has that, and no other framing could follow.
    Broken,
}

/// The room that an empty stream may keep for what comes next.
const KEPT: usize = 4096;

impl Stream {
    /// Takes in what was read. Who pushes only while [`Stream::has_next`] is false never has it hold more than one message
    /// and one push, and never moves more than the beginning of a message.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.held.drain(..self.taken);
            self.taken = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// The next message, which is gone from the stream with this.
    pub fn take(&mut self) -> Next<'_> {
        let rest = &self.held[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<2>() else {
            self.let_go();
            return Next::More;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 {
            return Next::Broken;
        }
        if rest.len() < length {
            return Next::More;
        }
        let start = self.taken + 2;
        self.taken = start + length;
        Next::Message(&self.held[start..self.taken])
    }

    /// Whether a message lies there whole, or what none can follow: there is something to take before more is pushed.
    pub fn has_next(&self) -> bool {
        let rest = &self.held[self.taken..];
        rest.split_first_chunk::<2>().is_some_and(|(length, rest)| {
            let length = usize::from(u16::from_be_bytes(*length));
            rest.len() >= length
        })
    }

    /// Whether a message has begun, or lies there whole: its sender owes the rest, or we owe an answer.
    pub fn begun(&self) -> bool {
        self.taken < self.held.len()
    }

    /// How many bytes it has room for, which is what it costs.
    pub fn room(&self) -> usize {
        self.held.capacity()
    }

    /// An idle connection is not to keep the room that its longest message once took.
    fn let_go(&mut self) {
        if self.taken == self.held.len() {
            self.held.clear();
            self.taken = 0;
            if self.held.capacity() > KEPT {
                self.held = Vec::new();
            }
        }
    }
}

/// Puts a message behind its length. One that is too long for a length of two bytes is not put; false then.
pub fn frame(message: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(message.len()) else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            assert!(frame(message, &mut out));
        }
        out
    }

    fn read(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut stream = Stream::default();
        let mut messages = Vec::new();
        for chunk in chunks {
            stream.push(chunk);
            loop {
                match stream.take() {
                    Next::Message(message) => messages.push(message.to_vec()),
                    Next::More => break,
                    Next::Broken => return (messages, true),
                }
            }
        }
        (messages, false)
    }

    #[test]
    fn two_messages_in_one_piece_come_out_one_by_one() {
        let bytes = framed(&[b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(read(&[&bytes]), (vec![b"first".to_vec(), b"second".to_vec()], false));
    }

    #[test]
    fn a_message_of_no_length_ends_the_stream_after_what_came_before() {
        let mut bytes = framed(&[b"good".to_vec()]);
        bytes.extend([0, 0, 0, 1, 9]);
        assert_eq!(read(&[&bytes]), (vec![b"good".to_vec()], true));
    }

    #[test]
    fn room_is_taken_as_bytes_come_and_not_as_they_are_announced() {
        let mut stream = Stream::default();
        stream.push(&[0xff, 0xff, 1]);
        assert_eq!(stream.take(), Next::More);
        assert!(stream.room() < 64, "{} bytes for three", stream.room());
        assert!(stream.begun());
    }

    #[test]
    fn the_room_of_a_long_message_is_given_back() {
        let mut stream = Stream::default();
        stream.push(&framed(&[vec![7; 65_535]]));
        assert_eq!(stream.take(), Next::Message(&[7; 65_535]));
        assert_eq!(stream.take(), Next::More);
        assert!(stream.room() <= KEPT && !stream.begun(), "{} bytes", stream.room());
    }

    #[test]
    fn what_is_longer_than_a_length_can_say_is_not_framed() {
        let mut out = Vec::new();
        assert!(!frame(&[0; 65_536], &mut out));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_same_messages_come_out(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            cuts in prop::collection::vec(1usize..200, 0..40),
        ) {
            let bytes = framed(&messages);
            let mut chunks = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(read(&chunks), (messages, false));
        }

        #[test]
        fn any_bytes_hold_no_more_room_than_a_message_and_a_push(
            pushes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..40),
        ) {
            let mut stream = Stream::default();
            for push in pushes {
                stream.push(&push);
                loop {
                    let has_next = stream.has_next();
                    let next = stream.take();
                    prop_assert_eq!(has_next, next != Next::More);
                    match next {
                        Next::Message(message) => prop_assert!(!message.is_empty()),
                        Next::More => break,
                        Next::Broken => return Ok(()),
                    }
                }
                prop_assert!(stream.room() <= 4 * (65_537 + 5000));
            }
        }
    }
}
