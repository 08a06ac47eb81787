//! Every detector over 10^8 values: its state stays small, finite, and readable.
//!
//! Run with `cargo bench -p visu-tility-drift --bench soak -- [VALUES] [--full] [NAME...]`. `VALUES` (default
//! 100000000) are fed to each detector by name under its defaults, from a seeded stream without a change. A
//! detector that takes more than 500 ns a value gets a tenth of them, unless `--full` is asked for; the table
//! says how many it was. Ends with an error when a check fails:
//!
//! - every statistic and threshold is finite, as are the level and baseline where a detector tells them;
//! - the written state, looked at every 100,000 values, is at most 4,096 bytes, and is read back at each look,
//!   which refuses every number that is not finite;
//! - the detector that was read back gives the same signals for 10,000 more values, and writes the same bytes.
//!
//! *Constant* is a state as long at every look from the first million on; *bounded* one that breathes or
//! grows within the limit, with the least and the most it was.

#[allow(dead_code, reason = "each bench takes what it needs")]
#[path = "../measure/stream.rs"]
mod stream;

use std::process::ExitCode;
use std::time::Instant;

use stream::{Stream, Uniform};
use visu_tility_drift::codec::Reader;
use visu_tility_drift::{AnyDetector, AnyParams, Detector};

const VALUES: u64 = 100_000_000;
/// Between two looks at the state.
const LOOK: u64 = 100_000;
/// From here on the state is to stay as it is.
const SETTLED: u64 = 1_000_000;
const AFTER: usize = 10_000;
/// Detectors that take longer than this, in nanoseconds at their fastest, get a tenth of the values.
const SLOW: f64 = 500.0;
const LIMIT: usize = 4_096;

/// What a look at the state found.
#[derive(Clone, Copy)]
struct Look {
    /// Bytes at the first million.
    settled: usize,
    least: usize,
    most: usize,
}

fn written(detector: &AnyDetector) -> Vec<u8> {
    let mut bytes = Vec::new();
    detector.write_state(&mut bytes);
    bytes
}

/// Feeds one detector; returns the line of the table or what is wrong.
fn soak(params: AnyParams, values: u64, full: bool) -> Result<String, String> {
    let mut detector = params.build().map_err(|error| error.to_string())?;
    let stream = Stream::of(params.input());
    let mut source = Uniform(2024);
    let mut values = values;
    let mut look: Option<Look> = None;
    let (mut alarms, mut at) = (0_u64, 0);
    let (mut busy, mut least) = (0.0, f64::INFINITY);
    let mut chunk = vec![0.0; LOOK as usize];
    while at < values {
        chunk.fill_with(|| stream.draw(&mut source));
        let start = Instant::now();
        let (more, finite) = feed(&mut detector, &chunk);
        let took = start.elapsed().as_nanos() as f64;
        busy += took;
        least = took.min(least);
        alarms += more;
        at += LOOK;
        if !finite {
            return Err(format!("a number is not finite before value {at}"));
        }
        if !full && at == SETTLED && least / LOOK as f64 > SLOW {
            values = (values / 10).max(at);
        }
        check(&detector, at, &mut look)?;
    }
    let bytes = written(&detector);
    continues(&params, &mut detector, stream, &mut source, &bytes)?;
    let look = look.unwrap_or(Look { settled: bytes.len(), least: bytes.len(), most: bytes.len() });
    let verdict = if look.least == look.most { "constant" } else { "bounded" };
    Ok(format!(
        "| `{}` | {} | {at} | {alarms} | {:.1} | {} | {} to {} | {} | {verdict} |",
        params.name(),
        stream.name(),
        busy / at as f64,
        look.settled,
        look.least,
        look.most,
        bytes.len(),
    ))
}

/// Returns how many alarms there were, and whether every number of every signal is finite.
fn feed(detector: &mut AnyDetector, values: &[f64]) -> (u64, bool) {
    let (mut alarms, mut finite) = (0, true);
    for &value in values {
        let signal = detector.update(value);
        alarms += u64::from(signal.drift_detected());
        finite &= signal.statistic.is_finite() & signal.threshold.is_finite();
    }
    let levels = [detector.estimation(), detector.baseline(), detector.arl()];
    (alarms, finite && levels.into_iter().flatten().all(f64::is_finite))
}

/// Looks at the written state.
fn check(detector: &AnyDetector, at: u64, look: &mut Option<Look>) -> Result<(), String> {
    let bytes = written(detector);
    let length = bytes.len();
    if length > LIMIT {
        return Err(format!("{length} bytes at value {at}"));
    }
    let read = detector.clone().read_state(&mut Reader::new(&bytes));
    read.map_err(|error| format!("its own state at value {at} is refused: {error}"))?;
    if at >= SETTLED {
        let first = Look { settled: length, least: length, most: length };
        let before = look.unwrap_or(first);
        *look = Some(Look { least: before.least.min(length), most: before.most.max(length), ..before });
    }
    Ok(())
}

/// Reads the state into a new detector and feeds both.
fn continues(
    params: &AnyParams,
    detector: &mut AnyDetector,
    stream: Stream,
    source: &mut Uniform,
    bytes: &[u8],
) -> Result<(), String> {
    let mut restored = params.build().map_err(|error| error.to_string())?;
    let mut reader = Reader::new(bytes);
    let read = restored.read_state(&mut reader).and_then(|()| reader.finish());
    read.map_err(|error| format!("its own state is refused: {error}"))?;
    for i in 0..AFTER {
        let value = stream.draw(source);
        let (a, b) = (detector.update(value), restored.update(value));
        if a != b {
            return Err(format!("value {i} after the snapshot: {a:?}, restored {b:?}"));
        }
    }
    if written(detector) == written(&restored) { Ok(()) } else { Err("it went another way".to_owned()) }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let full = words.iter().any(|word| word == "--full");
    let quick = words.iter().any(|word| word == "--quick");
    let words: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let number = words.iter().find_map(|word| word.parse::<u64>().ok());
    let names: Vec<&&String> = words.iter().filter(|word| word.parse::<u64>().is_err()).collect();
    let values = number.unwrap_or(if quick { SETTLED } else { VALUES }).max(LOOK);
    println!("| detector | stream | values | alarms | ns | bytes at 10^6 | since | at the end | state |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut failed = false;
    for name in AnyParams::NAMES {
        if !names.is_empty() && names.iter().all(|asked| asked.as_str() != *name) {
            continue;
        }
        let Some(params) = AnyParams::by_name(name) else { continue };
        match soak(params, values, full) {
            Ok(line) => println!("{line}"),
            Err(what) => {
                failed = true;
                println!("| `{name}` | FAILED: {what} |");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
