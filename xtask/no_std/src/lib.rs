//! Links drift into a library without std: `cargo xtask purity` builds it, for this machine.
//!
//! A crate graph has one handler of panics. Std brings its own, so this one would be refused as a duplicate if
//! any crate here linked std. `unsafe` is what an allocator and a symbol for C are made of; this is no part of
//! any product.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use visu_tility_drift::{AnyParams, Detector};

/// Gives no memory: the library is built, never run.
struct Nothing;

unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Every detector, so that all of them are compiled to machine code.
#[unsafe(no_mangle)]
pub extern "C" fn drifts(value: f64) -> usize {
    let mut state = alloc::vec::Vec::new();
    let params = AnyParams::NAMES.iter().filter_map(|name| AnyParams::by_name(name));
    let detectors = params.filter_map(|params| params.build().ok());
    detectors
        .filter_map(|mut detector| {
            detector.write_state(&mut state);
            detector.update(value).drift_detected().then_some(())
        })
        .count()
}
