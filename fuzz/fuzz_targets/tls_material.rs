//! Runs the target `tls_material` of the library on what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewheel_fuzz::targets::tls_material::run(data));
