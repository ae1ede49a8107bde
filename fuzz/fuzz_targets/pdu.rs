//! See `bodies::pdu`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skerry_fuzz::bodies::pdu(data));
