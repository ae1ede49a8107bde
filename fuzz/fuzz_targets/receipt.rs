//! See `bodies::receipt`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skerry_fuzz::bodies::receipt(data));
