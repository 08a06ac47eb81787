//! `visu-tility check`: is this plan one, and what does it watch?

use std::path::Path;

use visu_tility::monitoring::MonitorPlan;

use super::args::CheckArgs;
use super::{Failure, Outcome, complain, say};

/// Checks a plan.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let (name, plan) = if args.plan.as_os_str() == "-" {
        ("standard input".to_owned(), parse_plan("standard input", &read_stdin()?))
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
    Ok(parse_plan(&place, &text))
}

fn read_stdin() -> Result<String, Failure> {
    std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::at("standard input", error))
}

fn parse_plan(place: &str, text: &str) -> Option<MonitorPlan> {
    match MonitorPlan::from_toml(text) {
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
