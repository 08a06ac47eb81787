//! `visu-tility check`: is this plan one, and what does it watch?

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use visu_tility::monitoring::MonitorPlan;

use super::args::CheckArgs;
use super::{Failure, Outcome, complain, say};

/// The longest file that a plan may name, in bytes: 64 MiB.
const NAMED_BYTES_MAX: u64 = 64 << 20;

/// Checks a plan.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let (name, plan) = if args.plan.as_os_str() == "-" {
        // What a plan without a place names is beside whoever gives it.
        ("standard input".to_owned(), parse_plan("standard input", &read_stdin()?, Path::new("")))
    } else {
        (args.plan.display().to_string(), read_plan(&args.plan)?)
    };
    let Some(plan) = plan else { return Ok(Outcome::Usage) };
    let observers = plan.rules().len() + plan.observers().len();
    let plural = if observers == 1 { "" } else { "s" };
    say(|out| {
        writeln!(out, "ok: {name}: {observers} observer{plural}\n")?;
        let text = plan.to_string();
        text.lines().try_for_each(|line| writeln!(out, "  {}", line.trim_end()))?;
        plan.warnings().iter().try_for_each(|warning| writeln!(out, "\nwarning: {warning}"))
    })?;
    Ok(Outcome::Done)
}

/// Reads a plan. When it is not one, every mistake is told of and `None` is given back.
pub(crate) fn read_plan(path: &Path) -> Result<Option<MonitorPlan>, Failure> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::at(&place, error))?;
    Ok(parse_plan(&place, &text, path.parent().unwrap_or(Path::new(""))))
}

/// Reads a file that a plan names, relative to the plan's folder; why not reads after the file's name.
fn read_named(folder: &Path, name: &str) -> Result<String, String> {
    let refused = |error: std::io::Error| format!("which cannot be read: {error}");
    let file = File::open(folder.join(name)).map_err(refused)?;
    let mut text = String::new();
    let read = file.take(NAMED_BYTES_MAX + 1).read_to_string(&mut text).map_err(refused)?;
    if read as u64 > NAMED_BYTES_MAX {
        return Err(format!("which is longer than {NAMED_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn read_stdin() -> Result<String, Failure> {
    std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::at("standard input", error))
}

fn parse_plan(place: &str, text: &str, folder: &Path) -> Option<MonitorPlan> {
    match MonitorPlan::from_toml_with(text, |name| read_named(folder, name)) {
        Ok(plan) => Some(plan),
        Err(error) => {
            for problem in error.problems() {
                complain(&format!("error: {place}: {problem}"));
            }
            if error.omitted() > 0 {
                complain(&format!("error: {place}: and {} more", error.omitted()));
            }
            None
        }
    }
}
