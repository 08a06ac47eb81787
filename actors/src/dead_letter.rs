//! Events that were taken but not shown to all of their observers: a bounded ring, and a count.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use visu_tility_core::store::{LetterEntry, StoreError, StoreReader};
use visu_tility_core::{MetricKind, ModelId, Timestamp, Version};

/// Letters that are read at a time.
const PAGE: usize = 256;

/// Why an event is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// An observer panicked on it; all others saw it.
    Panicked {
        /// What the panic said.
        reason: String,
    },
    /// The model is in quarantine.
    Quarantined,
    /// The model was waiting for its restart and the events held for it reached their bound.
    HeldFull,
    /// It was older than the plan's lateness allows.
    TooLate,
    /// The model was retired while the event was on its way.
    Retired,
    /// The model refused the event's version or kind.
    Refused {
        /// What the model said.
        reason: String,
    },
    /// An observer did not come back from it.
    Stuck,
    /// The shutdown's deadline came first.
    ShutDown,
}

impl std::fmt::Display for DeadReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panicked { reason } => write!(f, "an observer panicked: {reason}"),
            Self::Quarantined => f.write_str("the model is in quarantine"),
            Self::HeldFull => f.write_str("too many events were held for the model's restart"),
            Self::TooLate => f.write_str("it came too late"),
            Self::Retired => f.write_str("the model was retired"),
            Self::Refused { reason } => write!(f, "the model refused it: {reason}"),
            Self::Stuck => f.write_str("an observer did not come back from it"),
            Self::ShutDown => f.write_str("the shutdown's deadline came first"),
        }
    }
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The model.
    pub model_id: ModelId,
    /// The version, when it is still known.
    pub version: Option<Version>,
    /// The kind, when it is still known.
    pub kind: Option<MetricKind>,
    /// The event's time.
    pub at: Timestamp,
    /// The event's value; `None` when it was missing, or when no event but a timer led to a panic.
    pub value: Option<f64>,
    /// The event's offset; `None` when no event but a timer led to a panic.
    pub offset: Option<u64>,
    /// The observer that panicked.
    pub observer: Option<Arc<str>>,
    /// Why.
    pub reason: DeadReason,
}

impl DeadLetter {
    /// As it stands in a store.
    pub(crate) fn entry(&self) -> LetterEntry {
        LetterEntry {
            model: self.model_id.clone(),
            offset: self.offset,
            observer: self.observer.as_deref().unwrap_or_default().to_owned(),
            at: self.at,
            body: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

/// The latest dead letters, and how many there have been.
pub(crate) struct DeadLetters {
    ring: Mutex<Ring>,
    max: usize,
}

#[derive(Default)]
struct Ring {
    letters: VecDeque<DeadLetter>,
    total: u64,
    /// The largest offset of those of the last life: a recovery may find these again.
    known_to: Option<u64>,
}

impl Ring {
    /// Whether a letter of the last life has been made again.
    fn knows(&self, letter: &DeadLetter) -> bool {
        let Some(known_to) = self.known_to else { return false };
        let same = |known: &DeadLetter| {
            known.offset == letter.offset
                && known.model_id == letter.model_id
                && known.observer == letter.observer
                && (known.offset.is_some() || known == letter)
        };
        letter.offset.is_none_or(|offset| offset <= known_to) && self.letters.iter().any(same)
    }
}

impl DeadLetters {
    pub(crate) fn new(max: usize) -> Self {
        Self { ring: Mutex::default(), max }
    }

    pub(crate) fn push(&self, letter: DeadLetter) {
        let mut ring = self.ring.lock();
        ring.total += 1;
        if ring.knows(&letter) {
            return;
        }
        if ring.letters.len() >= self.max {
            ring.letters.pop_front();
        }
        if self.max > 0 {
            ring.letters.push_back(letter);
        }
    }

    /// Begins with the latest of those that a store holds. One that cannot be read is left out; it stays in the store.
    ///
    /// # Errors
    ///
    /// Fails when the store cannot be read.
    pub(crate) fn begin(&self, reader: &mut dyn StoreReader) -> Result<(), StoreError> {
        let mut after = reader.summary()?.dead_letters_total.saturating_sub(self.max as u64);
        let mut ring = self.ring.lock();
        loop {
            let page = reader.dead_letters(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            for stored in page {
                let letter = match serde_json::from_str::<DeadLetter>(&stored.entry.body) {
                    Ok(letter) => letter,
                    Err(error) => {
                        tracing::warn!(number = stored.number, %error, "a dead letter cannot be read");
                        continue;
                    }
                };
                ring.known_to = ring.known_to.max(Some(letter.offset.unwrap_or(0)));
                ring.letters.push_back(letter);
            }
        }
    }

    /// The latest, newest last.
    pub(crate) fn latest(&self) -> Vec<DeadLetter> {
        self.ring.lock().letters.iter().cloned().collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.ring.lock().total
    }
}
