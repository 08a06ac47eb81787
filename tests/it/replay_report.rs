//! The report from code, with an observer of one's own: how it is embedded, and that a page trusts no text.

use std::fmt::Write as _;
use std::sync::Arc;

use visu_tility::ingest::EventReader;
use visu_tility::monitoring::{
    MetricEvent, MetricObserver, MonitorPlan, ObserverAction, ObserverError, Severity,
};
use visu_tility::replay::{
    BadLine, HtmlReport, Input, Labels, PlotDetail, Replay, ReplayWatcher, Report, Score, TextReport,
};

/// Alerts on every value above 1, with a text that would like to be markup.
#[derive(Clone)]
struct Hostile;

const NAME: &str = "<script>alert(1)</script>";

impl MetricObserver for Hostile {
    fn name(&self) -> &str {
        NAME
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(match event.value() {
            Some(value) if value > 1.0 => ObserverAction::alert(
                Severity::Critical,
                "\"><img src=x onerror=alert(2)>\u{1b}[2J\nsecond line",
            ),
            _ => ObserverAction::NoOp,
        })
    }
}

struct Silent;

impl ReplayWatcher for Silent {
    fn bad_line(&mut self, _: &BadLine) {}
    fn progress(&mut self, _: u64) {}
}

fn replay(text: String) -> Report {
    let reader = EventReader::from_reader(std::io::Cursor::new(text), None, Arc::default()).unwrap();
    let input = Input { name: "<b>events</b>&.ndjson".to_owned(), reader };
    let plan = MonitorPlan::empty().with_observer(Box::new(Hostile)).unwrap();
    let mut replay = Replay::new(plan);
    replay.detail = PlotDetail::Page;
    replay.run(vec![input], &mut Silent).unwrap()
}

fn events() -> String {
    let line =
        |value: u32| format!("{{\"model_id\":\"a=/~#\",\"kind\":\"Feature:<i>&'\\\"\",\"value\":{value}}}\n");
    (0..40).map(|at| line(u32::from(at / 10 == 1) * 2)).collect::<String>() + "<nonsense>\n"
}

#[test]
fn a_page_holds_no_markup_of_somebody_else() {
    let mut report = replay(events());
    let labels = r#"{"drifts":[{"event":10,"what":"<svg onload=alert(3)>"}],"predictions":40}"#;
    report.score = Some(Score::of(&report, &Labels::from_json(labels).unwrap(), 10).unwrap());
    assert_eq!((report.alerts.len(), report.rejected), (1, 1));
    let page = HtmlReport::new(&report).to_string();
    for markup in ["<script", "<img", "<i>", "<b>events", "<svg onload", "<nonsense", "\u{1b}"] {
        assert!(!page.contains(markup), "holds {markup}");
    }
    for text in [
        "&lt;script&gt;alert(1)",
        "&lt;img src=x",
        "&lt;i&gt;&amp;&#39;&quot;",
        "&lt;svg onload",
        "&lt;nonsense&gt;",
    ] {
        assert!(page.contains(text), "lacks {text}");
    }
}

#[test]
fn a_terminal_is_sent_no_control_character() {
    let report = replay(events());
    let text = TextReport::new(&report).width(80).to_string();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(TextReport::new(&report).colour(true).to_string().contains("\u{1b}[31m"));
}

#[test]
fn many_models_are_cut_to_the_worst() {
    let mut text = String::new();
    for at in 0..12_000_u32 {
        let (model, step) = (at % 1_000, at / 1_000);
        let value = if model < 30 && step > 5 { 2 } else { 0 };
        let _ = writeln!(text, "{{\"model_id\":\"m{model:03}\",\"kind\":\"Custom:x\",\"value\":{value}}}");
    }
    let report = replay(text);
    assert_eq!((report.models.len(), report.alerts.len()), (1_000, 30));
    let page = HtmlReport::new(&report).to_string();
    assert!(page.contains("Drawn are the 24 of 1,000 models with the most alarms."));
    assert_eq!(page.matches("<svg").count(), 24);
    let text = TextReport::new(&report).to_string();
    assert!(text.contains("The 10 of 1,000 models with the most alarms"), "{text}");
    assert!(text.contains("and 970 more models"), "{text}");
    assert!(text.lines().count() < 250, "{} lines", text.lines().count());
}
