//! What `replay` and `calibrate` have in common: which files they take, and how a report is written.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use visu_tility::monitoring::Timestamp;
use visu_tility::replay::PlotDetail;

use super::Failure;
use super::args::{Format, RunArgs};
use super::output::{Output, STANDARD, same_thing};

/// How far ahead of the start of the run the time of an event may be.
const AHEAD: Duration = Duration::from_hours(24);

impl RunArgs {
    /// The latest time of an event that is believed.
    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after.unwrap_or_else(not_after)
    }
}

impl Format {
    /// How much is kept for drawing.
    pub(super) const fn detail(self) -> PlotDetail {
        match self {
            Self::Text => PlotDetail::Line,
            Self::Json => PlotDetail::None,
            Self::Html => PlotDetail::Page,
        }
    }
}

/// How a report is to be written, with what a text has to know of where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Text { colour: bool, width: usize },
    Json,
    Html,
}

/// Writes a report.
pub(super) fn write_report(
    out: Output,
    format: Format,
    write: impl FnOnce(Form, &mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let form = match format {
        Format::Text if out.is_standard() => Form::Text { colour: colours(), width: width() },
        Format::Text => Form::Text { colour: false, width: 100 },
        Format::Json => Form::Json,
        Format::Html => Form::Html,
    };
    out.write(|out| write(form, out))
}

/// Refuses a file that is given twice, by one name or by two: its events would count twice. The standard input can be
/// read once only.
pub(super) fn refuse_twice(events: &[PathBuf]) -> Result<(), Failure> {
    for (place, path) in events.iter().enumerate() {
        let Some(before) = events.iter().take(place).find(|before| same_thing(before, path)) else {
            continue;
        };
        let reason = match (path.as_os_str() == STANDARD, before == path) {
            (true, true) => "given twice, must be given once: it is the standard input".to_owned(),
            (_, true) => "given twice, must be given once".to_owned(),
            _ => format!("is the file that is read as {}, must be given once", before.display()),
        };
        return Err(Failure::at(path.display(), reason));
    }
    Ok(())
}

/// Whether the standard output takes colours: a terminal whose user has not said no.
fn colours() -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && unset("NO_COLOR") && !dumb
}

/// The width of the terminal; 100 where there is none.
fn width() -> usize {
    let terminal = console::Term::stdout();
    terminal.size_checked().map_or(100, |(_, columns)| usize::from(columns))
}

/// The latest time of an event that is believed when the user does not say.
fn not_after() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since).plus(AHEAD)
}
