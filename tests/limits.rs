//! What a client may send, and how much: refused fast, with the code and the field, while others go on as if nothing were.

use std::io;
use std::time::{Duration, Instant};

use bowline_api::v1::{CreateNetwork, Failure};
use bowline_api::{Code, MAX_BODY, MAX_DEPTH};

use crate::support::http::{Line, request, request_in_chunks};
use crate::support::watch::Bystander;
use crate::support::{Daemon, endpoint, fastest, network};

/// How long it may take to say no.
const FAST: Duration = Duration::from_millis(10);

/// What another client may have to wait while somebody misbehaves.
const UNNOTICED: Duration = Duration::from_millis(500);

/// A daemon with something to lose: one network, one endpoint.
fn busy() -> Daemon {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    daemon.endpoint("web", &["front"]);
    daemon
}

/// Refused with this code, and fast; nothing was changed, and another client noticed nothing.
fn refused(daemon: &Daemon, bytes: &[u8], wanted: Code, what: &str) -> Failure {
    let before = daemon.dump();
    let (took, answer) = fastest(|| daemon.ask_raw(bytes));
    let (code, failure) = answer.failure();
    assert_eq!(code, wanted, "{what}: {failure:?}");
    assert!(took < FAST, "{what}: refused after {took:?}");
    assert_eq!(daemon.dump(), before, "{what}: something was changed");
    failure
}

/// The same for the body of a request: `field` is in what is said.
fn refused_body(daemon: &Daemon, path: &str, body: &[u8], wanted: Code, field: &str) {
    let method = if path.ends_with("front") { "PATCH" } else { "POST" };
    let start = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
    let failure = refused(daemon, &request(method, path, body), wanted, &start);
    let said = format!("{} {}", failure.message, failure.cause.clone().unwrap_or_default());
    assert!(said.contains(field), "{start}: {field} is not named: {failure:?}");
}

#[test]
fn bodies_that_are_not_understood_are_refused_by_the_field() {
    let daemon = busy();
    let bystander = Bystander::start(daemon.socket());
    let networks = "/v1/networks";
    for (body, field) in [
        // Unknown fields, at the top and below.
        (r#"{"name":"a","nmae":1}"#, "nmae"),
        (r#"{"name":"a","subnets":[{"cidr":"10.8.0.0/24","gatway":"10.8.0.1"}]}"#, "gatway"),
        (r#"{"name":"a","routes":[{"to":"192.0.2.0/24","via":"10.8.0.1","metric":1}]}"#, "metric"),
        // Wrong types, at the top and below.
        (r#"{"name":1}"#, "name"),
        (r#"{"name":null}"#, "name"),
        (r#"{"name":["a"]}"#, "name"),
        (r#"{"name":"a","internal":"yes"}"#, "internal"),
        (r#"{"name":"a","mtu_bytes":"1500"}"#, "mtu_bytes"),
        (r#"{"name":"a","mtu_bytes":-1}"#, "mtu_bytes"),
        (r#"{"name":"a","mtu_bytes":1.5}"#, "mtu_bytes"),
        (r#"{"name":"a","mtu_bytes":99999999999999999999}"#, "mtu_bytes"),
        (r#"{"name":"a","subnets":"10.8.0.0/24"}"#, "subnets"),
        (r#"{"name":"a","subnets":["10.8.0.0/24"]}"#, "subnets[0]"),
        (r#"{"name":"a","subnets":[{"cidr":"10.8.0.0/24"},{"cidr":9}]}"#, "subnets[1].cidr"),
        (r#"{"name":"a","subnets":[{"cidr":"10.8.0.0/24","gateway":"here"}]}"#, "subnets[0].gateway"),
        (r#"{"name":"a","subnets":[{"cidr":"10.8.0.0/24","aux_addresses":{"x":"y"}}]}"#, "aux_addresses.x"),
        (r#"{"name":"a","routes":[{"to":"192.0.2.0/24","via":7}]}"#, "routes[0].via"),
        (r#"{"name":"a","labels":{"k":1}}"#, "labels.k"),
        (r#"{"name":"a","labels":[]}"#, "labels"),
        // Words that are not of the list.
        (r#"{"name":"a","isolation":"total"}"#, "isolation"),
        (r#"{"name":"a","driver":"pigeon"}"#, "driver"),
        (r#"{"name":"a","gso":true}"#, "gso"),
        // Twice, missing, or nothing at all.
        (r#"{"name":"a","name":"b"}"#, "name"),
        (r#"{"name":"a","internal":true,"internal":false}"#, "internal"),
        (r#"{"name":"a","subnets":[{"cidr":"10.8.0.0/24","cidr":"10.7.0.0/24"}]}"#, "cidr"),
        (r#"{}"#, "name"),
        (r#"{"name":"a","subnets":[{}]}"#, "cidr"),
        ("", "body"),
        (" \n\t ", "body"),
        ("null", "body"),
        ("[]", "body"),
        (r#""front""#, "body"),
        ("name=front", "body"),
        // It begins well, and does not end well.
        (r#"{"name":"a"} {"name":"b"}"#, "body"),
        (r#"{"name":"a"}x"#, "body"),
        (r#"{"name":"a"}]"#, "body"),
        (r#"{"name":"a"#, "name"),
        (r#"{"name":"\ud800"}"#, "name"),
        ("{\"name\":\"a\nb\"}", "name"),
        ("\u{feff}{\"name\":\"a\"}", "body"),
        ("{\"name\":\"a\"}\0", "body"),
    ] {
        refused_body(&daemon, networks, body.as_bytes(), Code::InvalidRequest, field);
        refused_body(&daemon, "/v1/networks/plan", body.as_bytes(), Code::InvalidRequest, field);
    }
    for (path, body, field) in [
        ("/v1/networks/front", r#"{"subnets":[]}"#, "subnets"),
        ("/v1/networks/front", r#"{"icc":1}"#, "icc"),
        ("/v1/networks/front", "", "body"),
        ("/v1/endpoints", r#"{"name":"x"}"#, "netns"),
        ("/v1/endpoints", r#"{"name":"x","netns":"/run/netns/x"}"#, "netns"),
        ("/v1/endpoints", r#"{"name":"x","netns":{"fd":-1}}"#, "netns.fd"),
        ("/v1/endpoints", r#"{"name":"x","netns":{"pid":1}}"#, "pid"),
        ("/v1/endpoints", r#"{"name":"x","netns":{},"networks":["front"]}"#, "networks[0]"),
        (
            "/v1/endpoints",
            r#"{"name":"x","netns":{},"networks":[{"network":"front","ip":"fd00::5"}]}"#,
            "networks[0].ip",
        ),
        (
            "/v1/endpoints",
            r#"{"name":"x","netns":{},"networks":[{"network":"front","ip6":"10.9.0.5"}]}"#,
            "networks[0].ip6",
        ),
        (
            "/v1/endpoints",
            r#"{"name":"x","netns":{},"networks":[{"network":"front","ip":"10.9.0.5/24"}]}"#,
            "networks[0].ip",
        ),
        (
            "/v1/endpoints",
            r#"{"name":"x","netns":{},"networks":[{"network":"front","ip":"010.9.0.5"}]}"#,
            "networks[0].ip",
        ),
        (
            "/v1/endpoints",
            r#"{"name":"x","netns":{},"networks":[{"network":"front","aliases":"a"}]}"#,
            "networks[0].aliases",
        ),
        (
            "/v1/endpoints",
            r#"{"name":"x","netns":{},"networks":[{"network":"front","gw_priority":3000000000}]}"#,
            "networks[0].gw_priority",
        ),
        ("/v1/endpoints/web/connect", r#"{"net":"front"}"#, "net"),
        ("/v1/endpoints/web/connect", "{}", "network"),
        ("/v1/endpoints/web/disconnect", r#"{"network":"front","force":true}"#, "force"),
        ("/v1/endpoints/web/disconnect", "", "body"),
    ] {
        refused_body(&daemon, path, body.as_bytes(), Code::InvalidRequest, field);
    }
    bystander.saw_nothing(UNNOTICED);
}

#[test]
fn a_body_that_breaks_off_is_said_to() {
    let daemon = busy();
    for body in [
        r#"{"name":"a""#,
        r#"{"name":"a","#,
        r#"{"name":"a","in"#,
        "{",
        r#"{"name":"a",}"#,
        r#"{"name":"a";}"#,
        "{name:1}",
    ] {
        refused_body(
            &daemon,
            "/v1/networks",
            body.as_bytes(),
            Code::InvalidRequest,
            "the request's body is not understood",
        );
    }
}

#[test]
fn a_list_is_not_taken_for_an_object() {
    let daemon = busy();
    for (path, body, field) in [
        ("/v1/networks", r#"["a"]"#, "body"),
        ("/v1/networks", r#"{"name":"a","subnets":[["10.8.0.0/24"]]}"#, "subnets[0]"),
        (
            "/v1/networks",
            r#"{"name":"a","subnets":[{"cidr":"10.8.0.0/24"}],"routes":[["192.0.2.0/24","10.8.0.9"]]}"#,
            "routes[0]",
        ),
        ("/v1/networks/front", "[]", "body"),
        ("/v1/endpoints", r#"{"name":"x","netns":[null,"/x"]}"#, "netns"),
        ("/v1/endpoints/web/disconnect", r#"["front"]"#, "body"),
    ] {
        refused_body(&daemon, path, body.as_bytes(), Code::InvalidRequest, field);
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    let daemon = busy();
    for body in
        [&b"{\"name\":\"\xff\"}"[..], b"\xff\xfe{\0", b"{\"name\":\"\xc0\xaf\"}", b"{\"\xed\xa0\x80\":1}"]
    {
        let what = format!("{body:?}");
        refused(&daemon, &request("POST", "/v1/networks", body), Code::InvalidRequest, &what);
    }
}

#[test]
fn paths_that_are_not_text_are_refused_as_everything_else_is() {
    let daemon = busy();
    for path in [
        "/v1/networks/%ff",
        "/v1/networks/%00",
        "/v1/networks/%0a",
        "/v1/networks/%zz",
        "/v1/endpoints/%c0%af",
    ] {
        let answer = daemon.ask("GET", path, "");
        let (code, failure) = answer.failure();
        let known = [Code::NetworkNotFound, Code::EndpointNotFound, Code::InvalidRequest];
        assert!(known.contains(&code), "{path}: {failure:?}");
        assert!(!answer.text().contains(['\n', '\0']), "{path}: {}", answer.text());
    }
}

#[test]
fn a_body_over_a_mebibyte_is_refused_whether_its_length_was_announced_or_not() {
    let daemon = busy();
    let bystander = Bystander::start(daemon.socket());
    let body = |length: usize| {
        let mut body = br#"{"name":"a","labels":{"k":""#.to_vec();
        body.resize(length - 3, b'x');
        body.extend(br#""}}"#);
        body
    };
    for length in [MAX_BODY + 1, 3 * MAX_BODY] {
        let whole = body(length);
        refused(&daemon, &request("POST", "/v1/networks", &whole), Code::TooLarge, "with a length");
        refused(&daemon, &request_in_chunks("POST", "/v1/networks", &whole), Code::TooLarge, "in chunks");
    }
    // The largest that fits is read, and refused for what it says.
    let most = daemon.ask_raw(&request("POST", "/v1/networks", &body(MAX_BODY)));
    assert_eq!(most.failure().0, Code::InvalidOption, "a label is too long");
    bystander.saw_nothing(UNNOTICED);
}

#[test]
fn a_body_that_is_announced_to_be_too_large_is_refused_before_it_comes() {
    let daemon = busy();
    for length in [MAX_BODY as u64 + 1, 99_999_999_999, 1 << 60] {
        let head =
            format!("POST /v1/networks HTTP/1.1\r\nHost: bowline\r\nContent-Length: {length}\r\n\r\n{{");
        refused(&daemon, head.as_bytes(), Code::TooLarge, &head);
    }
}

#[test]
fn a_client_of_ours_that_sends_too_much_is_told_so() {
    let daemon = busy();
    let labels = (0..40_000).map(|n| (format!("{n:040}"), String::new())).collect();
    let wish = CreateNetwork { labels, ..network("a", "10.8.0.0/24") };
    let error = daemon.client().create_network(&wish).unwrap_err();
    assert_eq!(error.code, Code::TooLarge, "{error}");
}

#[test]
fn json_is_read_to_a_depth_of_64() {
    let daemon = busy();
    for deep in [MAX_DEPTH + 1, 1000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let body = format!("{{\"name\":{}1{}}}", open.repeat(deep), close.repeat(deep));
            refused_body(&daemon, "/v1/networks", body.as_bytes(), Code::TooDeep, "64");
        }
        refused_body(&daemon, "/v1/networks", "[".repeat(deep).as_bytes(), Code::TooDeep, "64");
    }
    let deepest = format!("{{\"name\":{}{}}}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    refused_body(&daemon, "/v1/networks", deepest.as_bytes(), Code::InvalidRequest, "name");
    let text = format!(r#"{{"name":"a","labels":{{"k":"{}"}}}}"#, "[{\\\"".repeat(MAX_DEPTH));
    assert_eq!(daemon.ask("POST", "/v1/networks", &text).status, 200, "brackets in text are text");
}

#[test]
fn names_of_ten_thousand_bytes_are_refused_and_cut_in_what_is_said() {
    let daemon = busy();
    let long = "x".repeat(10_000);
    let short = |failure: &Failure| {
        let length = failure.message.len() + failure.cause.as_ref().map_or(0, String::len);
        assert!(length < 1000, "{length} bytes are said about a long name");
    };
    let at = |body: String, path: &str, code: Code| {
        short(&refused(&daemon, &request("POST", path, body.as_bytes()), code, "a long name in a body"));
    };
    at(format!(r#"{{"name":"{long}"}}"#), "/v1/networks", Code::InvalidName);
    at(format!(r#"{{"name":"{long}","netns":{{}}}}"#), "/v1/endpoints", Code::InvalidName);
    at(
        format!(r#"{{"name":"a","netns":{{"path":"/{long}"}},"hostname":"{long}"}}"#),
        "/v1/endpoints",
        Code::InvalidName,
    );
    at(format!(r#"{{"network":"{long}"}}"#), "/v1/endpoints/web/connect", Code::NetworkNotFound);
    at(format!(r#"{{"network":"{long}"}}"#), "/v1/endpoints/web/disconnect", Code::NetworkNotFound);
    at(
        format!(r#"{{"network":"front","interface":"{long}"}}"#),
        "/v1/endpoints/web/connect",
        Code::InvalidInterface,
    );
    at(format!(r#"{{"network":"front","mac":"{long}"}}"#), "/v1/endpoints/web/connect", Code::InvalidMac);
    at(
        format!(r#"{{"network":"front","aliases":["{long}"]}}"#),
        "/v1/endpoints/web/connect",
        Code::InvalidName,
    );
    at(format!(r#"{{"name":"a","subnets":[{{"cidr":"{long}"}}]}}"#), "/v1/networks", Code::InvalidSubnet);
    at(format!(r#"{{"name":"a","{long}":1}}"#), "/v1/networks", Code::InvalidRequest);
    at(format!(r#"{{"name":"a","isolation":"{long}"}}"#), "/v1/networks", Code::InvalidRequest);
    for path in ["networks", "endpoints"] {
        for method in ["GET", "DELETE"] {
            let code = if path == "networks" { Code::NetworkNotFound } else { Code::EndpointNotFound };
            let bytes = request(method, &format!("/v1/{path}/{long}"), b"");
            short(&refused(&daemon, &bytes, code, "a long name in a path"));
        }
    }
}

#[test]
fn lists_that_never_end_are_refused() {
    let daemon = busy();
    let many = |one: &str| vec![one; 20_000].join(",");
    let subnets = format!(r#"{{"name":"a","subnets":[{}]}}"#, many(r#"{"cidr":"10.8.0.0/24"}"#));
    let before = daemon.dump();
    let begun = Instant::now();
    let (code, failure) = daemon.ask("POST", "/v1/networks", &subnets).failure();
    assert_eq!(code, Code::SubnetOverlap, "{failure:?}");
    let joins =
        format!(r#"{{"name":"x","netns":{{"path":"/x"}},"networks":[{}]}}"#, many(r#"{"network":"front"}"#));
    let (code, failure) = daemon.ask("POST", "/v1/endpoints", &joins).failure();
    assert_eq!(code, Code::AlreadyConnected, "{failure:?}");
    let labels: Vec<String> = (0..20_000).map(|n| format!(r#""k{n}":"v""#)).collect();
    let labels = format!(r#"{{"name":"a","labels":{{{}}}}}"#, labels.join(","));
    let (code, failure) = daemon.ask("POST", "/v1/networks", &labels).failure();
    assert_eq!(code, Code::InvalidOption, "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "long lists took {:?}", begun.elapsed());
    assert_eq!(daemon.dump(), before);
}

#[test]
fn what_is_no_http_is_refused_or_hung_up_on_and_nobody_notices() {
    let daemon = busy();
    let before = daemon.dump();
    let bystander = Bystander::start(daemon.socket());
    let many: String = (0..5000).map(|n| format!("X-{n}: {}\r\n", "y".repeat(100))).collect();
    let few: String = (0..150).map(|n| format!("X-{n}: y\r\n")).collect();
    for (what, bytes) in [
        ("nonsense", "\r\n\r\nwhat?\r\n\r\n".to_string()),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_string()),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_string()),
        ("no version", "GET /v1/version\r\n\r\n".to_string()),
        ("many headers", format!("GET /v1/version HTTP/1.1\r\n{few}\r\n")),
        ("a flood of headers", format!("GET /v1/version HTTP/1.1\r\n{many}\r\n")),
        ("one header without end", format!("GET /v1/version HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20))),
        ("a path without end", format!("GET /v1/{} HTTP/1.1\r\n\r\n", "y".repeat(1 << 20))),
        (
            "two lengths",
            "POST /v1/networks HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}".to_string(),
        ),
        ("a bad length", "POST /v1/networks HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}".to_string()),
        ("a bad chunk", "POST /v1/networks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_string()),
    ] {
        let mut line = Line::open(&daemon.socket());
        // It may hang up before it has read all of it.
        let sent = line.send(bytes.as_bytes());
        let hung_up = |e: &io::Error| {
            use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            matches!(e.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
        };
        match line.answer() {
            Ok(answer) => assert!((400..500).contains(&answer.status), "{what}: {answer:?}"),
            Err(error) => assert!(hung_up(&error), "{what}: {error}, after {sent:?}"),
        }
    }
    bystander.saw_nothing(UNNOTICED);
    assert_eq!(daemon.dump(), before);
}

#[test]
fn clients_that_are_slow_or_say_nothing_hold_nobody_up() {
    let daemon = busy();
    let slow: Vec<Line> = (0..200)
        .map(|n| {
            let mut line = Line::open(&daemon.socket());
            let begun: &[u8] = match n % 4 {
                0 => b"",
                1 => b"GET /v1/ver",
                2 => b"POST /v1/networks HTTP/1.1\r\nHost: bowline\r\nContent-Length: 1000\r\n\r\n{\"name\":",
                _ => b"POST /v1/endpoints HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"na",
            };
            line.send(begun).unwrap();
            line
        })
        .collect();
    let bystander = Bystander::start(daemon.socket());
    for n in 0..20 {
        daemon.endpoint(&format!("e{n}"), &["front"]);
    }
    bystander.saw_nothing(UNNOTICED);
    drop(slow);
    assert_eq!(daemon.client().networks().unwrap().len(), 3);
}

#[test]
fn connections_that_say_nothing_give_way_to_one_that_asks() {
    let daemon = busy();
    // More than there are places for (512).
    let idle: Vec<Line> = (0..600).map(|_| Line::open(&daemon.socket())).collect();
    let asked = Instant::now();
    daemon.client().create_endpoint(&endpoint("late", &["front"])).unwrap();
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(1), "a client waited {waited:?} for others that say nothing");
    drop(idle);
    assert_eq!(daemon.client().endpoints().unwrap().len(), 2);
}
