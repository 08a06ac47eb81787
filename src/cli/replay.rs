//! `visu-tility replay`: opens the files, runs them, writes the report.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use visu_tility::ingest::EventReader;
use visu_tility::monitoring::{MonitorPlan, Timestamp};
use visu_tility::replay::{HtmlReport, Input, Labels, PlotDetail, Replay, Report, Score, TextReport};

use super::args::{Format, ReplayArgs};
use super::check::read_plan;
use super::output::{Output, STANDARD};
use super::progress::Progress;
use super::{Failure, Outcome, complain};

/// How far ahead of the start of the run the time of an event may be.
const AHEAD: Duration = Duration::from_hours(24);

/// Runs the events and writes the report.
pub(crate) fn run(args: &ReplayArgs) -> Result<Outcome, Failure> {
    // Everything that can be wrong with the request is found before the first event is read.
    let plan = match &args.plan {
        None => MonitorPlan::default(),
        Some(path) => match read_plan(path)? {
            Some(plan) => plan,
            None => return Ok(Outcome::Usage),
        },
    };
    warn(plan.warnings());
    refuse_twice(&args.events)?;
    let labels = read_labels(&args.labels)?;
    let inputs: Vec<&PathBuf> = args.events.iter().chain(&args.plan).chain(&args.labels).collect();
    let out = Output::new("--out", args.out.as_deref(), &inputs)?;
    let read = Arc::new(AtomicU64::new(0));
    let (inputs, total) = open(args, &read)?;

    let mut replay = Replay::new(plan);
    replay.arbiters = usize::from(args.arbiters);
    replay.custom_kinds = args.custom_kinds;
    replay.not_after = Some(args.not_after.unwrap_or_else(not_after));
    replay.detail = match args.format {
        Format::Text => PlotDetail::Line,
        Format::Json => PlotDetail::None,
        Format::Html => PlotDetail::Page,
    };
    let mut progress = Progress::new(total, read, args.quiet);
    let report = replay.run(inputs, &mut progress);
    let mut report = report.map_err(|error| Failure::at("failed to", error))?;
    progress.finish(&report.bad);
    // Without events there is nothing to score, and that is told by the status.
    if let Some(labels) = labels.filter(|_| report.events > 0) {
        let score = Score::of(&report, &labels, args.max_delay);
        report.score = Some(score.map_err(|error| Failure::at("labels", error))?);
        let warnings = labels.warnings(&report);
        warn(warnings.iter().map(|warning| format!("labels: {warning}")));
    }
    let (colour, width) = if out.is_standard() { (colours(), width()) } else { (false, 100) };
    out.write(|out| write(&report, args.format, colour, width, out))?;
    if report.events == 0 {
        complain("error: no event could be used");
        return Ok(Outcome::NoEvent);
    }
    Ok(if args.fail_on_alarm && report.has_alarms() { Outcome::Alarms } else { Outcome::Done })
}

/// Opens every file; gives back their size together, unless one is a stream.
fn open(args: &ReplayArgs, read: &Arc<AtomicU64>) -> Result<(Vec<Input>, Option<u64>), Failure> {
    let mut inputs = Vec::with_capacity(args.events.len());
    let mut total = Some(0);
    for path in &args.events {
        let name = path.display().to_string();
        let (reader, size) = if name == STANDARD {
            (EventReader::from_reader(std::io::stdin(), None, read.clone()), None)
        } else {
            let size = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|data| data.len());
            (EventReader::open(path, read.clone()), size)
        };
        let reader = reader.map_err(|error| Failure::at(&name, error))?;
        total = total.zip(size).map(|(sum, size)| sum + size);
        inputs.push(Input { name, reader });
    }
    Ok((inputs, total))
}

fn read_labels(paths: &[impl AsRef<Path>]) -> Result<Option<Labels>, Failure> {
    let mut all: Option<Labels> = None;
    for path in paths {
        let place = path.as_ref().display();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::at(&place, error))?;
        let labels = Labels::from_json(&text).map_err(|error| Failure::at(&place, error))?;
        match &mut all {
            None => all = Some(labels),
            Some(all) => all.merge(labels).map_err(|error| Failure::at(&place, error))?,
        }
    }
    Ok(all)
}

fn warn(warnings: impl IntoIterator<Item = String>) {
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
}

/// The standard input can be read once.
pub(super) fn refuse_twice(events: &[PathBuf]) -> Result<(), Failure> {
    if events.iter().filter(|path| path.as_os_str() == STANDARD).count() > 1 {
        return Err(Failure::at(STANDARD, "given twice, must be given once: it is the standard input"));
    }
    Ok(())
}

fn write(
    report: &Report,
    format: Format,
    colour: bool,
    width: usize,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    match format {
        Format::Text => write!(out, "{}", TextReport::new(report).colour(colour).width(width)),
        Format::Json => report.write_json(out),
        Format::Html => write!(out, "{}", HtmlReport::new(report)),
    }
}

/// Whether the standard output takes colours: a terminal whose user has not said no.
pub(super) fn colours() -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && unset("NO_COLOR") && !dumb
}

/// The width of the terminal; 100 where there is none.
pub(super) fn width() -> usize {
    let terminal = console::Term::stdout();
    terminal.size_checked().map_or(100, |(_, columns)| usize::from(columns))
}

/// The latest time of an event that is believed when the user does not say.
pub(super) fn not_after() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since).plus(AHEAD)
}
