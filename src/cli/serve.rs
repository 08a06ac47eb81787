//! `visu-tility serve`: a monitoring with a store, behind HTTP, until a signal. `signals` says which ones, `room` how many
//! connections there is room for.

mod room;
mod signals;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::System;
use actix_web::rt::task::JoinHandle;
use actix_web::rt::time::timeout;
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
use signals::Signals;

/// Threads that answer requests.
const WORKERS: usize = 2;
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
    // What can be refused is, before anything is kept.
    refuse_clock(SystemTime::now())?;
    let connections = room::connections(args.arbiters)?;
    let listener = TcpListener::bind(args.listen).map_err(|error| Failure::at(args.listen, error))?;
    let monitoring = start(args, plan)?;
    System::new().block_on(serve(args, monitoring, listener, connections))
}

/// Before 1970 no answer can be dated, and no event be taken.
fn refuse_clock(now: SystemTime) -> Result<(), Failure> {
    if now < SystemTime::UNIX_EPOCH {
        return Err(Failure::at("the system's clock", "is before 1970, must be set"));
    }
    Ok(())
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

async fn serve(
    args: &ServeArgs,
    monitoring: MonitoringHandle,
    listener: TcpListener,
    connections: usize,
) -> Result<Outcome, Failure> {
    let drain = Duration::from_secs(args.drain);
    let begun = Signals::listen().map_err(|error| Failure::at("signals", error));
    let begun = begun.and_then(|signals| Ok((signals, begin(args, &monitoring, listener, connections)?)));
    let (mut signals, (server, bound)) = match begun {
        Ok(begun) => begun,
        Err(failure) => {
            let _ = monitoring.shutdown(drain).await;
            return Err(failure);
        }
    };
    let stop = server.handle();
    let mut served = actix_web::rt::spawn(server);
    complain(&format!("serving on http://{bound}"));
    let recovering = monitoring.clone();
    actix_web::rt::spawn(async move { tell_recovery(&recovering).await });
    let signal = match first(signals.next(), &mut served).await {
        Ok(signal) => signal,
        Err(ended) => return Ok(deaf(args, &monitoring, ended, drain).await),
    };
    complain(&format!("{}: ending, in {drain:?} at most; again to end at once", signal.name));
    let report = match first(end(&stop, &monitoring, drain), signals.after(signal)).await {
        Ok(report) => report,
        Err(signal) => {
            complain(&format!("{} again: ended at once; what was taken is in the journal", signal.name));
            return Ok(Outcome::Cut);
        }
    };
    let _ = served.await;
    nobody_there(args);
    let outcome = told(&report, &monitoring);
    // For who started it: the same with all its figures.
    say(|out| {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)
    })?;
    Ok(outcome)
}

/// Nobody is to be sent there any more; if the file cannot be removed, who asks finds nobody.
fn nobody_there(args: &ServeArgs) {
    if let Some(file) = &args.port_file {
        let _ = std::fs::remove_file(file);
    }
}

/// The server has ended, and nobody has asked it to: a process that hears nobody is not to go on.
async fn deaf(args: &ServeArgs, monitoring: &MonitoringHandle, ended: Ended, drain: Duration) -> Outcome {
    complain(&format!("error: the server has ended by itself: {}", why(ended)));
    nobody_there(args);
    let report = monitoring.shutdown(drain).await;
    told(&report, monitoring);
    Outcome::Deaf
}

/// How the server ended: as it says, or by a panic.
type Ended = <JoinHandle<io::Result<()>> as Future>::Output;

fn why(ended: Ended) -> String {
    match ended {
        Ok(Ok(())) => "without a reason".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

fn begin(
    args: &ServeArgs,
    monitoring: &MonitoringHandle,
    listener: TcpListener,
    connections: usize,
) -> Result<(Server, SocketAddr), Failure> {
    let surface = HttpSurface::new(monitoring.clone());
    let app = move || {
        App::new().configure(|config| surface.configure(config)).default_service(surface.no_such_path())
    };
    let server = HttpServer::new(app)
        .workers(WORKERS)
        .max_connections(connections / WORKERS)
        .client_request_timeout(HEAD_TIME_MAX)
        .shutdown_timeout((args.drain / 2).max(1))
        .disable_signals()
        .listen(listener)
        .map_err(|error| Failure::at(args.listen, error))?;
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
    let left = after_requests(server.stop(true), drain).await;
    monitoring.shutdown(left).await
}

/// Waits for the requests under way, for half of the time at most; answers what is left. A body that comes slowly leaves the
/// other half to what was taken; if its end comes later, it is answered that nothing is taken.
async fn after_requests(stopped: impl Future<Output = ()>, drain: Duration) -> Duration {
    let begun = Instant::now();
    let _ = timeout(drain / 2, stopped).await;
    drain.saturating_sub(begun.elapsed()).max(drain / 2)
}

fn told(report: &DrainReport, monitoring: &MonitoringHandle) -> Outcome {
    let DrainReport { events_handled, events_cut, alerts_cut, snapshots, snapshots_failed, aside, .. } =
        report;
    complain(&format!(
        "{}: {events_handled} events handled, {events_cut} cut, {alerts_cut} alerts not delivered, {snapshots} states \
         saved, {snapshots_failed} not, {aside} models set aside",
        if report.complete { "ended, all done" } else { "ended, not all done: the rest is in the journal" }
    ));
    if let Some(failing) = monitoring.store_status().and_then(|store| store.failing) {
        complain(&format!("error: the store took nothing at the end: {failing}"));
    }
    for unkept in &report.unkept {
        complain(&format!("warning: the state of {} is not saved: {}", unkept.model_id, unkept.reason));
    }
    if report.complete { Outcome::Done } else { Outcome::Cut }
}

/// Whichever ends first; the one that is named first where both have.
async fn first<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> Result<A, B> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| {
        use std::task::Poll::{Pending, Ready};
        match (one.as_mut().poll(cx), other.as_mut().poll(cx)) {
            (Ready(done), _) => Ready(Ok(done)),
            (Pending, Ready(done)) => Ready(Err(done)),
            (Pending, Pending) => Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_falls_over_is_noticed_without_a_signal() {
        System::new().block_on(async {
            let mut served = actix_web::rt::spawn(async { Err(io::Error::other("no room")) });
            let ended = first(std::future::pending::<()>(), &mut served).await.unwrap_err();
            assert_eq!(why(ended), "no room");
            let mut served = actix_web::rt::spawn(async { panic!("no thread") });
            let ended = first(std::future::pending::<()>(), &mut served).await.unwrap_err();
            assert!(why(ended).contains("panicked"));
        });
    }

    #[test]
    fn a_request_that_does_not_end_leaves_half_of_the_time_to_what_was_taken() {
        let drain = Duration::from_millis(20);
        let left = System::new().block_on(after_requests(std::future::pending(), drain));
        assert_eq!(left, drain / 2);
        let left = System::new().block_on(after_requests(std::future::ready(()), drain));
        assert!((drain / 2..=drain).contains(&left), "{left:?}");
    }

    #[test]
    fn a_clock_before_1970_is_refused() {
        assert!(refuse_clock(SystemTime::UNIX_EPOCH).is_ok());
        assert!(refuse_clock(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).is_err());
    }
}
