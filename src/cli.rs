//! The command line: `args` says what can be asked, `replay`, `calibrate` and `check` do it (what the
//! first two have in common is in `run`), `progress` shows it, `output` is where it goes, `spool` keeps what can be
//! read only once; `serve` is the server, `inspect` and `backup` look at its store, `restore` puts a copy in its place.
//!
//! Exit status: 0 done; 1 there were alarms and `--fail-on-alarm` asks for it; 2 wrong usage, plan or labels,
//! or a file that cannot be opened or written; 3 no event could be used; 4 the server did not end in time;
//! 5 it ended by itself.

mod args;
#[cfg(feature = "sqlite")]
mod backup;
mod calibrate;
mod check;
#[cfg(feature = "sqlite")]
mod inspect;
mod output;
mod progress;
mod replay;
#[cfg(feature = "sqlite")]
mod restore;
mod run;
#[cfg(feature = "serve")]
mod serve;
mod spool;

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// How a command ended; the number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what was asked.
    Done = 0,
    /// There were alarms, and the user wants to know by the status.
    Alarms = 1,
    /// What was asked cannot be done.
    Usage = 2,
    /// There was nothing to work on.
    NoEvent = 3,
    /// It was told to end and could not do all in time.
    #[cfg(feature = "serve")]
    Cut = 4,
    /// It ended although nobody told it to.
    #[cfg(feature = "serve")]
    Deaf = 5,
}

/// What was asked cannot be done; the text says why.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// Builds a failure about a file or a part of it.
    pub(crate) fn at(place: impl Display, reason: impl Display) -> Self {
        Self(format!("{place}: {reason}"))
    }
}

/// Reads the arguments and does what they ask.
pub(crate) fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Replay(args) => replay::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Check(args) => check::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "sqlite")]
        Command::Inspect(args) => inspect::run(&args),
        #[cfg(feature = "sqlite")]
        Command::Backup(args) => backup::run(&args),
        #[cfg(feature = "sqlite")]
        Command::Restore(args) => restore::run(&args),
    };
    let outcome = outcome.unwrap_or_else(|Failure(text)| {
        complain(&format!("error: {text}"));
        Outcome::Usage
    });
    ExitCode::from(outcome as u8)
}

/// Writes a line to the standard error; nobody may be there to read it.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to the standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn say(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::at("standard output", error)),
        _ => Ok(()),
    }
}
