//! Runs the target `conn_ops` of the library on what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewheel_fuzz::targets::conn_ops::run(data));
