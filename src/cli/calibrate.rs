//! `visu-tility calibrate`: reads the files twice, proposes a plan, writes it and the report.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use visu_tility::calibrate::{Calibrate, Calibration, CalibrationPage, CalibrationText, History};
use visu_tility::ingest::{EventFormat, EventReader};
use visu_tility::replay::{BadLine, Input, Replay, ReplayWatcher};

use super::args::{CalibrateArgs, Format};
use super::output::{Output, STANDARD};
use super::progress::Progress;
use super::run::{Form, refuse_twice, write_report};
use super::spool::Spool;
use super::{Failure, Outcome, complain};

/// Proposes a plan and shows what it would have fired.
pub(crate) fn run(args: &CalibrateArgs) -> Result<Outcome, Failure> {
    let calibrate = settings(args)?;
    refuse_twice(&args.run.events)?;
    let inputs: Vec<&PathBuf> = args.run.events.iter().collect();
    let out = Output::new("--out", args.run.out.as_deref(), &inputs)?;
    let plan_out = args.plan_out.as_deref().map(|path| Output::new("--plan-out", Some(path), &inputs));
    let plan_out = plan_out.transpose()?;
    plan_out.as_ref().map_or(Ok(()), |plan_out| plan_out.refuse_same(&out))?;

    let read = Arc::new(AtomicU64::new(0));
    let sources = args.run.events.iter().map(|path| Source::new(path)).collect::<Vec<_>>();
    let total = sources.iter().map(|source| source.size).sum::<Option<u64>>();
    let opened = sources.iter().map(|source| source.open(&read)).collect::<Result<Vec<_>, _>>()?;
    let mut progress = Progress::new(total, read, args.run.quiet);
    let history = calibrate.read(opened, &mut progress);
    progress.finish(history.bad_lines());
    if history.is_empty() {
        complain("error: no event could be used");
        return Ok(Outcome::NoEvent);
    }
    refuse_none_good(args, &history)?;
    let mut calibration = calibrate.propose(&history).map_err(|error| Failure::at("failed to", error))?;
    drop(history);
    replay(args, &calibrate, &sources, total, &mut calibration)?;

    if !out.is_standard() || args.run.format != Format::Text {
        calibration.warnings().iter().for_each(|warning| complain(&format!("warning: {warning}")));
    }
    if let Some(plan_out) = plan_out {
        let plan = &calibration.plan_toml;
        plan_out.write(|out| out.write_all(plan.as_bytes()))?;
    }
    write_report(out, args.run.format, |form, out| write(&calibration, args, form, out))?;
    Ok(Outcome::Done)
}

/// Refuses a history of which nothing is good.
fn refuse_none_good(args: &CalibrateArgs, history: &History) -> Result<(), Failure> {
    let (Some(end), Some(first)) = (args.good_until, history.first_time()) else { return Ok(()) };
    if !history.has_no_good_value() {
        return Ok(());
    }
    let reason = format!("{end} is before every value (the first event is at {first}): none would be good");
    Err(Failure::at("--good-until", reason))
}

fn settings(args: &CalibrateArgs) -> Result<Calibrate, Failure> {
    let mut calibrate =
        Calibrate::new(args.false_alarms).map_err(|error| Failure::at("--false-alarms-per-30d", error))?;
    if !args.drops.is_empty() {
        calibrate.drops.clone_from(&args.drops);
    }
    if !args.shifts.is_empty() {
        calibrate.shifts.clone_from(&args.shifts);
    }
    (calibrate.good_until, calibrate.runs, calibrate.seed) = (args.good_until, args.runs, args.seed);
    calibrate.custom_kinds = args.run.custom_kinds;
    calibrate.not_after = Some(args.run.not_after());
    Ok(calibrate)
}

/// Runs the events through the proposed plan.
fn replay(
    args: &CalibrateArgs,
    calibrate: &Calibrate,
    sources: &[Source],
    total: Option<u64>,
    calibration: &mut Calibration,
) -> Result<(), Failure> {
    let read = Arc::new(AtomicU64::new(0));
    let again = sources.iter().map(|source| source.again(&read)).collect::<Result<Vec<_>, _>>()?;
    let mut replay = Replay::new(calibration.plan.clone());
    (replay.custom_kinds, replay.not_after) = (calibrate.custom_kinds, calibrate.not_after);
    replay.detail = args.run.format.detail();
    let mut progress = Silent(Progress::new(total, read, args.run.quiet));
    let report = replay.run(again, &mut progress).map_err(|error| Failure::at("failed to", error))?;
    progress.0.done();
    calibration.replayed(report);
    Ok(())
}

/// A file of events, to be read twice.
struct Source<'a> {
    path: &'a Path,
    name: String,
    /// Bytes, where they are known.
    size: Option<u64>,
    /// Keeps what can be read only once.
    spool: Option<Spool>,
}

impl<'a> Source<'a> {
    fn new(path: &'a Path) -> Self {
        let name = path.display().to_string();
        let data = if name == STANDARD { None } else { std::fs::metadata(path).ok() };
        let size = data.as_ref().filter(|data| data.is_file()).map(std::fs::Metadata::len);
        // What is no plain file, and is there, is read only once: the standard input, a pipe.
        let once = name == STANDARD || data.is_some_and(|data| !data.is_file() && !data.is_dir());
        Self { path, name, size, spool: once.then(Spool::default) }
    }

    fn open(&self, read: &Arc<AtomicU64>) -> Result<Input, Failure> {
        let reader = match &self.spool {
            None => EventReader::open(self.path, read.clone()),
            Some(spool) if self.name == STANDARD => {
                EventReader::from_reader(spool.through(std::io::stdin()), None, read.clone())
            }
            Some(spool) => File::open(self.path).and_then(|file| {
                EventReader::from_reader(spool.through(file), EventFormat::from_name(self.path), read.clone())
            }),
        };
        self.input(reader)
    }

    fn again(&self, read: &Arc<AtomicU64>) -> Result<Input, Failure> {
        let Some(spool) = &self.spool else {
            return self.input(EventReader::open(self.path, read.clone()));
        };
        let (kept, cut) = spool.take();
        if cut > 0 {
            let kept = kept.get_ref().len() >> 20;
            complain(&format!(
                "warning: {}: too long to be kept, only its first {kept} MiB are replayed",
                self.name
            ));
        }
        self.input(EventReader::from_reader(kept, EventFormat::from_name(self.path), read.clone()))
    }

    fn input(&self, reader: std::io::Result<EventReader>) -> Result<Input, Failure> {
        let reader = reader.map_err(|error| Failure::at(&self.name, error))?;
        Ok(Input { name: self.name.clone(), reader })
    }
}

/// The second reading: what could not be used has been told of.
struct Silent(Progress);

impl ReplayWatcher for Silent {
    fn bad_line(&mut self, _: &BadLine) {}

    fn progress(&mut self, events: u64) {
        self.0.progress(events);
    }
}

fn write(
    calibration: &Calibration,
    args: &CalibrateArgs,
    form: Form,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    match form {
        Form::Text { colour, width } => {
            write!(out, "{}", CalibrationText::new(calibration).colour(colour).width(width))?;
            match &args.plan_out {
                Some(path) if path.as_os_str() == STANDARD => Ok(()),
                Some(path) => writeln!(out, "\nThe plan is in {}", path.display()),
                None => writeln!(out, "\nThe plan: --plan-out FILE writes it, --format html shows it"),
            }
        }
        Form::Json => calibration.write_json(out),
        Form::Html => write!(out, "{}", CalibrationPage::new(calibration)),
    }
}
