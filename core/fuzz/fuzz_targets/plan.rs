//! Any bytes as a plan: `cargo +nightly fuzz run plan` in `core`.
#![no_main]

#[path = "../../tests/it/plan_bytes.rs"]
mod plan_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    plan_bytes::check(data);
});
