//! What a configuration may say. The promises are in plugins/cni/fuzz.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_cni::fuzz::cni_config(data));
