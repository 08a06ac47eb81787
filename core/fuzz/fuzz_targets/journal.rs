//! Any bytes as a journal piece: `cargo +nightly fuzz run journal` in `core`.
#![no_main]

#[path = "../../tests/it/journal_bytes.rs"]
mod journal_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| journal_bytes::check(data));
