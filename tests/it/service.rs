//! A whole service as README.md shows it, in a process of its own, that is told to end by a signal under load.

use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use visu_tility::monitoring::{
    IngestError, MetricEvent, MetricKind, MetricObserver, ModelHandle, Monitoring, ObserverAction,
    ObserverError, PublishError,
};

/// Tells the test that is no test what it is.
const AS_SERVICE: &str = "VISU_TILITY_TEST_AS_SERVICE";

#[test]
fn a_service_that_gets_a_signal_under_load_handles_every_event_that_it_took() {
    for signal in ["INT", "TERM"] {
        let mut service = start();
        let mut lines = BufReader::new(service.stderr.take().unwrap()).lines().map(Result::unwrap);
        // A full house: at least as many events as there are credits are queued.
        await_line(&mut lines, "full");
        // The shell's own `kill`: a machine need have no other.
        let pid = service.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status().unwrap();
        assert!(sent.success());
        let taken = number(&await_line(&mut lines, "taken "), "taken ");
        let told = await_line(&mut lines, "ended ");
        assert!(service.wait().unwrap().success());
        let [complete, handled, cut, seen] =
            ["complete ", "handled ", "cut ", "seen "].map(|of| number(&told, of));
        assert!(taken >= 65_536, "SIG{signal}: {taken} taken; {told}");
        assert_eq!((complete, handled, cut, seen), (1, taken, 0, taken), "SIG{signal}: {told}");
    }
}

fn start() -> Child {
    let mut service = Command::new(std::env::current_exe().unwrap());
    service.args(["--exact", "service::as_a_service", "--ignored", "--nocapture"]).env(AS_SERVICE, "1");
    service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The next line that begins so.
fn await_line(lines: &mut impl Iterator<Item = String>, begins: &str) -> String {
    let mut before = Vec::new();
    for line in lines {
        if line.starts_with(begins) {
            return line;
        }
        before.push(line);
    }
    panic!("the service ended before it said `{begins}`; it said {before:#?}")
}

/// The number behind a word of a line.
fn number(line: &str, behind: &str) -> u64 {
    let (_, rest) = line.split_once(behind).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// Counts what models are shown, apart from all that the monitoring counts; lets nothing through before it is told
/// to, so that the house is full however fast this machine is.
#[derive(Clone)]
struct Seen {
    events: Arc<AtomicU64>,
    opens: Arc<Mutex<Receiver<()>>>,
}

impl MetricObserver for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        if self.events.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = self.opens.lock().unwrap().recv(); // or the other end is gone: let through
        }
        Ok(ObserverAction::NoOp)
    }
}

/// Publishes without a pause until the monitoring ends, and says how many events were taken.
fn load(digits: &ModelHandle) {
    let (mut taken, mut told) = (0_u64, false);
    loop {
        match digits.try_publish_all([(MetricKind::Correct, 1.0), (MetricKind::Confidence, 0.9)]) {
            Ok(accepted) => taken += accepted.events,
            Err(PublishError::Ingest(IngestError::Full { .. })) => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("full");
                }
                std::thread::yield_now();
            }
            Err(_) => break,
        }
    }
    eprintln!("taken {taken}");
}

/// The service of README.md, with a load and an observer that counts.
#[test]
#[ignore = "no test: what the test above starts in a process of its own"]
fn as_a_service() {
    if std::env::var_os(AS_SERVICE).is_none() {
        return;
    }
    let ended = actix_web::rt::System::new().block_on(async {
        let (open, opens) = channel();
        let events = Arc::new(AtomicU64::new(0));
        let seen = Seen { events: Arc::clone(&events), opens: Arc::new(Mutex::new(opens)) };
        let monitoring = Monitoring::builder().observer(Box::new(seen)).start()?;
        let digits = web::Data::new(monitoring.model("digits")?);
        let loaded = monitoring.model("digits")?;
        let server = HttpServer::new(move || App::new().app_data(digits.clone()));
        let mut server = pin!(server.bind(("127.0.0.1", 0))?.run());
        // From its first poll on the server listens to signals; the test sends none before there is load.
        assert!(poll_fn(|cx| Poll::Ready(server.as_mut().poll(cx))).await.is_pending());
        let load = std::thread::spawn(move || load(&loaded));
        server.await?;
        // Now that the server has stopped its `System`, with all credits out.
        drop(open);
        let report = monitoring.shutdown(Duration::from_hours(1)).await;
        load.join().expect("the load ends");
        eprintln!(
            "ended complete {} handled {} cut {} seen {}",
            u8::from(report.complete),
            report.events_handled,
            report.events_cut,
            events.load(Ordering::Relaxed)
        );
        Ok::<(), Box<dyn std::error::Error>>(())
    });
    ended.unwrap();
}
