//! A million models in one store, of which few are awake: starting, memory, recovery, lists, waking under load.
//!
//! Each scenario runs in a process of its own, on a store that the first one fills. `--quick` takes a tenth of the models;
//! `-- --models N`, `-- --default-plan`, `-- --entries N` (of the journal that a recovery repeats) and names of scenarios
//! may follow. What a million takes on the disk is 1.5 GB.

mod recovery;
mod resident;
mod stock;
mod waking;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use visu_tility::monitoring::{Monitoring, MonitoringBuilder, MonitoringHandle, block_on};
use visu_tility::store::{SqliteStore, StoreLimits};

type Failure = Box<dyn std::error::Error>;

/// What there is to run, in order: each finds the store as the one before it left it.
const SCENARIOS: [&str; 10] = [
    "fill",
    "start",
    "window",
    "list",
    "wake",
    "due",
    "dirty",
    "recover",
    "recover-parts",
    "recover-bounded",
];

/// What all scenarios know.
struct Setting {
    folder: PathBuf,
    models: usize,
    default_plan: bool,
    /// Journal entries of those that are dirty.
    entries: usize,
}

impl Setting {
    fn of_environment() -> Result<(Self, String), Failure> {
        let text = std::env::var("VISU_TILITY_MILLION")?;
        let parts: Vec<&str> = text.splitn(5, '|').collect();
        let [scenario, models, plan, entries, folder] = parts.as_slice() else {
            return Err("five parts".into());
        };
        let (folder, default_plan) = (PathBuf::from(folder), *plan == "default");
        let (models, entries) = (models.parse()?, entries.parse()?);
        let setting = Self { folder, models, default_plan, entries };
        Ok((setting, (*scenario).to_owned()))
    }

    /// How many models are awake at a time.
    fn active(&self) -> usize {
        self.models.min(10_000)
    }

    /// How many were changed before a crash, or are due: of a million a tenth.
    fn dirty(&self) -> usize {
        self.models / 10
    }

    fn store(&self) -> PathBuf {
        self.folder.join("million.db")
    }

    fn builder(&self) -> Result<MonitoringBuilder, Failure> {
        let (store, _) = SqliteStore::open(self.store(), StoreLimits::default())?;
        let plan = stock::plan(self.default_plan)?;
        let models_max = 2 * self.models as u64;
        Ok(Monitoring::builder().plan(plan).models_max(models_max).store(Box::new(store)))
    }
}

fn end(handle: &MonitoringHandle) -> Result<(), Failure> {
    let report = block_on(handle.shutdown(Duration::from_mins(5)));
    if report.complete { Ok(()) } else { Err(format!("the shutdown was not complete: {report:?}").into()) }
}

/// From `start()` to the first event that is acknowledged, and to the first that is handled.
fn start(setting: &Setting) -> Result<(), Failure> {
    drop(SqliteStore::open(setting.store(), StoreLimits::default())?);
    for clean in [false, true] {
        let (mut opened, mut acknowledged, mut handled) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..5_usize {
            let begun = Instant::now();
            let builder = setting.builder()?;
            opened.push(begun.elapsed());
            let handle = builder.start()?;
            let model = setting.models / 7 * (round + 1);
            block_on(handle.publish(stock::event(model, 0, 700 + round)?))?;
            acknowledged.push(begun.elapsed());
            block_on(handle.flush())?;
            handled.push(begun.elapsed());
            end(&handle)?;
            if !clean {
                // Dropped without being closed: what a crash leaves, and the whole file is checked.
                drop(SqliteStore::open(setting.store(), StoreLimits::default())?);
            }
        }
        let how = if clean { "a clean stop" } else { "a crash" };
        let [opened, acknowledged, handled] = [opened, acknowledged, handled].map(median);
        println!(
            "start after {how}: store open {opened:.1?}, first event acknowledged {acknowledged:.1?}, \
             handled {handled:.1?} (bar 1 s)"
        );
    }
    Ok(())
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

/// A part of the waits, in milliseconds.
fn part(sorted: &[Duration], share: f64) -> f64 {
    let place = ((sorted.len().saturating_sub(1)) as f64 * share) as usize;
    sorted.get(place).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
}

/// Listing and looking, over all models.
fn list(setting: &Setting) -> Result<(), Failure> {
    let handle = setting.builder()?.start()?;
    let _ = block_on(handle.recovered());
    let before = resident::resident()?;
    let begun = Instant::now();
    let names = handle.models();
    println!(
        "all names: {} in {:.2?}, {:.0} MiB more while they are held",
        names.len(),
        begun.elapsed(),
        (resident::resident()? - before) as f64 / resident::MIB
    );
    drop(names);
    for pages in [1_000, 100] {
        let begun = Instant::now();
        let (mut after, mut listed, mut waits) = (None, 0, Vec::new());
        loop {
            let asked = Instant::now();
            let page = block_on(handle.models_after(after.as_ref(), pages))?;
            waits.push(asked.elapsed());
            let Some(last) = page.last() else { break };
            listed += page.len();
            after = Some(last.model_id.clone());
            if pages == 100 && waits.len() >= 1_000 {
                break;
            }
        }
        waits.sort_unstable();
        println!(
            "pages of {pages}: {listed} models in {:.2?}; a page {:.3} ms, p99 {:.3} ms",
            begun.elapsed(),
            part(&waits, 0.5),
            part(&waits, 0.99)
        );
    }
    let mut waits = Vec::new();
    for model in (0..setting.models).step_by((setting.models / 20_000).max(1)) {
        let asked = Instant::now();
        block_on(handle.model_status(stock::name(model)))?;
        waits.push(asked.elapsed());
    }
    waits.sort_unstable();
    println!(
        "looking at a sleeping model: {:.3} ms, p99 {:.3} ms; known by name then: {}",
        part(&waits, 0.5),
        part(&waits, 0.99),
        block_on(handle.status())?.models
    );
    end(&handle)
}

fn run(scenario: &str, setting: &Setting) -> Result<(), Failure> {
    match scenario {
        "fill" => stock::fill(setting),
        "start" => start(setting),
        "window" => resident::window(setting),
        "list" => list(setting),
        "wake" => waking::wake(setting),
        "due" => waking::due(setting),
        "dirty" => recovery::dirty(setting),
        "recover" => recovery::recover(setting, None),
        "recover-bounded" => recovery::recover(setting, Some(setting.active())),
        "recover-parts" => recovery::parts(setting),
        other => Err(format!("no scenario {other}").into()),
    }
}

fn main() -> Result<(), Failure> {
    if std::env::var_os("VISU_TILITY_MILLION").is_some() {
        let (setting, scenario) = Setting::of_environment()?;
        return run(&scenario, &setting);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|it| it == word);
    let given = |name: &str| {
        words.iter().position(|it| it == name).and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let models = match given("--models") {
        Some(models) => models.parse()?,
        None if has("--quick") => 100_000,
        None => 1_000_000_usize,
    };
    let entries = given("--entries").map_or(Ok(models), str::parse::<usize>)?;
    let plan = if has("--default-plan") { "default" } else { "small" };
    // Beside the program, not in a folder of the system that may be memory.
    let own = std::env::current_exe()?.with_file_name(format!("million-bench-{}", std::process::id()));
    let folder = given("--folder").map_or(own.clone(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let named: Vec<&str> = SCENARIOS.into_iter().filter(|name| has(name)).collect();
    let named = if named.is_empty() { SCENARIOS.to_vec() } else { named };
    println!("{models} models, {plan} plan");
    let mut outcome = Ok(());
    for name in named {
        let setting = format!("{name}|{models}|{plan}|{entries}|{}", folder.display());
        let status = Command::new(std::env::current_exe()?).env("VISU_TILITY_MILLION", setting).status()?;
        if !status.success() {
            outcome = Err(format!("scenario {name} failed").into());
            break;
        }
    }
    if folder == own {
        std::fs::remove_dir_all(&folder)?;
    }
    outcome
}
