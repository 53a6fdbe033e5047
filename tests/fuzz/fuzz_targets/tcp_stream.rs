//! What a container may send over a connection. The promises are in src/dns/fuzz.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_dns::fuzz::tcp_stream(data));
