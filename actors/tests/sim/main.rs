//! The whole system on virtual time over a disk that fails: random scripts, held against an uninterrupted run.
//!
//! ```text
//! cargo xtask sim [--seeds N] [--from S] [--threads N] [--steps N] [--trace]
//! ```
//!
//! Without options it is a short test. Each seed is one simulation: `script` draws what happens, `run` carries it out in
//! one process after the other (`deed`: what publishers and operators do; `disk`: what goes wrong; `sink`: whom actions
//! are for), `record` keeps what was tried, acknowledged, committed and delivered, and `oracle` makes of the journal what
//! should be there, with the core alone. A seed that fails is printed with the shortest beginning of its script that
//! fails, and its trace.
//!
//! An observer that does not come back is not played: all actors, the ledger and the clock are on one thread here, and what
//! blocks it blocks them. That a shard is taken over is tested with real threads in `tests/it/stuck.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may stop

mod chance;
mod deed;
mod disk;
mod oracle;
mod plans;
mod record;
mod run;
mod script;
mod sink;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::run::{Figures, Outcome, run};
use crate::script::{SMALL_OUTBOX_FROM, Script, WIDE_FROM, WILD_FROM};

/// Seeds that failed once, and what was at fault. They hold as long as `script` draws the same.
const REGRESSIONS: &[(u64, &str)] = &[
    (0, "a replay waited for credits that publishers held, and they for the replay"),
    (2, "a model that waits for its restart was saved again and again, without a pause"),
    (29, "a name that came back before its retirement was in the store got the old state back"),
    (44, "an event before a retirement in one commit was a dead letter when its model was not awake"),
    (50, "a store that is read-only during a recovery left everybody waiting for its end"),
    (419, "time was noted at waits that were over, but not in a monitor that was restored"),
    (846, "a model lost its place between the commit of its events and their shard"),
    (3184, "a full journal had nothing saved that kept it long"),
    (880_059, "a model that came back while the store took nothing was uncounted twice"),
    (509_705, "a tick of a sleeping model was lost with the commit that failed"),
    (1_000_756, "a journal that could not be read was passed over when saves waited"),
    (1_210_142, "a model that was named and never woken was counted on when its name was let go"),
    (
        2_017_853,
        "a batch that was cut while the journal was repeated had no offsets that followed one another",
    ),
    (1_212_962, "a reset that was repeated threw away a later state that could not be read"),
    (3346, "the journal was cut above what a retired model had not saved, before its end was in the store"),
    (
        7_700_744,
        "a model that slept while its own plan came into force again did not follow it, as others do",
    ),
    (7_702_335, "the same, with other events between"),
    (7_702_607, "the same, when it had panicked before"),
    (602_953, "a full journal had one state saved at a time, and as many commits refused between"),
    (2_015_744, "a model that was retired and came back in a commit whose answer was lost was set aside"),
    (520_060, "the same"),
    (
        2_010_383,
        "(the play's) a model whose state nobody knows was held to be due by the state that it should have",
    ),
    (8_810_023, "a model that woke under a plan that was in force for the second time followed it once more"),
    (
        20_000_658,
        "a model that was set aside followed a plan without what it had not seen, and told of an end that no replay tells of",
    ),
    (20_002_513, "the same, with two versions"),
    (
        60_012_761,
        "(the play's) a model was reset between two refusals of its state, and a replay told of its end in other words",
    ),
    (
        60_011_191,
        "a full journal had what was delivered refused with what was published, each time, so that nothing made room",
    ),
];

/// Seeds of the short test.
const SHORT: u64 = 200;

/// What is asked for.
#[derive(Clone, Debug)]
struct Options {
    seeds: u64,
    from: u64,
    threads: usize,
    steps: usize,
    trace: bool,
}

impl Options {
    /// Reads the words of the command line; `None` when a test of another name is asked for.
    fn read(words: &[String]) -> Result<Option<Self>, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self { seeds: SHORT, from: 0, threads: cores, steps: usize::MAX, trace: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let next = words.next().ok_or_else(|| format!("{word} needs a number"))?;
                next.parse::<u64>().map_err(|error| format!("{word} {next}: {error}"))
            };
            match word.as_str() {
                "--seeds" => options.seeds = number()?,
                "--from" => options.from = number()?,
                "--threads" => options.threads = number()?.clamp(1, 256) as usize,
                "--steps" => options.steps = number()? as usize,
                "--trace" => options.trace = true,
                // What cargo hands to every test.
                "--list" | "--ignored" => return Ok(None),
                "--test-threads" | "--skip" | "--format" | "--color" => drop(words.next()),
                other if !other.starts_with('-') && !"simulation".contains(other) => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(options))
    }
}

/// A simulation, whatever in it panics.
fn simulate(seed: u64, steps: usize, trace: bool) -> Outcome {
    let simulated = catch_unwind(AssertUnwindSafe(|| run(&Script::draw(seed), steps, trace)));
    simulated.unwrap_or_else(|_| Outcome {
        figures: Figures::default(),
        problems: vec![format!("the simulation panicked: {}", last_panic())],
        trace: Vec::new(),
    })
}

thread_local! {
    static LAST_PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

fn last_panic() -> String {
    LAST_PANIC.with_borrow(Clone::clone)
}

/// Panics are part of the play: they are told only when they end a simulation.
fn be_quiet() {
    std::panic::set_hook(Box::new(|info| {
        let said = info.to_string();
        LAST_PANIC.with_borrow_mut(|last| *last = said);
    }));
}

/// Looks for the shortest beginning of a script that fails, by halving.
fn shorten(seed: u64) -> usize {
    let (mut good, mut bad) = (0, Script::draw(seed).steps.len());
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if simulate(seed, middle, false).problems.is_empty() {
            good = middle;
        } else {
            bad = middle;
        }
    }
    bad
}

fn tell(seed: u64, outcome: &Outcome, options: &Options) {
    println!("seed {seed} failed:");
    for problem in outcome.problems.iter().take(6) {
        println!("  {problem}");
    }
    let steps = if options.steps == usize::MAX { shorten(seed) } else { options.steps };
    if options.trace && options.seeds > 1 {
        let shortest = simulate(seed, steps, true);
        println!("trace of its first {steps} steps:");
        shortest.trace.iter().for_each(|line| println!("  {line}"));
        shortest.problems.iter().take(6).for_each(|problem| println!("  {problem}"));
    }
    println!("again: cargo xtask sim --from {seed} --seeds 1 --steps {steps} --trace");
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::read(&words) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    be_quiet();
    let begun = Instant::now();
    let (next, failed, sum) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Figures::default()));
    let over = AtomicBool::new(false);
    let known = REGRESSIONS.len() as u64; // after the others, when the first seed is among them
    let all = options.seeds + if options.from == 0 { known } else { 0 };
    let work = || {
        while !over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= all {
                return;
            }
            let seed = match number.checked_sub(options.seeds) {
                Some(place) => REGRESSIONS[place as usize].0,
                // Without a choice some of each kind.
                None if options.from == 0 && number < options.seeds / 8 => SMALL_OUTBOX_FROM + number,
                None if options.from == 0 && number < options.seeds / 4 => WILD_FROM + number,
                None if options.from == 0 && number < options.seeds / 2 => WIDE_FROM + number,
                None => options.from + number,
            };
            let told = options.trace && options.seeds == 1;
            let outcome = simulate(seed, options.steps, told);
            outcome.trace.iter().for_each(|line| println!("  {line}"));
            sum.lock().add(&outcome.figures);
            if !outcome.problems.is_empty() {
                tell(seed, &outcome, &options);
                over.store(failed.fetch_add(1, Ordering::Relaxed) >= 4, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(work);
        }
    });
    let (sum, failed) = (sum.into_inner(), failed.into_inner());
    let took = begun.elapsed();
    println!(
        "simulation: {all} seeds from {}, {failed} failed, {:.2} ms each on {} threads; {sum:?}",
        options.from,
        took.as_secs_f64() * 1e3 / all.max(1) as f64,
        options.threads,
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
