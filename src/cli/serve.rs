//! `visu-tility serve`: a monitoring with a store, behind HTTP, until a signal.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::System;
use actix_web::{App, HttpServer};
use visu_tility::http::HttpSurface;
use visu_tility::monitoring::{
    AdmissionPolicy, DrainReport, DurabilityPolicy, Glob, MonitorPlan, Monitoring, MonitoringHandle,
    NewModels,
};
use visu_tility::store::{SqliteStore, StoreLimits};

use super::args::ServeArgs;
use super::backup::STORE;
use super::check::read_plan;
use super::{Failure, Outcome, complain, say};

/// Threads that answer requests.
const WORKERS: usize = 2;
/// Connections that are open at a time; more wait until one ends.
const CONNECTIONS_MAX: usize = 10_000;
/// How long the head of a request may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// Serves until a signal.
pub(crate) fn run(args: &ServeArgs) -> Result<Outcome, Failure> {
    let plan = match &args.plan {
        None => MonitorPlan::default(),
        Some(path) => match read_plan(path)? {
            Some(plan) => plan,
            None => return Ok(Outcome::Usage),
        },
    };
    plan.warnings().iter().for_each(|warning| complain(&format!("warning: {warning}")));
    // Somebody else's subscriber cannot be there: this is the whole program.
    let _ = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .try_init();
    let monitoring = start(args, plan)?;
    System::new().block_on(serve(args, monitoring))
}

fn start(args: &ServeArgs, plan: MonitorPlan) -> Result<MonitoringHandle, Failure> {
    let folder = &args.data_dir;
    std::fs::create_dir_all(folder).map_err(|error| Failure::at(folder.display(), error))?;
    let path = folder.join(STORE);
    let opened = SqliteStore::open(&path, StoreLimits::default());
    let (store, opened) = opened.map_err(|error| Failure::at("failed to open the store", error))?;
    let state = match (opened.new, opened.clean) {
        (true, _) => "new",
        (_, true) => "closed cleanly before",
        _ => "not closed cleanly before, checked",
    };
    complain(&format!("store {}: {state}", path.display()));
    let save_every = Duration::from_secs(args.save_every);
    let builder = Monitoring::builder()
        .plan(plan)
        .arbiters(usize::from(args.arbiters))
        .idle_after(Some(Duration::from_secs(args.idle_after)))
        .awake_max(Some(usize::try_from(args.awake_max).unwrap_or(usize::MAX)))
        .models_max(args.models_max)
        .admission(admission(args))
        .ahead_max(Duration::from_secs(args.ahead_max))
        .behind_max(args.behind_max.map(Duration::from_secs))
        .durability(DurabilityPolicy {
            save_every,
            keep_entries: args.keep_journal,
            ..DurabilityPolicy::default()
        })
        .store(Box::new(store));
    builder.start().map_err(|error| Failure::at("failed to start", whole(&error)))
}

/// Which unknown models are taken.
fn admission(args: &ServeArgs) -> AdmissionPolicy {
    let patterns = args.allow.iter().map(|pattern| Glob::new(pattern.as_str()));
    match args.new_models {
        Some(new_max) => AdmissionPolicy::Quota(NewModels {
            new_max,
            period: Duration::from_secs(args.new_models_every),
            seen_min: args.new_models_after,
        }),
        None if args.allow.is_empty() => AdmissionPolicy::Open,
        None => AdmissionPolicy::AllowList(patterns.collect()),
    }
}

/// An error with what it rests on.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn serve(args: &ServeArgs, monitoring: MonitoringHandle) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::at("signals", error))?;
    let drain = Duration::from_secs(args.drain);
    let (server, bound) = match bind(args, &monitoring) {
        Ok(bound) => bound,
        Err(failure) => {
            let _ = monitoring.shutdown(drain).await;
            return Err(failure);
        }
    };
    let stop = server.handle();
    let served = actix_web::rt::spawn(server);
    complain(&format!("serving on http://{bound}"));
    let recovering = monitoring.clone();
    actix_web::rt::spawn(async move { tell_recovery(&recovering).await });
    let signal = signals.next().await;
    complain(&format!("{signal}: ending, in {drain:?} at most; again to end at once"));
    let ended = end(&stop, &monitoring, drain);
    let report = match first(ended, signals.next()).await {
        Ok(report) => report,
        Err(signal) => {
            complain(&format!("{signal} again: ended at once; what was taken is in the journal"));
            return Ok(Outcome::Cut);
        }
    };
    let _ = served.await;
    if let Some(file) = &args.port_file {
        // Nobody is to be sent there any more; if it cannot be removed, who asks finds nobody.
        let _ = std::fs::remove_file(file);
    }
    let outcome = told(&report, &monitoring);
    // For who started it: the same with all its figures.
    say(|out| {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)
    })?;
    Ok(outcome)
}

fn bind(args: &ServeArgs, monitoring: &MonitoringHandle) -> Result<(Server, SocketAddr), Failure> {
    let surface = HttpSurface::new(monitoring.clone());
    let app = move || {
        App::new().configure(|config| surface.configure(config)).default_service(surface.no_such_path())
    };
    let listen = |error: io::Error| Failure::at(args.listen, error);
    let server = HttpServer::new(app)
        .workers(WORKERS)
        .max_connections(CONNECTIONS_MAX / WORKERS)
        .client_request_timeout(HEAD_TIME_MAX)
        .shutdown_timeout(args.drain)
        .disable_signals()
        .bind(args.listen)
        .map_err(listen)?;
    let bound = server.addrs().first().copied().unwrap_or(args.listen);
    let server = server.run();
    if let Some(file) = &args.port_file {
        write_port(file, bound.port()).map_err(|error| Failure::at(file.display(), error))?;
    }
    Ok((server, bound))
}

/// Writes the port so that who finds the file finds all of it.
fn write_port(file: &Path, port: u16) -> io::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".part");
    std::fs::write(&partial, format!("{port}\n"))?;
    std::fs::rename(&partial, file)
}

async fn tell_recovery(monitoring: &MonitoringHandle) {
    let report = monitoring.recovered().await;
    let (entries, models) = (report.entries, report.models);
    let ms = report.micros / 1_000;
    match report.failed {
        None => complain(&format!("recovered: {entries} journal entries of {models} models in {ms} ms")),
        Some(failed) => complain(&format!("error: recovery failed, nothing is taken: {failed}")),
    }
}

/// Ends the server, then the monitoring, with one deadline for both.
async fn end(server: &ServerHandle, monitoring: &MonitoringHandle, drain: Duration) -> DrainReport {
    let begun = Instant::now();
    server.stop(true).await;
    monitoring.shutdown(drain.saturating_sub(begun.elapsed())).await
}

fn told(report: &DrainReport, monitoring: &MonitoringHandle) -> Outcome {
    let DrainReport { events_handled, events_cut, alerts_cut, snapshots, snapshots_failed, aside, .. } =
        report;
    complain(&format!(
        "{}: {events_handled} events handled, {events_cut} cut, {alerts_cut} alerts not delivered, {snapshots} states \
         saved, {snapshots_failed} not, {aside} models set aside",
        if report.complete {
            "ended, all done"
        } else {
            "ended, not all done in time: the rest is in the journal"
        }
    ));
    if let Some(failing) = monitoring.store_status().and_then(|store| store.failing) {
        complain(&format!("error: the store took nothing at the end: {failing}"));
    }
    for unkept in &report.unkept {
        complain(&format!("warning: the state of {} is not saved: {}", unkept.model_id, unkept.reason));
    }
    if report.complete { Outcome::Done } else { Outcome::Cut }
}

/// Whichever ends first: the one awaited for, or a signal.
async fn first<T>(
    awaited: impl Future<Output = T>,
    signal: impl Future<Output = &'static str>,
) -> Result<T, &'static str> {
    let (mut awaited, mut signal) = (std::pin::pin!(awaited), std::pin::pin!(signal));
    std::future::poll_fn(|cx| {
        use std::task::Poll::{Pending, Ready};
        match (awaited.as_mut().poll(cx), signal.as_mut().poll(cx)) {
            (Ready(done), _) => Ready(Ok(done)),
            (Pending, Ready(signal)) => Ready(Err(signal)),
            (Pending, Pending) => Pending,
        }
    })
    .await
}

/// The signals that end the program.
#[cfg(unix)]
struct Signals {
    interrupt: actix_web::rt::signal::unix::Signal,
    terminate: actix_web::rt::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use actix_web::rt::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|cx| {
            use std::task::Poll::{Pending, Ready};
            match (self.interrupt.poll_recv(cx), self.terminate.poll_recv(cx)) {
                (Ready(_), _) => Ready("SIGINT"),
                (_, Ready(_)) => Ready("SIGTERM"),
                _ => Pending,
            }
        })
        .await
    }
}

/// The signals that end the program.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        let _ = actix_web::rt::signal::ctrl_c().await;
        "Ctrl-C"
    }
}
