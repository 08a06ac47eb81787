//! A million names that nobody knows: what they cost in memory, and what they cost the models that are known.
//!
//! For each policy, without a store, over SQLite and over HTTP: 1,000 known models are asked for one event after the other
//! (sent, and answered when it is handled) for a while, once in peace and once while another thread sends unknown names as
//! fast as it can. Three rounds, medians. Each scenario runs in a process of its own; memory is what the system says is
//! resident (Linux only), after the attack against before it. A model that a policy lets in costs what a model costs: the
//! bound is told with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer, rt::System};
use visu_tility::http::HttpSurface;
use visu_tility::monitoring::{
    AdmissionPolicy, Glob, MetricEvent, MetricKind, Monitoring, MonitoringBuilder, MonitoringHandle,
    NewModels, block_on,
};
use visu_tility::store::{SqliteStore, StoreLimits};

type Failure = Box<dyn std::error::Error>;

const UNKNOWN: u64 = 1_000_000;
const KNOWN: usize = 1_000;
const ROUNDS: u64 = 3;
/// Unknown names that are sent at once.
const BATCH: u64 = 1_000;
/// Events of known models in each half of a round.
const ASKED: usize = 2_000;

fn resident() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split_whitespace().nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4_096.0 / f64::from(1 << 20))
}

fn policy(name: &str) -> Result<AdmissionPolicy, Failure> {
    Ok(match name {
        "open" => AdmissionPolicy::Open,
        "list" => AdmissionPolicy::AllowList(vec![Glob::new("known-*")]),
        "quota" => AdmissionPolicy::Quota(NewModels { new_max: 100, ..NewModels::default() }),
        other => return Err(format!("no policy {other}").into()),
    })
}

fn event(model: &str) -> Result<MetricEvent, Failure> {
    Ok(MetricEvent::new(model, MetricKind::Accuracy, 0.9)?)
}

fn known(number: usize) -> String {
    format!("known-{}", number % KNOWN)
}

/// A monitoring that knows its models, at most 10,000.
fn start(name: &str, folder: Option<&PathBuf>) -> Result<MonitoringHandle, Failure> {
    let build = || -> Result<MonitoringBuilder, Failure> {
        let builder = Monitoring::builder().models_max(10_000);
        Ok(match folder {
            None => builder,
            Some(folder) => {
                let store = SqliteStore::open(folder.join("store.db"), StoreLimits::default())?.0;
                builder.store(Box::new(store))
            }
        })
    };
    let make_known = |handle: &MonitoringHandle| -> Result<(), Failure> {
        let events = (0..KNOWN).map(|number| event(&known(number))).collect::<Result<Vec<_>, _>>()?;
        // With a quota several times; they are in one period.
        for _ in 0..3 {
            let _ = block_on(handle.publish_batch(events.clone()));
        }
        Ok(block_on(handle.flush())?)
    };
    if folder.is_some() {
        let handle = build()?.start()?;
        make_known(&handle)?;
        let report = block_on(handle.shutdown(Duration::from_mins(1)));
        assert!(report.complete, "{report:?}");
        let handle = build()?.admission(policy(name)?).start()?;
        let _ = block_on(handle.recovered());
        make_known(&handle)?;
        return Ok(handle);
    }
    let quota = NewModels { new_max: KNOWN as u64 + 100, ..NewModels::default() };
    let policy = if name == "quota" { AdmissionPolicy::Quota(quota) } else { policy(name)? };
    let handle = build()?.admission(policy).start()?;
    make_known(&handle)?;
    Ok(handle)
}

/// Asks for known models' events, one after the other; p50 and p99 in µs.
fn ask(mut one: impl FnMut(&str) -> Result<(), Failure>) -> Result<(f64, f64), Failure> {
    let mut waits = Vec::with_capacity(ASKED);
    for number in 0..ASKED {
        let model = known(number * 7);
        let start = Instant::now();
        one(&model)?;
        waits.push(start.elapsed().as_secs_f64() * 1e6);
    }
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits.get(ASKED * share / 100).copied().unwrap_or(f64::NAN);
    Ok((at(50), at(99)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One scenario: `one` sends a known model's event and waits for it, `flood` sends unknown names from a number on.
fn attack(
    name: &str,
    handle: &MonitoringHandle,
    mut one: impl FnMut(&str) -> Result<(), Failure>,
    flood: impl Fn(u64) -> bool + Send + Sync,
) -> Result<(), Failure> {
    let (sent, mut p50, mut p99, mut quiet) = (AtomicU64::new(0), Vec::new(), Vec::new(), Vec::new());
    let before = resident()?;
    for round in 1..=ROUNDS {
        let calm = ask(&mut one)?;
        let over = AtomicBool::new(false);
        let hit = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) || sent.load(Ordering::Relaxed) < UNKNOWN * round / ROUNDS
                {
                    assert!(flood(sent.fetch_add(BATCH, Ordering::Relaxed)), "the flood is answered");
                }
            });
            let hit = ask(&mut one);
            over.store(true, Ordering::Relaxed);
            hit
        })?;
        p50.push(hit.0 / calm.0);
        p99.push(hit.1 / calm.1);
        quiet.push(calm.0);
    }
    block_on(handle.flush())?;
    let (after, admission) = (resident()?, handle.admission());
    println!(
        "{name}: {} unknown names sent, {} became models, {} events refused; memory {before:.1} to {after:.1} MiB; a \
         known model's event took x{:.2} (p50) and x{:.2} (p99) of {:.0} µs in peace (bar 2)",
        sent.load(Ordering::Relaxed),
        admission.models - KNOWN as u64,
        admission.refused(),
        median(p50),
        median(p99),
        median(quiet),
    );
    Ok(())
}

fn published(name: &str, policy: &str, folder: Option<&PathBuf>) -> Result<(), Failure> {
    let handle = start(policy, folder)?;
    let supervisor = handle.supervisor();
    let one = |model: &str| {
        block_on(supervisor.send(event(model)?))??;
        Ok(())
    };
    let flooding = handle.clone();
    attack(name, &handle, one, move |from| {
        let events: Result<Vec<_>, _> =
            (from..from + BATCH).map(|id| event(&format!("flood-{id}"))).collect();
        let Ok(events) = events else { return false };
        let receipt = block_on(flooding.publish_batch(events));
        receipt.accepted + receipt.rejected.len() as u64 == BATCH
    })
}

/// A connection that stays.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn post(&mut self, body: &str) -> Result<u16, Failure> {
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all((head + body).as_bytes())?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                text if status == 0 => status = text.split(' ').nth(1).ok_or("no status")?.parse()?,
                text => {
                    if let Some(told) = text.to_ascii_lowercase().strip_prefix("content-length: ") {
                        length = told.parse()?;
                    }
                }
            }
        }
        std::io::copy(&mut self.0.by_ref().take(length), &mut std::io::sink())?;
        Ok(status)
    }
}

fn line(model: &str) -> String {
    format!("{{\"model_id\":\"{model}\",\"kind\":\"Accuracy\",\"value\":0.9}}\n")
}

fn over_http(name: &str, policy: &str) -> Result<(), Failure> {
    let handle = start(policy, None)?;
    let surface = HttpSurface::new(handle.clone());
    let (told, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        System::new().block_on(async move {
            let app = move || App::new().configure(|config| surface.configure(config));
            let server =
                HttpServer::new(app).workers(2).keep_alive(Duration::from_hours(1)).bind("127.0.0.1:0")?;
            let _ = told.send(server.addrs());
            server.run().await
        })
    });
    let address = *bound.recv()?.first().ok_or("no address")?;
    let mut client = Client::new(address)?;
    let one = |model: &str| {
        let status = client.post(&line(model))?;
        if status == 200 { Ok(()) } else { Err(format!("status {status}").into()) }
    };
    let flooder = Arc::new(parking_lot::Mutex::new(Client::new(address)?));
    attack(name, &handle, one, move |from| {
        let body: String = (from..from + BATCH).map(|id| line(&format!("flood-{id}"))).collect();
        flooder.lock().post(&body).is_ok_and(|status| [200, 207, 403, 429].contains(&status))
    })
}

fn run(name: &str) -> Result<(), Failure> {
    let (policy, way) = name.split_once(' ').ok_or("no way in")?;
    match way {
        "published" => published(name, policy, None),
        "over HTTP" => over_http(name, policy),
        _ => {
            let folder = std::env::temp_dir().join(format!("visu-tility-cardinality-{}", std::process::id()));
            std::fs::create_dir_all(&folder)?;
            let done = published(name, policy, Some(&folder));
            std::fs::remove_dir_all(&folder)?;
            done
        }
    }
}

fn main() -> Result<(), Failure> {
    if let Ok(name) = std::env::var("VISU_TILITY_CARDINALITY_SCENARIO") {
        return run(&name);
    }
    for way in ["published", "over SQLite", "over HTTP"] {
        for policy in ["open", "list", "quota"] {
            let name = format!("{policy} {way}");
            let status = Command::new(std::env::current_exe()?)
                .env("VISU_TILITY_CARDINALITY_SCENARIO", &name)
                .status()?;
            if !status.success() {
                return Err(format!("scenario {name} failed").into());
            }
        }
    }
    Ok(())
}
