//! `visu-tility replay`: opens the files, runs them, writes the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use visu_tility::ingest::EventReader;
use visu_tility::monitoring::MonitorPlan;
use visu_tility::replay::{HtmlReport, Input, Labels, Replay, TextReport};

use super::args::ReplayArgs;
use super::check::read_plan;
use super::output::{Output, STANDARD};
use super::progress::Progress;
use super::run::{Form, refuse_twice, write_report};
use super::{Failure, Outcome, complain};

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
    refuse_twice(&args.run.events)?;
    let labels = read_labels(&args.labels)?;
    let inputs: Vec<&PathBuf> = args.run.events.iter().chain(&args.plan).chain(&args.labels).collect();
    let out = Output::new("--out", args.run.out.as_deref(), &inputs)?;
    let read = Arc::new(AtomicU64::new(0));
    let (inputs, total) = open(args, &read)?;

    let mut replay = Replay::new(plan);
    replay.arbiters = usize::from(args.arbiters);
    replay.custom_kinds = args.run.custom_kinds;
    replay.not_after = Some(args.run.not_after());
    replay.detail = args.run.format.detail();
    let mut progress = Progress::new(total, read, args.run.quiet);
    let report = replay.run(inputs, &mut progress);
    let mut report = report.map_err(|error| Failure::at("failed to", error))?;
    progress.finish(&report.bad);
    // Without events there is nothing to score, and that is told by the status.
    if let Some(labels) = labels.filter(|_| report.events > 0) {
        report.hold_against(&labels, args.max_delay).map_err(|error| Failure::at("labels", error))?;
        let warnings = labels.warnings(&report);
        warn(warnings.iter().map(|warning| format!("labels: {warning}")));
    }
    write_report(out, args.run.format, |form, out| match form {
        Form::Text { colour, width } => {
            write!(out, "{}", TextReport::new(&report).colour(colour).width(width))
        }
        Form::Json => report.write_json(out),
        Form::Html => write!(out, "{}", HtmlReport::new(&report)),
    })?;
    if report.events == 0 {
        complain("error: no event could be used");
        return Ok(Outcome::NoEvent);
    }
    Ok(if args.fail_on_alarm && report.has_alarms() { Outcome::Alarms } else { Outcome::Done })
}

/// Opens every file; gives back their size together, unless one is a stream.
fn open(args: &ReplayArgs, read: &Arc<AtomicU64>) -> Result<(Vec<Input>, Option<u64>), Failure> {
    let mut inputs = Vec::with_capacity(args.run.events.len());
    let mut total = Some(0);
    for path in &args.run.events {
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
