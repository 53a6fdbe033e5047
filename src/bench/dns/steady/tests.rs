use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use bowline_linux::netns;
use bowline_linux::process::raise_loopback;

use super::*;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A namespace, and a server in it that does with each question as it is told, until it is dropped.
struct Server {
    inside: OwnedFd,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(mut treat: impl FnMut(u64, &[u8], &mut dyn FnMut(Vec<u8>)) + Send + 'static) -> Server {
        let inside = netns::create().unwrap();
        raise_loopback(&inside).unwrap();
        let socket = netns::run(&inside, || UdpSocket::bind((SERVER, wire::PORT))).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            let mut count = 0;
            while !told.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let from: SocketAddr = from;
                treat(count, &buffer[..length], &mut |reply| assert!(socket.send_to(&reply, from).is_ok()));
                count += 1;
            }
        });
        Server { inside, ended, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the server panicked");
    }
}

fn answer(query: &[u8]) -> Vec<u8> {
    let mut bytes = query.to_vec();
    (bytes[2], bytes[3], bytes[7]) = (0x85, 0x80, 1);
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 9, 0, 2]);
    bytes
}

/// Asks until so many questions are out.
fn heard(server: &Server, questions: usize) -> Heard {
    let client = Steady::start(&server.inside, SERVER, vec!["web".into(), "db".into()]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.shared.sent.load(Ordering::Acquire) < questions {
        assert!(Instant::now() < deadline, "it does not ask");
        thread::yield_now();
    }
    client.finish().unwrap()
}

#[test]
fn all_that_is_answered_is_counted_once() {
    let server = Server::start(|_, query, reply| {
        reply(answer(query));
        reply(answer(query));
    });
    let heard = heard(&server, 200);
    assert!(heard.sent >= 200, "{heard:?}");
    assert_eq!((heard.latencies.len(), heard.bad()), (heard.sent, 0));
}

#[test]
fn what_is_not_answered_is_lost_and_what_is_refused_is_wrong() {
    let server = Server::start(|count, query, reply| match count % 10 {
        0 => (),
        1 => {
            let mut refused = query.to_vec();
            (refused[2], refused[3]) = (0x81, 0x85);
            reply(refused);
        }
        _ => reply(answer(query)),
    });
    let heard = heard(&server, 100);
    assert_eq!((heard.lost, heard.wrong), (heard.sent.div_ceil(10), (heard.sent + 8) / 10), "{heard:?}");
}

#[test]
fn an_answer_takes_no_less_than_it_is_held_back() {
    let held_for = Arc::new(Mutex::new(Vec::new()));
    let told = held_for.clone();
    let mut held: Vec<(Instant, Vec<u8>)> = Vec::new();
    // Each is answered when the twentieth after it comes.
    let server = Server::start(move |_, query, reply| {
        held.push((Instant::now(), answer(query)));
        if held.len() > 20 {
            let (since, first) = held.remove(0);
            told.lock().unwrap().push(since.elapsed());
            reply(first);
        }
    });
    let mut heard = heard(&server, 100);
    assert_eq!((heard.lost, heard.wrong), (20, 0));
    let mut held_for = held_for.lock().unwrap().clone();
    // What holds for each holds for them in order.
    held_for.sort_unstable();
    heard.latencies.sort_unstable();
    assert_eq!(heard.latencies.len(), held_for.len());
    for (took, held) in heard.latencies.iter().zip(&held_for) {
        assert!(took >= held, "{took:?}, held back for {held:?}");
    }
}

#[test]
fn nobody_there_is_all_lost_and_no_error() {
    let server = Server::start(|_, _, _| ());
    let nowhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let client = Steady::start(&server.inside, nowhere, vec!["web".into()]).unwrap();
    while client.shared.sent.load(Ordering::Acquire) < 20 {
        thread::yield_now();
    }
    let heard = client.finish().unwrap();
    assert_eq!(heard.lost, heard.sent);
}

#[test]
fn ids_that_come_round_mean_the_last_question() {
    assert_eq!(number(7, 8), Some(7));
    assert_eq!(number(0, 65_537), Some(65_536));
    assert_eq!(number(65_535, 65_537), Some(65_535));
    assert_eq!((number(8, 8), number(0, 0)), (None, None));
}
