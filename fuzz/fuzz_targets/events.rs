//! Any bytes as events: `cargo +nightly fuzz run events`.
#![no_main]

#[path = "../../tests/it/event_bytes.rs"]
mod event_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    event_bytes::check(data);
});
