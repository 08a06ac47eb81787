//! Shows how a run goes on: a bar on a terminal, and the first lines that could not be used.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use visu_tility::replay::{BadLine, BadLines, ReplayWatcher};

use super::complain;

/// Tells a person how a run goes on.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Bytes read of all files.
    read: Arc<AtomicU64>,
    quiet: bool,
}

impl Progress {
    /// Starts; `total` is the size of all files, if it is known.
    pub(crate) fn new(total: Option<u64>, read: Arc<AtomicU64>, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target);
        let form = match total {
            Some(_) => "{elapsed_precise} {wide_bar} {percent:>3} %  {msg}  {eta} left",
            None => "{elapsed_precise} {spinner} {bytes}  {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, read, quiet }
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }

    /// Takes the bar away and sums up the lines that were not told of one by one.
    pub(crate) fn finish(&self, bad: &BadLines) {
        self.bar.finish_and_clear();
        if self.quiet || bad.unshown() == 0 {
            return;
        }
        let plural = if bad.unshown() == 1 { "" } else { "s" };
        complain(&format!(
            "and {} more line{plural} could not be used; of all {}:",
            bad.unshown(),
            bad.total
        ));
        for (class, lines) in &bad.classes {
            complain(&format!("  {lines:>9}  {class}"));
        }
    }
}

impl ReplayWatcher for Progress {
    fn bad_line(&mut self, line: &BadLine) {
        // A whole file is told of in any case.
        if !self.quiet || line.line == 0 {
            self.bar.suspend(|| complain(&line.to_string()));
        }
    }

    fn progress(&mut self, events: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_position(self.read.load(Ordering::Relaxed));
            self.bar.set_message(format!("{events} events"));
        }
    }
}
