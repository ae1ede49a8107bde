//! See `bodies::canonical_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skerry_fuzz::bodies::canonical_json(data));
