//! What may stand in the host's resolv.conf. The promises are in src/dns/fuzz.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_dns::fuzz::resolv_conf(data));
