//! Our half of `benches/peers/run.sh`: writes the streams to a folder, and what our detectors say and cost.
//!
//! `cargo bench -p visu-tility-drift --bench peers -- FOLDER` writes `NAME.f64` (little-endian doubles) for each
//! stream and `ours.json`. Without a folder it says what to run instead.

#[allow(dead_code, reason = "each bench takes what it needs")]
#[path = "../measure/rounds.rs"]
mod rounds;
#[allow(dead_code, reason = "each bench takes what it needs")]
#[path = "../measure/stream.rs"]
mod stream;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;

use serde_json::{Value, json};
use stream::{Stream, Uniform};
use visu_tility_drift::{AnyDetector, AnyParams, Detector, Setting};

const VALUES: usize = 50_000;
/// Values between the changes of the streams that change.
const PERIOD: usize = 5_000;
const ROUNDS: usize = 301;

/// A detector as river has it: our name, river's class, what differs from the defaults, the stream timed.
struct Peer {
    name: &'static str,
    theirs: &'static str,
    settings: &'static [(&'static str, Setting<'static>)],
    timed: &'static str,
}

const PEERS: &[Peer] = &[
    Peer { name: "adwin", theirs: "ADWIN", settings: &[], timed: "bits" },
    Peer { name: "adwin", theirs: "ADWIN", settings: &[("clock", Setting::Count(1))], timed: "bits" },
    Peer { name: "adwin", theirs: "ADWIN", settings: &[], timed: "normal" },
    Peer { name: "page-hinkley", theirs: "PageHinkley", settings: &[], timed: "bits" },
    Peer { name: "page-hinkley", theirs: "PageHinkley", settings: &[], timed: "normal" },
    Peer {
        name: "kswin",
        theirs: "KSWIN",
        settings: &[("sample", Setting::Word("random"))],
        timed: "normal",
    },
    Peer { name: "ddm", theirs: "DDM", settings: &[], timed: "bits" },
    Peer { name: "eddm", theirs: "EDDM", settings: &[], timed: "bits" },
    Peer { name: "hddm-a", theirs: "HDDMA", settings: &[], timed: "bits" },
    Peer { name: "hddm-w", theirs: "HDDMW", settings: &[], timed: "bits" },
    Peer { name: "fhddm", theirs: "FHDDM", settings: &[], timed: "bits" },
];

impl Peer {
    fn build(&self) -> Result<AnyDetector, Box<dyn Error>> {
        let mut params = AnyParams::by_name(self.name).ok_or_else(|| format!("no detector {}", self.name))?;
        params.set("compat", Setting::Word("river"))?;
        for (key, value) in self.settings {
            params.set(key, *value)?;
        }
        Ok(params.build()?)
    }
}

/// Error bits of .1 and standard normal values, without a change and with one every `PERIOD` values.
fn streams() -> Vec<(&'static str, Vec<f64>)> {
    let mut source = Uniform(26);
    let changed = |i: usize| (i / PERIOD) % 2 == 1;
    let bits = (0..VALUES).map(|i| f64::from(source.next() < if changed(i) { 0.3 } else { 0.1 })).collect();
    let normal =
        (0..VALUES).map(|i| Stream::Normal.draw(&mut source) + f64::from(u8::from(changed(i)))).collect();
    vec![
        ("bits", Stream::Bits.take(7, VALUES)),
        ("bits-changing", bits),
        ("normal", Stream::Normal.take(7, VALUES)),
        ("normal-changing", normal),
    ]
}

fn measured(peer: &Peer, streams: &[(&str, Vec<f64>)]) -> Result<Value, Box<dyn Error>> {
    let family = peer.timed;
    let mut alarms = serde_json::Map::new();
    for (name, stream) in streams.iter().filter(|(name, _)| name.starts_with(family)) {
        let mut detector = peer.build()?;
        let found: Vec<usize> = (0..)
            .zip(stream)
            .filter(|(_, x)| detector.update(**x).drift_detected())
            .map(|(i, _)| i)
            .collect();
        alarms.insert((*name).to_owned(), json!(found));
    }
    let timed = streams.iter().find(|(name, _)| *name == peer.timed).map_or(&[][..], |(_, stream)| stream);
    let mut detector = peer.build()?;
    let timing = rounds::time(timed, ROUNDS, |value| {
        black_box(detector.update(value));
    });
    let settings: serde_json::Map<String, Value> = peer
        .settings
        .iter()
        .filter_map(|(key, value)| match value {
            Setting::Count(count) => Some(((*key).to_owned(), json!(count))),
            Setting::Number(number) => Some(((*key).to_owned(), json!(number))),
            _ => None, // ours alone
        })
        .collect();
    Ok(json!({
        "name": peer.name, "theirs": peer.theirs, "settings": settings, "timed": peer.timed,
        "ns": timing.median, "least_ns": timing.least, "unit_ns": timing.unit, "alarms": alarms,
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().skip(1).find(|word| !word.starts_with('-')).map(PathBuf::from) else {
        println!("this is half of a comparison; run benches/peers/run.sh");
        return Ok(());
    };
    fs::create_dir_all(&folder)?;
    let streams = streams();
    for (name, stream) in &streams {
        let bytes: Vec<u8> = stream.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(folder.join(format!("{name}.f64")), bytes)?;
    }
    let rows: Vec<Value> = PEERS.iter().map(|peer| measured(peer, &streams)).collect::<Result<_, _>>()?;
    fs::write(folder.join("ours.json"), serde_json::to_string(&rows)?)?;
    Ok(())
}
