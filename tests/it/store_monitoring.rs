//! A monitoring over one SQLite file: what was acknowledged is there when the file is opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use visu_tility::monitoring::{
    ActionRecord, AlertSink, BoxFuture, Clock, DriftDetector, ManualClock, MetricEvent, MetricKind,
    MonitorPlan, Monitoring, MonitoringHandle, SinkFailure, Timestamp, block_on,
};
use visu_tility::store::{OutboxQuery, SqliteStore, StoreLimits};

/// Counts what it is given.
#[derive(Default)]
struct Pages(AtomicUsize);

struct Sink(Arc<Pages>);

impl AlertSink for Sink {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn deliver(&self, _: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn start(path: &std::path::Path, pages: &Arc<Pages>) -> MonitoringHandle {
    start_at(path, pages, 1_700_000_000_000)
}

/// As [`start`], with a clock that stands at so many milliseconds.
fn start_at(path: &std::path::Path, pages: &Arc<Pages>, ms: i64) -> MonitoringHandle {
    let (store, _) = SqliteStore::open(path, StoreLimits::default()).unwrap();
    let plan = MonitorPlan::empty().with_observer(Box::new(DriftDetector::default())).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(ms)));
    let builder = Monitoring::builder().plan(plan).arbiters(2).clock(clock);
    builder.alert_sink(Arc::new(Sink(Arc::clone(pages)))).store(Box::new(store)).start().unwrap()
}

fn event(i: i64) -> MetricEvent {
    let value = if i % 50 < 25 { 0.1 } else { 0.5 };
    let at = Timestamp::from_millis(1_700_000_000_000 + i);
    MetricEvent::new(format!("m{}", i % 7), MetricKind::DriftScore, value).unwrap().at(at).unwrap()
}

#[test]
fn what_was_acknowledged_is_in_the_file() {
    let folder = std::env::temp_dir().join(format!("visu-tility-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("store.db");
    let (pages, later) = (Arc::new(Pages::default()), Arc::new(Pages::default()));
    block_on(async {
        let handle = start(&path, &pages);
        for from in (0..2_000).step_by(100) {
            let receipt = handle.publish_batch((from..from + 100).map(event).collect()).await;
            assert_eq!(receipt.accepted, 100);
        }
        handle.passivate("m3").await.unwrap();
        handle.pause("m4").await.unwrap();
        handle.flush().await.unwrap();
        let told = pages.0.load(Ordering::Acquire);
        assert!(told > 10, "{told}");
        // The copy is as a kill would leave the file.
        let copy = folder.join("copy.db");
        SqliteStore::open_reader(&path).unwrap().backup(&copy).unwrap();
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert!(report.complete, "{report:?}");

        let shown = |statuses: Vec<visu_tility::monitoring::ModelStatus>| {
            let one =
                |status: visu_tility::monitoring::ModelStatus| (status.model_id, status.phase.to_string());
            statuses.into_iter().map(one).collect::<Vec<_>>()
        };
        // Of the copy: what was delivered when it was not yet noted.
        let waiting = OutboxQuery { waiting: true, limit: 10_000, ..OutboxQuery::default() };
        let noted_late = SqliteStore::open_reader(&copy).unwrap().outbox(&waiting).unwrap().len();
        for path in [&path, &copy] {
            let handle = start(path, &later);
            assert_eq!(handle.recovered().await.failed, None);
            for model in handle.models() {
                handle.model_addr(model).await.unwrap();
            }
            handle.flush().await.unwrap();
            let statuses = handle.model_statuses().await.unwrap();
            let taken: u64 = statuses.iter().filter_map(|s| s.monitor.as_ref()).map(|m| m.taken).sum();
            assert_eq!(taken, 2_000);
            let phases = shown(statuses);
            assert_eq!(phases.iter().filter(|(_, phase)| phase == "paused").count(), 1, "{phases:?}");
            let report = handle.shutdown(Duration::from_mins(1)).await;
            assert!(report.complete, "{report:?}");
        }
        assert_eq!(
            later.0.load(Ordering::Acquire),
            noted_late,
            "what was noted is not delivered a second time"
        );
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_start_with_a_clock_that_is_years_back_loses_nothing_and_counts_what_it_refuses() {
    let folder = std::env::temp_dir().join(format!("visu-tility-clock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (path, pages) = (folder.join("store.db"), Arc::new(Pages::default()));
    let now = || MetricEvent::new("m", MetricKind::DriftScore, 0.1).unwrap();
    block_on(async {
        let handle = start(&path, &pages);
        handle.publish(now()).await.unwrap();
        assert!(handle.shutdown(Duration::from_mins(1)).await.complete);
        let handle = start_at(&path, &pages, 1_400_000_000_000);
        assert_eq!(handle.recovered().await.failed, None);
        // One with its own time is ahead of this clock, and its publisher is told.
        assert!(handle.publish(event(0)).await.unwrap_err().to_string().contains("ahead of the clock"));
        for _ in 0..20 {
            handle.publish(now()).await.unwrap();
        }
        handle.flush().await.unwrap();
        let status = handle.model_status_awake("m").await.unwrap().monitor.unwrap();
        assert_eq!((status.taken + status.too_late, status.back_steps), (21, 1), "{status:?}");
        assert!(status.too_late < 8, "{status:?}");
        assert_eq!(handle.status().await.unwrap().refused_future, 1);
        assert!(handle.shutdown(Duration::from_mins(1)).await.complete);
        // And back again.
        let handle = start(&path, &pages);
        handle.publish(now()).await.unwrap();
        handle.flush().await.unwrap();
        let status = handle.model_status_awake("m").await.unwrap().monitor.unwrap();
        assert_eq!(status.taken + status.too_late, 22);
        assert!(handle.shutdown(Duration::from_mins(1)).await.complete);
    });
    std::fs::remove_dir_all(&folder).unwrap();
}
