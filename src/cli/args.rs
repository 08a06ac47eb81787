//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use visu_tility::ingest::parse_time;
use visu_tility::monitoring::Timestamp;

/// Knows when a served machine-learning model has gone bad.
#[derive(Debug, Parser)]
#[command(name = "visu-tility", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run files of events through a plan and report what it would have done.
    ///
    /// The events go through the same supervisor and actors as in a service; timers run off the time in the
    /// events, so the same files give the same report.
    Replay(ReplayArgs),
    /// Propose a plan from files of events, and show what it would have fired.
    ///
    /// One number says how many false alarms are allowed; history says which detector keeps to it for each
    /// kind, and how soon it sees a change. The proposed plan is then run over the same events.
    Calibrate(CalibrateArgs),
    /// Check a plan and say what it watches.
    ///
    /// Prints one line for each observer, or every mistake with its line and the nearest known key. Exit
    /// status: 0 when the plan can be used, 2 when it cannot.
    Check(CheckArgs),
    /// Take events over HTTP and watch their models, with all state in one file.
    ///
    /// What is acknowledged is durable: it outlives a crash of the process at any moment.
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    /// Show what a store holds: models, journal, alerts, retrain requests, dead letters.
    ///
    /// Reads only, also while a server runs on the store.
    #[cfg(feature = "sqlite")]
    Inspect(InspectArgs),
    /// Copy a store as of one moment, also while a server runs on it.
    ///
    /// The copy is checked when it is first opened.
    #[cfg(feature = "sqlite")]
    Backup(BackupArgs),
    /// Put a copy of a store where `serve` looks for it, after it was checked.
    ///
    /// Refused where a store is, or what one has left behind: it is to be moved away first.
    #[cfg(feature = "sqlite")]
    Restore(RestoreArgs),
}

/// What every command is asked that reads events and writes a report.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Files of events: NDJSON or CSV, plain or .gz; `-` for the standard input
    #[arg(required = true, value_name = "EVENTS")]
    pub(crate) events: Vec<PathBuf>,

    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Write the report there; `-`, and without it, to the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Take a kind that is not known as one of your own: `CpuPercent` as `Custom:CpuPercent`
    #[arg(long)]
    pub(crate) custom_kinds: bool,

    /// Refuse events later than this time or date (to its end, UTC); default: a day after the start of the run
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) not_after: Option<Timestamp>,

    /// No progress, and do not tell of single lines that cannot be used
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

const REPLAY_HELP: &str = "\
Events:
  NDJSON: one object a line, {\"model_id\":\"fraud\",\"version\":\"2\",\"ts\":\"2025-02-03T00:00:00Z\",
  \"kind\":\"Accuracy\",\"value\":0.93}. CSV: a header with the same names in any order, columns of other names
  are passed over. `version` and `ts` may be left out; a value of null (an empty cell) is a missing one.
  `ts` is RFC 3339 text, or a number: whole milliseconds since 1970 (not seconds).
  Both may be packed with gzip. The format is told by the name, and by the first bytes where the name does
  not say. Several files are read one after the other, as one run. `-` is the standard input.
  A line that cannot be used is counted and told of, and the rest is still processed. So is a file that is
  cut off or damaged. A file that cannot be opened ends the command before anything is run.

Labels:
  {\"drifts\":[{\"event\":2500,\"event_end\":2600,\"what\":\"camera moved\"}],\"predictions\":8000} for the one
  model of the events, or {\"MODEL\":{\"changes\":[{\"event\":1640}],\"events\":11993}, ...} by model. `event`
  counts predictions of the model from 0, and must be one of those that were read.

Exit status:
  0  done
  1  there were alarms, with --fail-on-alarm
  2  wrong usage, plan or labels, or a file that cannot be opened or written
  3  no event could be used

Examples:
  visu-tility replay events.ndjson.gz
  visu-tility replay events.csv --plan plan.toml --format json --out report.json
  visu-tility replay digits.ndjson.gz --labels digits.labels.json --format html --out report.html
  visu-tility replay monday.ndjson tuesday.ndjson --plan plan.toml --fail-on-alarm --quiet";

/// What `replay` is asked.
#[derive(Debug, Args)]
#[command(after_long_help = REPLAY_HELP, after_help = "See --help for the formats, the exit status and examples.")]
pub(crate) struct ReplayArgs {
    /// Plan in TOML; without it sensible observers watch every kind that arrives
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,

    /// When the models really changed, in JSON, to score the alarms; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Vec<PathBuf>,

    /// How far behind its end a drift counts as found, in predictions
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) max_delay: u64,

    /// Exit with status 1 when there is an alarm
    #[arg(long)]
    pub(crate) fail_on_alarm: bool,

    /// Threads that the models are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) arbiters: u16,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

const CALIBRATE_HELP: &str = "\
Events:
  As for replay. They are read twice: once to learn from, once to show what the plan fires. What can be read
  only once (the standard input, a pipe) is kept in memory, its first 256 MiB.
  Of each kind of a model the first 200,000 good values are kept (10,000,000 of all kinds); the rest is counted.

What is good:
  A bad history makes a bad plan. Say with --good-until where the good ends; later events are replayed only.
  A kind with fewer than 256 good values keeps the rule of the default plan. A season of the day needs two weeks
  of good values, one of the week eight or more.

Exit status:
  0  done
  2  wrong usage, or a file that cannot be opened or written
  3  no event could be used

Examples:
  visu-tility calibrate events.ndjson.gz --false-alarms-per-30d 1 --plan-out plan.toml
  visu-tility calibrate events.csv --good-until 2025-02-03T01:20:00Z --format html --out calibration.html
  visu-tility calibrate events.ndjson.gz --drop 0.02 --drop 0.05 --format json";

/// What `calibrate` is asked.
#[derive(Debug, Args)]
#[command(after_long_help = CALIBRATE_HELP, after_help = "See --help for what is good, the exit status and examples.")]
pub(crate) struct CalibrateArgs {
    /// False alarms that a model may give in 30 days
    #[arg(long = "false-alarms-per-30d", value_name = "N", default_value_t = 1.0, value_parser = budget,
        allow_negative_numbers = true)]
    pub(crate) false_alarms: f64,

    /// Write the proposed plan there; `-` for the standard output (then --out must name a file)
    #[arg(long, value_name = "FILE")]
    pub(crate) plan_out: Option<PathBuf>,

    /// Take events up to this time or date (to its end, UTC) as good; default: all of them
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) good_until: Option<Timestamp>,

    /// Predict the delay of a change of this size, for kinds from 0 to 1; may be given several times [default: 0.05 0.1,
    /// or once and twice the share of what is bad where that is less]
    #[arg(long = "drop", value_name = "X", value_parser = drop_size, allow_negative_numbers = true)]
    pub(crate) drops: Vec<f64>,

    /// The same in standard deviations, for other kinds; may be given several times [default: 0.5 1]
    #[arg(long = "shift", value_name = "X", value_parser = shift_size, allow_negative_numbers = true)]
    pub(crate) shifts: Vec<f64>,

    /// Simulated streams for each delay
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) runs: u64,

    /// Seed of the simulations
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What `check` is asked.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  visu-tility check plan.toml")]
pub(crate) struct CheckArgs {
    /// Plan in TOML; `-` for the standard input
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
}

#[cfg(feature = "serve")]
const SERVE_HELP: &str = "\
Requests:
  POST /v1/events           NDJSON, a JSON array or one object, plain or gzip; the form of events is that of replay
  GET  /v1/models           names and phases, a page at a time: ?after=ID&limit=N
  GET  /v1/models/ID        one model with all its observers; a `/` in its name is written %2F
  POST /v1/models/ID/reset  the model begins anew; a quarantine or a pause of it is over
  GET  /v1/status           the whole, with its store
  GET  /v1/admission        how many models are known, and which were refused
  GET  /healthz, /readyz    whether the process lives; whether events are taken (503 with the reason when not)
  There is no authentication yet: listen where only those can reach it who may.

State:
  All of it is in DIR/visu-tility.db, which the sqlite3 shell can read; see also inspect, backup and restore. A second
  process on the same DIR is refused. Alerts go to the log on the standard error.

Signals:
  SIGINT and SIGTERM end it: no further requests, what was taken is handled, states are saved. What is not done at the
  end of --drain is in the journal and done after the next start. A second signal ends it at once;
  the same one again within a second is no second.

Exit status:
  0  ended by a signal, all done
  2  wrong usage or plan; the store cannot be used; the address is taken; too few files may be open; a clock before 1970
  4  ended by a signal, not all done: the time was over, or models are set aside; nothing that was acknowledged is lost
  5  the server ended by itself, which is said with the reason

Examples:
  visu-tility serve --data-dir /var/lib/visu-tility --plan plan.toml
  curl --data-binary @events.ndjson http://127.0.0.1:8480/v1/events";

/// What `serve` is asked.
#[cfg(feature = "serve")]
#[derive(Debug, Args)]
#[command(after_long_help = SERVE_HELP, after_help = "See --help for the requests, the signals and the exit status.")]
pub(crate) struct ServeArgs {
    /// Folder of the state; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Plan in TOML; without it sensible observers watch every kind that arrives
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,

    /// Where to listen; port 0 for any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub(crate) listen: std::net::SocketAddr,

    /// Write the port there once it listens
    #[arg(long, value_name = "FILE")]
    pub(crate) port_file: Option<PathBuf>,

    /// Threads that the models are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) arbiters: u16,

    /// Seconds after which a changed model is saved: less to repeat after a crash, more to write
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = whole(1, 86_400))]
    pub(crate) save_every: u64,

    /// Seconds without events after which a model gives up its memory; its next event wakes it
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = whole(1, TEN_YEARS))]
    pub(crate) idle_after: u64,

    /// Journal entries that stay, after they are no longer needed, for whoever reads the store
    #[arg(long, value_name = "ENTRIES", default_value_t = 0)]
    pub(crate) keep_journal: u64,

    /// Models that are awake at a time; of more, those idle for longest give up their memory: 8 to 35 KB each
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = whole(1, MODELS_MAX))]
    pub(crate) awake_max: u64,

    /// Seconds that the end may take after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole(1, 3_600))]
    pub(crate) drain: u64,

    /// Models that may be known, asleep or awake
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = whole(1, MODELS_MAX))]
    pub(crate) models_max: u64,

    /// Take unknown models only if their name is of this pattern (`*` any characters, `?` one); may be given several
    /// times
    #[arg(long, value_name = "PATTERN", conflicts_with = "new_models", value_parser = pattern)]
    pub(crate) allow: Vec<String>,

    /// Take at most so many unknown models in each period
    #[arg(long, value_name = "N", value_parser = whole(1, MODELS_MAX))]
    pub(crate) new_models: Option<u64>,

    /// How long that period is
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, requires = "new_models",
        value_parser = whole(1, 2_592_000))]
    pub(crate) new_models_every: u64,

    /// Which of an unknown model's events is the first to be taken
    #[arg(long, value_name = "EVENTS", default_value_t = 3, requires = "new_models",
        value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) new_models_after: u32,

    /// Seconds that an event's time may be ahead of the clock
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = whole(0, TEN_YEARS))]
    pub(crate) ahead_max: u64,

    /// Seconds that an event's time may be behind the clock [default: any]
    #[arg(long, value_name = "SECONDS", value_parser = whole(0, TEN_YEARS))]
    pub(crate) behind_max: Option<u64>,
}

/// What `inspect` is asked.
#[cfg(feature = "sqlite")]
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  visu-tility inspect /var/lib/visu-tility\n  \
    visu-tility inspect /var/lib/visu-tility/visu-tility.db --format json --limit 1000")]
pub(crate) struct InspectArgs {
    /// The store's file, or the folder given to `serve`
    #[arg(value_name = "STORE")]
    pub(crate) store: PathBuf,

    /// How it is shown
    #[arg(long, value_enum, default_value_t = Shown::Text)]
    pub(crate) format: Shown,

    /// The first so many models, and the latest alerts, requests and dead letters
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
}

/// What `backup` is asked.
#[cfg(feature = "sqlite")]
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  visu-tility backup /var/lib/visu-tility /backup/monday.db")]
pub(crate) struct BackupArgs {
    /// The store's file, or the folder given to `serve`
    #[arg(value_name = "STORE")]
    pub(crate) store: PathBuf,

    /// Where the copy goes; nothing may be there
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
}

/// What `restore` is asked.
#[cfg(feature = "sqlite")]
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  visu-tility restore /backup/monday.db --data-dir /var/lib/visu-tility")]
pub(crate) struct RestoreArgs {
    /// The copy
    #[arg(value_name = "COPY")]
    pub(crate) copy: PathBuf,

    /// The folder that is given to `serve`; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// How a store is shown.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// For a person at a terminal
    Text,
    /// For programs
    Json,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person at a terminal
    Text,
    /// For programs
    Json,
    /// One page with plots that needs nothing but itself
    Html,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let day_end = || parse_time(&format!("{text}T23:59:59.999999Z"));
    parse_time(text)
        .or_else(day_end)
        .ok_or_else(|| "must be a time such as 2025-02-03T00:00:00Z or a date such as 2025-02-03".to_owned())
}

fn budget(text: &str) -> Result<f64, String> {
    number(text, |value| (1e-6..=1e6).contains(&value), "a number from 0.000001 to 1000000")
}

fn drop_size(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value <= 1.0, "a number above 0 and at most 1")
}

fn shift_size(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value <= 100.0, "a number above 0 and at most 100")
}

fn number(text: &str, ok: impl Fn(f64) -> bool, allowed: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value| ok(*value)).ok_or_else(|| format!("must be {allowed}"))
}

/// Seconds that no setting goes beyond.
#[cfg(feature = "serve")]
const TEN_YEARS: u64 = 315_360_000;
/// Models that no setting goes beyond.
#[cfg(feature = "serve")]
const MODELS_MAX: u64 = 1_000_000_000;

#[cfg(feature = "serve")]
fn whole(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
    }
}

/// A pattern that a name can match.
#[cfg(feature = "serve")]
fn pattern(text: &str) -> Result<String, String> {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:/@+=~#*?\\".contains(&byte);
    if !text.is_empty() && text.len() <= 512 && text.bytes().all(named) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 512 letters, digits and _ - : / @ + = ~ #, with `*` and `?` for any others; \
         a `\\` before one of these two makes it stand for itself"
        .to_owned())
}
