//! Random commits, good ones and bad ones, against the contract as a value.

use visu_tility_drift::simulate::Random;

use crate::store::commit::{Commit, ModelChange, OutboxTopic, PlanText, Settlement, StoredPhase, Verdict};
use crate::store::limits::StoreLimits;
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError, StoreReader};
use crate::time::Timestamp;

use super::{Outcome, Subject, Workshop, action, content, expect, letter, model, piece, snapshot, works};

const SEEDS: u64 = 4;
const COMMITS: u64 = 150;

/// Small enough that every limit is met.
const LIMITS: StoreLimits = StoreLimits {
    journal_bytes_max: 3_000,
    outbox_waiting_max: 12,
    outbox_history_max: 5,
    dead_letters_max: 6,
};

pub(super) fn any_commits_leave_what_the_contract_says(workshop: &mut dyn Workshop) -> Outcome {
    for seed in 0..SEEDS {
        run(workshop, seed).map_err(|fault| format!("seed {seed}: {fault}"))?;
    }
    Ok(())
}

fn run(workshop: &mut dyn Workshop, seed: u64) -> Outcome {
    let place = format!("seed{seed}");
    let mut random = Random::new(seed);
    let mut subject = Subject::open(workshop, &place, LIMITS)?;
    let mut model = MemoryStore::new(LIMITS);
    let mut model_reader = works("reader", model.reader())?;
    for number in 0..COMMITS {
        let commit = commit(&mut random, &mut *model_reader)?;
        let (found, wanted) = (subject.store.commit(&commit), model.commit(&commit));
        expect(&format!("commit {number}"), &found, &wanted)?;
        if random.below(10) == 0 {
            drop(subject.reader);
            if random.below(2) == 0 {
                works("close", subject.store.close())?;
            } else {
                drop(subject.store);
            }
            subject = Subject::open(workshop, &place, LIMITS)?;
        }
        if number % 5 == 0 {
            let (found, wanted) = (content::read(&mut *subject.reader)?, content::read(&mut *model_reader)?);
            content::same(&found, &wanted).map_err(|fault| format!("after commit {number}: {fault}"))?;
            // Forgotten ones are in no list.
            for name in 0..8 {
                let name = self::model(&format!("m{name}"))?;
                let (found, wanted) = (subject.reader.model(&name), model_reader.model(&name));
                expect(&format!("{name} after commit {number}"), &found, &wanted)?;
            }
        }
    }
    let (found, wanted) = (content::read(&mut *subject.reader)?, content::read(&mut *model_reader)?);
    content::same(&found, &wanted)
}

/// A commit that fits what is there, most of the time.
fn commit(random: &mut Random, reader: &mut dyn StoreReader) -> Result<Commit, String> {
    let summary = works("summary", reader.summary())?;
    let (first, mut end) = (summary.first_offset, summary.next_offset);
    let mut commit = Commit::default();
    for _ in 0..random.below(4) {
        let entries = 1 + random.below(5) as u32;
        // Now and then a piece that does not fit.
        let slip = u64::from(random.below(40) == 0);
        commit.journal.push(piece(end + slip, entries, random.below(200) as usize));
        end += u64::from(entries);
    }
    let within = |random: &mut Random| first + random.below(end - first + 1);
    for _ in 0..random.below(4) {
        let name = format!("m{}", random.below(8));
        let next_offset =
            kept(reader, &name)?.max(within(random)).saturating_sub(u64::from(random.below(20) == 0));
        commit.models.push(change(random, &name, next_offset)?);
    }
    for _ in 0..if end > 0 { random.below(4) } else { 0 } {
        let mut entry =
            action(&format!("m{}", random.below(8)), within(random).min(end - 1), random.below(3) as u32)?;
        entry.topic = if random.below(2) == 0 { OutboxTopic::Alert } else { OutboxTopic::Retrain };
        commit.outbox.push(entry);
    }
    for _ in 0..random.below(5) {
        let number = random.below(summary.outbox_waiting + summary.outbox_settled + 30);
        let verdict = if random.below(3) == 0 { Verdict::Abandoned } else { Verdict::Delivered };
        commit.settled.push(Settlement {
            number,
            verdict,
            at: Timestamp::from_micros(random.below(1 << 50) as i64),
        });
    }
    for _ in 0..random.below(3) {
        let offset = (end > 0 && random.below(2) == 0).then(|| within(random).min(end.saturating_sub(1)));
        commit.letters.push(letter(&format!("m{}", random.below(8)), offset, "psi")?);
    }
    if random.below(4) == 0 {
        commit.truncate_below = Some(within(random));
    }
    if random.below(4) == 0 {
        commit.plans.push(PlanText { fingerprint: random.below(5), text: format!("plan {end}") });
        commit.dropped_plans.push(random.below(5));
    }
    Ok(commit)
}

/// Up to where a model is kept.
fn kept(reader: &mut dyn StoreReader, name: &str) -> Result<u64, String> {
    let found: Result<_, StoreError> = reader.model(&model(name)?);
    Ok(works("model", found)?.map_or(0, |found| found.next_offset))
}

fn change(random: &mut Random, name: &str, next_offset: u64) -> Result<ModelChange, String> {
    if random.below(4) == 0 {
        return Ok(ModelChange::Forget { model: model(name)?, next_offset });
    }
    let state: Vec<u8> = (0..random.below(300)).map(|_| random.bits() as u8).collect();
    let mut snapshot = snapshot(name, next_offset, &state)?;
    snapshot.due = (random.below(2) == 0).then(|| Timestamp::from_micros(random.below(1_000) as i64));
    snapshot.phase = if random.below(3) == 0 { StoredPhase::Paused } else { StoredPhase::Running };
    Ok(ModelChange::Keep(snapshot))
}
