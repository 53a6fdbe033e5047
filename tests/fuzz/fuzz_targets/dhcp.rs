//! What a neighbour may send to a DHCP client. The promises are in src/dhcp/fuzz.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_dhcp::fuzz::dhcp(data));
