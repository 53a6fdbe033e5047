//! Whether a reply is one to what was asked: the only defence against whoever guesses.

use crate::cache::question_end;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    Yes,
    /// It is no answer to this: somebody may be guessing. Ask again by TCP.
    No,
}

const HEADER: usize = 12;
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;

/// FORMERR, SERVFAIL, NOTIMP and REFUSED: what a server says that may not have read the question.
const WITHOUT_QUESTION: [u8; 4] = [1, 2, 4, 5];

/// Whether a reply is one to the query as it was sent: its id, that it is a response, its one question to the byte. A refusal
/// may leave the question out, and then holds nothing else that could be believed.
pub fn matches(sent: &[u8], reply: &[u8]) -> Match {
    match is_reply(sent, reply, |sent, reply| sent == reply) {
        Some(true) => Match::Yes,
        Some(false) | None => Match::No,
    }
}

/// The same for what came by TCP, where nobody can guess: a server that spells the question in its own case is believed.
pub fn matches_by_tcp(sent: &[u8], reply: &[u8]) -> Match {
    match is_reply(sent, reply, <[u8]>::eq_ignore_ascii_case) {
        Some(true) => Match::Yes,
        Some(false) | None => Match::No,
    }
}

/// Writes the question of a reply, if it has one, as it was sent: its asker may tell a forged answer by its case.
pub fn spell(sent: &[u8], reply: &mut [u8]) {
    if let Some(end) = question_end(sent)
        && reply.get(4..6) == Some(&[0, 1])
        && let Some(question) = reply.get_mut(HEADER..end)
    {
        question.copy_from_slice(&sent[HEADER..end]);
    }
}

/// None where either ends too early.
fn is_reply(sent: &[u8], reply: &[u8], same: fn(&[u8], &[u8]) -> bool) -> Option<bool> {
    let end = question_end(sent)?;
    let (asked, header) = (sent.first_chunk::<HEADER>()?, reply.first_chunk::<HEADER>()?);
    if header[..2] != asked[..2] || header[2] & QR == 0 || header[2] & OPCODE != asked[2] & OPCODE {
        return Some(false);
    }
    match [header[4], header[5]] {
        [0, 1] => {
            // A type or class may look like a letter.
            let (name, rest) = sent[HEADER..end].split_at(end - HEADER - 4);
            let (said, types) = reply.get(HEADER..end)?.split_at(name.len());
            Some(same(name, said) && types == rest)
        }
        [0, 0] => Some(header[6..10] == [0; 4] && WITHOUT_QUESTION.contains(&(header[3] & 0x0F))),
        _ => Some(false),
    }
}
