//! What a server may send. The promises are in src/dns/fuzz.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_dns::fuzz::response(data));
