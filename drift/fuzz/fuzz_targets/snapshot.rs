//! Any bytes as a detector's state: `cargo +nightly fuzz run snapshot` in `drift`.
#![no_main]

#[path = "../../tests/it/any_bytes.rs"]
mod any_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| any_bytes::check(data));
