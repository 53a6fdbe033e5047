//! Bytes that are no questions, by UDP and TCP: refused or passed over as the RFCs say, and paid for with next to nothing.

use std::time::{Duration, Instant};

use crate::world::World;
use crate::world::said::{eventually, only_if};

/// Each with the outcomes that it may have; None is silence.
const NONSENSE: &str = r#"
import os, random, socket, struct, sys
SILENCE, OK, FORMERR, NOTIMP, REFUSED, NXDOMAIN = None, 0, 1, 4, 5, 3
A = b'\0\1\0\1'
def head(flags=0x100, qd=1, an=0, ns=0, ar=0): return struct.pack('>5H', flags, qd, an, ns, ar)
def opt(rdata=b'', owner=b'\0', size=1232, version=0, length=None):
    length = len(rdata) if length is None else length
    return owner + struct.pack('>HHBBHH', 41, size, 0, version, 0, length) + rdata
web = b'\3web\0'
good = head() + web + A
cases = [
    ('a response', head(0x8180) + web + A, {SILENCE}),
    ('a response with an answer', head(0x8180, an=1) + web + A + b'\xc0\x0c' + A + b'\0\0\0\5\0\4\1\2\3\4', {SILENCE}),
    ('an error', head(0x8183) + web + A, {SILENCE}),
    ('no question', head(qd=0), {FORMERR, SILENCE}),
    ('two questions', head(qd=2) + web + A + web + A, {FORMERR}),
    ('65535 questions', head(qd=65535) + web + A, {FORMERR}),
    ('a notify', head(0x2100) + web + A, {NOTIMP}),
    ('an update', head(0x2900) + web + A, {NOTIMP}),
    ('an inverse query', head(0x0900) + web + A, {NOTIMP}),
    ('a loop', head() + b'\xc0\x0c' + A, {FORMERR}),
    ('a loop of two', head() + b'\1a\xc0\x10\1b\xc0\x0c' + A, {FORMERR}),
    ('a pointer behind the end', head() + b'\xff\xff' + A, {FORMERR}),
    ('a pointer into the header', head() + b'\xc0\x00' + A, {FORMERR}),
    ('a reserved label', head() + b'\x41a\0' + A, {FORMERR}),
    ('another reserved label', head() + b'\x81a\0' + A, {FORMERR}),
    ('a name of 256 bytes', head() + (b'\x3f' + b'a' * 63) * 4 + b'\0' + A, {FORMERR}),
    ('a name of 255 bytes', head() + (b'\x3f' + b'a' * 63) * 3 + b'\x3d' + b'a' * 61 + b'\0' + A, {NXDOMAIN}),
    ('a name of 128 labels', head() + b'\1a' * 128 + b'\0' + A, {FORMERR}),
    ('a name without end', head() + b'\3web', {FORMERR}),
    ('a question without class', head() + web + b'\0\1', {FORMERR}),
    ('answers that are not there', head(an=3) + web + A, {FORMERR, OK}),
    ('65535 additional records', head(ar=65535) + web + A, {FORMERR}),
    ('something behind the end', good + b'garbage', {OK, FORMERR}),
    ('the class ANY', head() + web + b'\0\1\0\xff', {OK, REFUSED, FORMERR, NOTIMP}),
    ('the class CH', head() + web + b'\0\1\0\3', {REFUSED}),
    ('a zone transfer', head() + web + b'\0\xfc\0\1', {REFUSED, NOTIMP, FORMERR, OK}),
    ('two OPT records', head(ar=2) + web + A + opt() + opt(), {FORMERR}),
    ('an OPT record with a name', head(ar=1) + web + A + opt(owner=web), {FORMERR}),
    ('an OPT record that is too short', head(ar=1) + web + A + opt(length=100), {FORMERR}),
    ('an option that is too long', head(ar=1) + web + A + opt(b'\0\3\0\xff'), {FORMERR, OK}),
    ('an OPT record of size 0', head(ar=1) + web + A + opt(size=0), {OK}),
    ('a version of EDNS to come', head(ar=1) + web + A + opt(version=1), {OK}),
    ('a record whose name is a loop', head(ar=1) + web + A + b'\xc0\x19' + A + b'\0\0\0\0\0\0', {FORMERR, OK}),
    ('a chain of pointers', head(ar=60) + web + A + b''.join(struct.pack('>H', 0xc000 | 12 + 9 + max(0, 12 * (n - 1))) + A + b'\0\0\0\0\0\0' for n in range(60)), {FORMERR, OK}),
]
for n in range(len(good)):
    cases.append((f'the first {n + 2} bytes of a question', good[:n], {SILENCE} if n < 10 else {FORMERR}))
to = ('127.0.0.11', 53)
wrong = []
def judge(what, allowed, reply, id, over):
    if reply is not None:
        told = struct.unpack('>HH', reply[:4])
        if told[0] != id or not told[1] & 0x8000 or len(reply) > 65535: wrong.append((over, what, reply[:32]))
        reply = told[1] & 15
    if reply not in allowed: wrong.append((over, what, reply))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
def heard_until(last):
    s.sendto(struct.pack('>H', last) + good, to)
    heard = {}
    while last not in heard:
        reply = s.recv(65535)
        heard[struct.unpack('>H', reply[:2])[0]] = reply
    return heard
for id, (what, rest, allowed) in enumerate(cases):
    s.sendto(struct.pack('>H', id) + rest, to)
    # Another thread may answer what follows first, so silence is what is silent for three more questions.
    heard = heard_until(50000) | heard_until(50001) | heard_until(50002)
    while id not in heard and SILENCE not in allowed:
        try: reply = s.recv(65535)
        except TimeoutError: break
        heard[struct.unpack('>H', reply[:2])[0]] = reply
    judge(what, allowed, heard.get(id), id, 'udp')
for n in range(2): s.sendto(b'', to); s.sendto(b'x', to)
heard_until(50003)
"#;

pub(crate) fn datagrams_of_every_kind(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let said = web.run_python(&format!("{NONSENSE}\nprint(wrong)"));
    assert_eq!(said, "[]\n");
    assert_eq!(web.asker().finds("web"), ["10.9.0.2"]);
}

pub(crate) fn streams_of_every_kind(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let said = web.run_python(&format!(
        "{NONSENSE}{}",
        r#"
wrong = []
def stream():
    t = socket.create_connection(to, 5); t.settimeout(5); return t
# Whoever is hung up on in the midst of it was answered too.
def talk(t, data):
    try: t.sendall(data); t.shutdown(socket.SHUT_WR)
    except OSError: pass
    return read(t)
def frame(message): return struct.pack('>H', len(message)) + message
def read(t):
    data = b''
    while True:
        try: more = t.recv(65536)
        except TimeoutError: wrong.append(('tcp', 'it is not hung up')); return data
        except OSError: return data
        if not more: return data
        data += more
for id, (what, rest, allowed) in enumerate(cases):
    data = talk(stream(), frame(struct.pack('>H', id) + rest))
    judge(what, allowed, data[2:] or None, id, 'tcp')
for what, data in [('nothing', b''), ('an empty message', b'\0\0'), ('many', b'\0\0' * 1000), ('half a length', b'\0'),
        ('half a message', b'\0\x20abc'), ('a long one that never comes', b'\xff\xff' + b'x' * 1000)]:
    if talk(stream(), data): wrong.append(('tcp', what))
# Nothing, in the midst of what is fine.
t = stream(); t.sendall(frame(b'\0\7' + good)); length = struct.unpack('>H', t.recv(2, socket.MSG_WAITALL))[0]
t.recv(length, socket.MSG_WAITALL)
if talk(t, b'\0\0'): wrong.append(('tcp', 'an empty message after a good one'))
# The longest there is.
longest = b'\0\7' + head(ar=1) + web + A + opt(b'\0\x0c' + struct.pack('>H', 65000) + bytes(65000))
if len(talk(stream(), frame(longest))) < 12: wrong.append(('tcp', 'the longest'))
print(wrong)
"#
    ));
    assert_eq!(said, "[]\n");
    assert_eq!(web.asker().ask_by_tcp("web", "A").data(), ["10.9.0.2"]);
}

/// T-29: bytes at random, and questions that a few bytes are wrong in; afterwards it is idle.
pub(crate) fn nonsense_costs_little_and_ends(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let before = w.daemon_cpu();
    let said = web.run_python(&format!(
        "{NONSENSE}{}",
        r#"
random.seed(7)
def junk(n):
    if n % 3 == 0: return random.randbytes(random.randrange(600))
    message = bytearray(b'\0\7' + random.choice(cases)[1])
    for _ in range(random.randrange(1, 5)): message[random.randrange(len(message))] = random.randrange(256)
    return bytes(message)
for n in range(6000):
    s.sendto(junk(n), to)
    if n % 50 == 0: heard_until(60000)
for n in range(300):
    t = socket.create_connection(to, 5)
    message = junk(n)
    t.sendall(struct.pack('>H', len(message)) + message + random.randbytes(30)); t.close()
heard_until(60001)
print('well')
"#
    ));
    assert_eq!(said, "well\n");
    let cost = w.daemon_cpu() - before;
    assert!(cost < Duration::from_secs(4), "{cost:?} for 6300 messages");
    eventually("it is idle again", || {
        let (cpu, clock) = (w.daemon_cpu(), Instant::now());
        while clock.elapsed() < Duration::from_millis(200) {
            std::thread::yield_now();
        }
        let used = w.daemon_cpu() - cpu;
        only_if(used <= Duration::from_millis(20), used)
    });
    assert_eq!(web.asker().finds("web"), ["10.9.0.2"]);
}

/// T-34: nobody is answered who would answer the answer.
pub(crate) fn no_loop_can_be_begun(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let said = web.run_python(&format!(
        "{NONSENSE}{}",
        r#"
for port in (53, 11):
    t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.settimeout(0.5)
    try: t.bind(('127.0.0.1', port))
    except OSError: continue
    t.sendto(b'\0\7' + good, to)
    try:
        reply = t.recv(512)
        t.sendto(reply, to)
        t.recv(512)
        print('an answer is answered')
    except TimeoutError: pass
# Whoever says that he is the resolver himself.
t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    t.bind(('127.0.0.11', 0))
    t.sendto(b'\0\7' + good, to)
except OSError: pass
heard_until(50004)
print('well')
"#
    ));
    assert_eq!(said, "well\n");
}
