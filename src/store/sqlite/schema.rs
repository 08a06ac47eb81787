//! The tables, and how older ones are brought up. Meant to be read with the `sqlite3` shell: the views first.
//!
//! Times are microseconds since 1970, UTC. Plain rowid tables throughout: with states of a kilobyte they were three to
//! five times faster and three times smaller than `WITHOUT ROWID`. States stand apart from their models, so that a list
//! of a million models reads none of them.

use rusqlite::{Connection, Row};
use visu_tility_core::store::StoreSummary;

/// Marks the file as ours: `VIST`.
pub(super) const APPLICATION_ID: i64 = 0x5649_5354;

/// The newest form that this release reads and writes.
pub(super) const VERSION: u32 = 1;

/// What brings a store from each form to the next; the first from nothing. A released one is never changed.
pub(super) const MIGRATIONS: [&str; VERSION as usize] = [FORM_1];

const FORM_1: &str = "
CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    release TEXT NOT NULL                -- that brought the store to this version
);
CREATE TABLE tally (                     -- one row: where the journal ends, and counts
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL,
    clean INTEGER NOT NULL,              -- 1: the last writer closed the store
    next_offset INTEGER NOT NULL,
    journal_bytes INTEGER NOT NULL,
    journal_pieces INTEGER NOT NULL,
    models INTEGER NOT NULL,
    snapshot_bytes INTEGER NOT NULL,
    outbox_posted INTEGER NOT NULL,      -- ever
    outbox_waiting INTEGER NOT NULL,
    outbox_settled INTEGER NOT NULL,     -- and still kept
    dead_letters INTEGER NOT NULL,       -- kept
    dead_letters_total INTEGER NOT NULL  -- ever
);
INSERT INTO tally VALUES (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
CREATE TABLE journal (
    first_offset INTEGER PRIMARY KEY,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    piece BLOB NOT NULL                  -- with a form and a sum of its own
);
CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next_offset INTEGER NOT NULL,        -- the first journal offset that the state does not hold
    phase TEXT NOT NULL,                 -- running, paused, quarantined, forgotten
    due_us INTEGER,                      -- when its timer goes off
    plan INTEGER NOT NULL,
    form INTEGER NOT NULL,               -- of the state's bytes
    bytes INTEGER NOT NULL,
    sum INTEGER NOT NULL                 -- XXH64 of the state
);
CREATE INDEX model_by_due ON model (due_us, name) WHERE due_us IS NOT NULL;
CREATE INDEX model_forgotten ON model (next_offset) WHERE phase = 'forgotten';
CREATE TABLE snapshot (
    model_id INTEGER PRIMARY KEY REFERENCES model (id),
    state BLOB NOT NULL
);
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    event_offset INTEGER NOT NULL,
    observer TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    cause INTEGER NOT NULL,              -- the journal offset that led to it
    topic TEXT NOT NULL,                 -- alert, retrain
    at_us INTEGER NOT NULL,
    body TEXT NOT NULL,
    verdict TEXT,                        -- delivered, abandoned; NULL: it waits
    settled_us INTEGER,
    UNIQUE (model, event_offset, observer, ordinal)
);
CREATE INDEX outbox_waiting ON outbox (number) WHERE verdict IS NULL;
CREATE INDEX outbox_settled ON outbox (cause, number) WHERE verdict IS NOT NULL;
CREATE TABLE dead_letter (
    number INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    event_offset INTEGER,                -- NULL: it never came into the journal
    observer TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX dead_letter_once ON dead_letter (event_offset, model, observer) WHERE event_offset IS NOT NULL;
CREATE TABLE plan (
    fingerprint INTEGER PRIMARY KEY,
    text TEXT NOT NULL
);
CREATE TABLE value (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
CREATE VIEW models AS
    SELECT name, phase, next_offset, strftime('%Y-%m-%dT%H:%M:%fZ', due_us / 1e6, 'unixepoch') AS due,
        bytes, printf('%016x', plan) AS plan
    FROM model ORDER BY name;
CREATE VIEW actions AS
    SELECT number, strftime('%Y-%m-%dT%H:%M:%fZ', at_us / 1e6, 'unixepoch') AS at, model, topic, observer,
        event_offset, coalesce(verdict, 'waiting') AS verdict,
        strftime('%Y-%m-%dT%H:%M:%fZ', settled_us / 1e6, 'unixepoch') AS settled, body
    FROM outbox ORDER BY number;
CREATE VIEW dead_letters AS
    SELECT number, strftime('%Y-%m-%dT%H:%M:%fZ', at_us / 1e6, 'unixepoch') AS at, model, event_offset, observer, body
    FROM dead_letter ORDER BY number;
CREATE VIEW journal_range AS
    SELECT coalesce((SELECT min(first_offset) FROM journal), next_offset) AS first_offset, next_offset,
        journal_pieces AS pieces, journal_bytes AS bytes
    FROM tally;
";

/// The one row of counts. The writer keeps it and writes it with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) commits: u64,
    pub(super) clean: bool,
    pub(super) next_offset: u64,
    pub(super) journal_bytes: u64,
    pub(super) journal_pieces: u64,
    pub(super) models: u64,
    pub(super) snapshot_bytes: u64,
    pub(super) outbox_posted: u64,
    pub(super) outbox_waiting: u64,
    pub(super) outbox_settled: u64,
    pub(super) dead_letters: u64,
    pub(super) dead_letters_total: u64,
}

impl Tally {
    pub(super) const SELECT: &str = "SELECT commits, clean, next_offset, journal_bytes, journal_pieces, models, \
        snapshot_bytes, outbox_posted, outbox_waiting, outbox_settled, dead_letters, dead_letters_total, \
        coalesce((SELECT min(first_offset) FROM journal), next_offset) FROM tally";

    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(Self::SELECT, [], Self::of)
    }

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |at: usize| row.get::<_, i64>(at).map(|count| count.max(0) as u64);
        Ok(Self {
            commits: count(0)?,
            clean: count(1)? == 1,
            next_offset: count(2)?,
            journal_bytes: count(3)?,
            journal_pieces: count(4)?,
            models: count(5)?,
            snapshot_bytes: count(6)?,
            outbox_posted: count(7)?,
            outbox_waiting: count(8)?,
            outbox_settled: count(9)?,
            dead_letters: count(10)?,
            dead_letters_total: count(11)?,
        })
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let counts = [
            self.commits,
            self.next_offset,
            self.journal_bytes,
            self.journal_pieces,
            self.models,
            self.snapshot_bytes,
            self.outbox_posted,
            self.outbox_waiting,
            self.outbox_settled,
            self.dead_letters,
            self.dead_letters_total,
        ];
        connection
            .execute(
                "UPDATE tally SET commits = ?1, next_offset = ?2, journal_bytes = ?3, journal_pieces = ?4, \
                 models = ?5, snapshot_bytes = ?6, outbox_posted = ?7, outbox_waiting = ?8, outbox_settled = ?9, \
                 dead_letters = ?10, dead_letters_total = ?11",
                counts.map(|count| count as i64),
            )
            .map(drop)
    }

    pub(super) const fn summary(&self, first_offset: u64) -> StoreSummary {
        StoreSummary {
            first_offset,
            next_offset: self.next_offset,
            journal_bytes: self.journal_bytes,
            journal_pieces: self.journal_pieces,
            models: self.models,
            snapshot_bytes: self.snapshot_bytes,
            outbox_waiting: self.outbox_waiting,
            outbox_settled: self.outbox_settled,
            dead_letters: self.dead_letters,
            dead_letters_total: self.dead_letters_total,
        }
    }
}
