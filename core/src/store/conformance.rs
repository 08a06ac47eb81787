//! What every store shows: named cases, each a sentence of the contract, that a store of yours can be asked as well.
//!
//! ```
//! use std::path::PathBuf;
//!
//! use visu_tility_core::store::conformance::{CASES, Workshop};
//! use visu_tility_core::store::{MemoryDisk, Opened, Store, StoreError, StoreLimits};
//!
//! struct Memory(std::collections::BTreeMap<String, MemoryDisk>);
//!
//! impl Workshop for Memory {
//!     fn open(&mut self, place: &str, limits: StoreLimits) -> Result<(Box<dyn Store>, Opened), StoreError> {
//!         let (store, opened) = self.0.entry(place.to_owned()).or_default().open(limits)?;
//!         Ok((Box::new(store), opened))
//!     }
//!
//!     fn path(&self, place: &str) -> PathBuf {
//!         place.into()
//!     }
//! }
//!
//! for case in CASES {
//!     (case.run)(&mut Memory(Default::default())).unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
//! }
//! ```

mod content;
mod journal;
mod life;
mod models;
mod outbox;
mod random;

use std::fmt::Debug;
use std::path::PathBuf;

use crate::action::ActionId;
use crate::id::ModelId;
use crate::time::Timestamp;

use super::commit::{
    Commit, Committed, JournalPiece, LetterEntry, ModelChange, OutboxEntry, OutboxTopic, Snapshot,
    StoredPhase,
};
use super::error::StoreError;
use super::limits::StoreLimits;
use super::record::Opened;
use super::{Store, StoreReader};

/// Makes the stores that are asked.
pub trait Workshop {
    /// Opens the store at a place: a name of letters and digits. The first opening of a place finds nothing there.
    ///
    /// # Errors
    ///
    /// As the store's own way of being opened.
    fn open(&mut self, place: &str, limits: StoreLimits) -> Result<(Box<dyn Store>, Opened), StoreError>;

    /// Where the store at a place would be, for a backup that is then opened at that place.
    fn path(&self, place: &str) -> PathBuf;
}

/// One sentence of the contract.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The sentence, as the name of a function.
    pub name: &'static str,
    /// Asks a store for it.
    ///
    /// # Errors
    ///
    /// Says what was found instead.
    pub run: fn(&mut dyn Workshop) -> Result<(), String>,
}

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: $module::$name }),*]
    };
}

/// The whole contract.
pub const CASES: &[Case] = cases![
    life::a_new_store_is_empty,
    life::an_empty_commit_changes_nothing,
    life::everything_is_found_again_after_a_clean_stop_and_after_none,
    life::a_second_writer_is_refused_while_the_first_is_open,
    life::a_reader_sees_what_was_acknowledged_and_outlives_its_writer,
    life::a_backup_is_the_store_as_of_one_moment,
    life::values_are_set_read_and_removed,
    life::plans_are_kept_once_and_dropped,
    journal::offsets_are_dense_and_a_refused_commit_leaves_nothing,
    journal::what_is_too_long_is_refused,
    journal::what_speaks_of_offsets_that_are_not_there_is_refused,
    journal::pieces_come_from_an_offset_on_within_the_bytes_asked_for,
    journal::truncation_removes_whole_pieces_and_keeps_the_next_offset,
    journal::a_full_journal_refuses_and_takes_again_after_truncation,
    models::a_snapshot_replaces_the_last_and_never_goes_back,
    models::models_come_page_by_page_in_the_order_of_their_names,
    models::due_models_come_earliest_first,
    models::a_forgotten_model_is_remembered_while_the_journal_could_bring_it_back,
    models::large_and_empty_states_come_back_bit_for_bit,
    outbox::an_action_is_posted_once,
    outbox::settled_actions_wait_no_longer_and_stay_known_while_a_replay_could_make_them,
    outbox::a_full_outbox_refuses_and_takes_again_after_settlement,
    outbox::actions_of_a_model_come_page_by_page,
    outbox::the_latest_dead_letters_are_kept_once_each,
    random::any_commits_leave_what_the_contract_says,
];

type Outcome = Result<(), String>;

/// Compares, and says what was compared.
fn expect<T: PartialEq + Debug>(what: &str, found: &T, wanted: &T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, should be {wanted:?}")) }
}

fn works<T>(doing: &str, result: Result<T, StoreError>) -> Result<T, String> {
    result.map_err(|error| format!("{doing}: {error}"))
}

/// A store with its reader, opened for one case.
struct Subject {
    store: Box<dyn Store>,
    reader: Box<dyn StoreReader>,
    opened: Opened,
}

impl Subject {
    fn open(workshop: &mut dyn Workshop, place: &str, limits: StoreLimits) -> Result<Self, String> {
        let (store, opened) = works("open", workshop.open(place, limits))?;
        let reader = works("reader", store.reader())?;
        Ok(Self { store, reader, opened })
    }

    fn commit(&mut self, commit: &Commit) -> Result<Committed, String> {
        works("commit", self.store.commit(commit))
    }

    /// Commits what must be refused, and checks that nothing of it is seen.
    fn refused(&mut self, commit: &Commit) -> Result<StoreError, String> {
        let before = content::read(&mut *self.reader)?;
        let Err(error) = self.store.commit(commit) else { return Err(format!("{commit:?} was taken")) };
        content::same(&content::read(&mut *self.reader)?, &before)?;
        Ok(error)
    }
}

fn model(name: &str) -> Result<ModelId, String> {
    ModelId::new(name).map_err(|error| error.to_string())
}

fn piece(first_offset: u64, entries: u32, length: usize) -> JournalPiece {
    // Bytes that tell their place, so that no piece can stand for another.
    let bytes = (0..length).map(|at| (first_offset as u8).wrapping_mul(31).wrapping_add(at as u8)).collect();
    JournalPiece { first_offset, entries, bytes }
}

fn append(pieces: Vec<JournalPiece>) -> Commit {
    Commit { journal: pieces, ..Commit::default() }
}

fn snapshot(name: &str, next_offset: u64, state: &[u8]) -> Result<Snapshot, String> {
    let (model, state) = (model(name)?, state.to_vec());
    Ok(Snapshot { model, next_offset, phase: StoredPhase::Running, due: None, plan: 7, form: 2, state })
}

fn keep(snapshots: Vec<Snapshot>) -> Commit {
    Commit { models: snapshots.into_iter().map(ModelChange::Keep).collect(), ..Commit::default() }
}

fn action(name: &str, cause: u64, ordinal: u32) -> Result<OutboxEntry, String> {
    let id = ActionId { model_id: model(name)?, offset: cause, observer: "psi \"é\"".into(), ordinal };
    let body = format!("{{\"summary\":\"{name} at {cause}\"}}");
    Ok(OutboxEntry { id, cause, topic: OutboxTopic::Alert, at: Timestamp::from_millis(cause as i64), body })
}

fn post(outbox: Vec<OutboxEntry>) -> Commit {
    Commit { outbox, ..Commit::default() }
}

fn letter(name: &str, offset: Option<u64>, observer: &str) -> Result<LetterEntry, String> {
    let body = format!("{{\"why\":\"{offset:?}\"}}");
    Ok(LetterEntry { model: model(name)?, offset, observer: observer.to_owned(), at: Timestamp::EPOCH, body })
}
