//! Runs the target `decoder` of the library on what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewheel_fuzz::targets::decoder::run(data));
