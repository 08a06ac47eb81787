//! Reads files of events one after the other, for a replay and for a calibration: gives series numbers and events times,
//! counts what cannot be used and tells of it.

use std::time::Duration;

use visu_tility_core::Timestamp;

use super::bad_lines::{BadLine, BadLines};
use super::run::{Input, ReplayWatcher};
use crate::ingest::{EventLine, EventReader, LineError, NextLine, SeriesTable};

/// The most series of a run.
pub(crate) const SERIES_MAX: usize = 4_000_000;

/// What is known of the files read so far.
pub(crate) struct Intake<'a> {
    pub(crate) table: SeriesTable,
    pub(crate) times: Times,
    pub(crate) bad: BadLines,
    /// The files, as they were named; the last one is being read.
    pub(crate) files: Vec<String>,
    pub(crate) watcher: &'a mut dyn ReplayWatcher,
    not_after: Option<Timestamp>,
}

impl<'a> Intake<'a> {
    /// Starts without a file; times after `not_after` are not believed.
    pub(crate) fn new(
        custom_kinds: bool,
        not_after: Option<Timestamp>,
        watcher: &'a mut dyn ReplayWatcher,
    ) -> Self {
        Self {
            table: SeriesTable::new(SERIES_MAX, custom_kinds),
            times: Times::default(),
            bad: BadLines::default(),
            files: Vec::new(),
            watcher,
            not_after,
        }
    }

    /// Finds a line's series, and the time that the line stands for.
    pub(crate) fn place(&mut self, line: &EventLine<'_>) -> Result<(u32, Timestamp), LineError> {
        let series = self.table.intern(line)?;
        if let (Some(ts), Some(limit)) = (line.ts, self.not_after)
            && ts > limit
            && ts.in_bounds()
        {
            let allowed = format!("at most {limit} (--not-after sets it)");
            return Err(LineError::field("ts", ts.to_string(), allowed));
        }
        Ok((series, self.times.of(line.ts)))
    }

    /// Counts a line that cannot be used, and tells of it if it is among the first.
    pub(crate) fn refuse(&mut self, class: String, file: u32, line: u64, reason: impl FnOnce() -> String) {
        let file = self.files.get(file as usize).map_or("", String::as_str);
        if let Some(line) = self.bad.add(class, file, line, reason) {
            self.watcher.bad_line(line);
        }
    }

    /// Counts a file that cannot be used any further, and tells of it in any case.
    fn give_up(&mut self, file: u32, line: u64, class: &str, reason: String) {
        let file = self.files.get(file as usize).cloned().unwrap_or_default();
        self.bad.add(class.to_owned(), &file, line, || reason.clone());
        self.watcher.bad_line(&BadLine { file, line, reason });
    }
}

/// Takes the events of files.
pub(crate) trait TakeEvents<'a> {
    /// Why no more are taken.
    type Error;

    /// What is known of the files.
    fn intake(&mut self) -> &mut Intake<'a>;

    /// Takes one line, or says why it cannot be used.
    fn take(&mut self, line: &EventLine<'_>) -> Result<Result<(), LineError>, Self::Error>;

    /// Takes note of where the line stood that was taken last.
    fn taken_from(&mut self, file: u32, line: u64) -> Result<(), Self::Error>;

    /// Reads all files to their ends.
    fn read_all(&mut self, inputs: Vec<Input>) -> Result<(), Self::Error> {
        for (file, mut input) in inputs.into_iter().enumerate() {
            self.intake().files.push(input.name);
            self.read(file as u32, &mut input.reader)?;
        }
        Ok(())
    }

    /// Reads one file to its end.
    fn read(&mut self, file: u32, reader: &mut EventReader) -> Result<(), Self::Error> {
        loop {
            let outcome = match reader.next_event() {
                NextLine::Event(line) => self.take(&line)?,
                NextLine::Bad(error) => Err(error),
                NextLine::Blank => continue,
                NextLine::End => break,
                NextLine::Broken(text) => {
                    let line = reader.line_number();
                    let reason = if line == 0 { text } else { format!("{text}; read up to line {line}") };
                    self.intake().give_up(file, line, "file cannot be read on", reason);
                    return Ok(());
                }
            };
            let line = reader.line_number();
            match outcome {
                Ok(()) => self.taken_from(file, line)?,
                Err(error) => self.intake().refuse(error.class(), file, line, || error.to_string()),
            }
        }
        if reader.line_number() == 0 {
            self.intake().give_up(file, 0, "file is empty", "file is empty".to_owned());
        }
        Ok(())
    }
}

/// Gives a time to events that have none.
#[derive(Debug, Default)]
pub(crate) struct Times {
    newest: Timestamp,
    /// Whether any event had a time.
    known: bool,
}

impl Times {
    /// The time of the next event.
    pub(crate) fn of(&self, ts: Option<Timestamp>) -> Timestamp {
        ts.unwrap_or(self.newest)
    }

    /// Takes note that the event was used.
    pub(crate) fn note(&mut self, ts: Option<Timestamp>) {
        match ts {
            Some(ts) if self.known => self.newest = self.newest.max(ts),
            Some(ts) => (self.newest, self.known) = (ts, true),
            None if self.known => {}
            None => self.newest = self.newest.plus(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_without_a_time_take_the_newest_or_are_a_second_apart() {
        let second = |n: i64| Timestamp::from_millis(n * 1_000);
        let mut times = Times::default();
        let mut next = |ts: Option<Timestamp>| {
            let at = times.of(ts);
            times.note(ts);
            at
        };
        assert_eq!([next(None), next(None), next(None)], [second(0), second(1), second(2)]);
        assert_eq!(next(Some(second(100))), second(100));
        assert_eq!([next(None), next(None)], [second(100), second(100)]);
        assert_eq!(next(Some(second(90))), second(90));
        assert_eq!(next(None), second(100));
    }
}
