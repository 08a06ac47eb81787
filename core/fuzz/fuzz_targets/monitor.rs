//! Any bytes as a monitor's snapshot, or as edits of one: `cargo +nightly fuzz run monitor` in `core`.
#![no_main]

#[path = "../../tests/it/monitor_bytes.rs"]
mod monitor_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    monitor_bytes::check_edits(data);
});
