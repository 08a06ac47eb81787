//! Opening, closing, sharing and copying a store, and its small tables.

use crate::store::commit::{Commit, PlanText, Settlement, Verdict};
use crate::store::error::StoreError;
use crate::store::limits::StoreLimits;
use crate::store::record::{Opened, StoreSummary};
use crate::time::Timestamp;

use super::{
    Outcome, Subject, Workshop, action, append, content, expect, keep, letter, piece, snapshot, works,
};

pub(super) fn a_new_store_is_empty(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    expect("how it was found", &subject.opened, &Opened { new: true, clean: true })?;
    expect("the summary", &works("summary", subject.reader.summary())?, &StoreSummary::default())?;
    content::read(&mut *subject.reader).map(drop)
}

pub(super) fn an_empty_commit_changes_nothing(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 5, 9)]))?;
    let before = content::read(&mut *subject.reader)?;
    let committed = subject.commit(&Commit::default())?;
    expect("the next offset", &committed.next_offset, &5)?;
    content::same(&content::read(&mut *subject.reader)?, &before)
}

/// A commit with something of everything.
fn full() -> Result<Commit, String> {
    let mut due = snapshot("due", 4, b"state of due")?;
    due.due = Some(Timestamp::from_millis(1_764_000_000_123));
    Ok(Commit {
        journal: vec![piece(0, 3, 40), piece(3, 7, 50)],
        plans: vec![PlanText { fingerprint: u64::MAX - 1, text: "[[rule]]\nname = \"ä\"\n".to_owned() }],
        models: keep(vec![due, snapshot("other", 10, &[0, 255, 1])?]).models,
        outbox: vec![action("due", 2, 0)?, action("due", 2, 1)?],
        settled: vec![Settlement { number: 1, verdict: Verdict::Delivered, at: Timestamp::from_millis(9) }],
        letters: vec![letter("other", Some(3), "psi")?, letter("refused", None, "")?],
        dropped_plans: Vec::new(),
        truncate_below: Some(3),
        values: vec![("clock".to_owned(), Some(vec![1, 2, 3]))],
    })
}

pub(super) fn everything_is_found_again_after_a_clean_stop_and_after_none(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&full()?)?;
    let before = content::read(&mut *subject.reader)?;
    for clean in [true, false, true] {
        drop(subject.reader);
        if clean {
            works("close", subject.store.close())?;
        } else {
            drop(subject.store);
        }
        subject = Subject::open(workshop, "a", StoreLimits::default())?;
        expect("how it was found", &subject.opened, &Opened { new: false, clean })?;
        content::same(&content::read(&mut *subject.reader)?, &before)?;
        expect("a value", &works("value", subject.reader.value("clock"))?, &Some(vec![1, 2, 3]))?;
    }
    // And it goes on where it was.
    let committed = subject.commit(&append(vec![piece(10, 1, 3)]))?;
    expect("the next offset", &committed.next_offset, &11)
}

pub(super) fn a_second_writer_is_refused_while_the_first_is_open(workshop: &mut dyn Workshop) -> Outcome {
    let first = Subject::open(workshop, "a", StoreLimits::default())?;
    match workshop.open("a", StoreLimits::default()) {
        Err(StoreError::Locked { .. }) => {}
        Err(error) => return Err(format!("the second writer is told: {error}")),
        Ok(_) => return Err("a second writer was let in".to_owned()),
    }
    drop(first);
    Subject::open(workshop, "a", StoreLimits::default()).map(drop)
}

pub(super) fn a_reader_sees_what_was_acknowledged_and_outlives_its_writer(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let mut early = works("reader", subject.store.reader())?;
    expect("before", &works("summary", early.summary())?.next_offset, &0)?;
    for at in 0..5 {
        subject.commit(&append(vec![piece(at, 1, 8)]))?;
        expect("after", &works("summary", early.summary())?.next_offset, &(at + 1))?;
        expect("pieces", &works("journal", early.journal(0, 1 << 20))?.len(), &(at as usize + 1))?;
    }
    works("close", subject.store.close())?;
    expect("after the end", &works("summary", early.summary())?.next_offset, &5)
}

pub(super) fn a_backup_is_the_store_as_of_one_moment(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&full()?)?;
    let before = content::read(&mut *subject.reader)?;
    let to = workshop.path("b");
    match subject.reader.backup(&to) {
        Err(StoreError::Unsupported(_)) => return Ok(()),
        done => works("backup", done)?,
    }
    subject.commit(&append(vec![piece(10, 1, 3)]))?;
    if subject.reader.backup(&to).is_ok() {
        return Err("a backup went over another one".to_owned());
    }
    let mut copy = Subject::open(workshop, "b", StoreLimits::default())?;
    expect("how it was found", &copy.opened, &Opened { new: false, clean: false })?;
    content::same(&content::read(&mut *copy.reader)?, &before)
}

pub(super) fn values_are_set_read_and_removed(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let set = |name: &str, value: Option<&[u8]>| Commit {
        values: vec![(name.to_owned(), value.map(<[u8]>::to_vec))],
        ..Commit::default()
    };
    subject.commit(&set("x", Some(b"one")))?;
    subject.commit(&set("x", Some(b"")))?;
    subject.commit(&set("y", Some(b"two")))?;
    expect("x", &works("value", subject.reader.value("x"))?, &Some(Vec::new()))?;
    subject.commit(&set("x", None))?;
    subject.commit(&set("never", None))?;
    expect("x", &works("value", subject.reader.value("x"))?, &None)?;
    expect("y", &works("value", subject.reader.value("y"))?, &Some(b"two".to_vec()))?;
    for name in ["", "_clean", &"n".repeat(StoreLimits::NAME_BYTES_MAX + 1)] {
        subject.refused(&set(name, Some(b"v")))?;
    }
    Ok(())
}

pub(super) fn plans_are_kept_once_and_dropped(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let plan = |fingerprint, text: &str| PlanText { fingerprint, text: text.to_owned() };
    let plans = vec![plan(u64::MAX, "a"), plan(1, "b"), plan(1 << 63, "c")];
    subject.commit(&Commit { plans, ..Commit::default() })?;
    subject.commit(&Commit { plans: vec![plan(1, "another")], ..Commit::default() })?;
    expect("the plans", &works("plans", subject.reader.plans())?, &vec![1, 1 << 63, u64::MAX])?;
    expect("a plan", &works("plan", subject.reader.plan(1))?, &Some("b".to_owned()))?;
    subject.commit(&Commit { dropped_plans: vec![1, 2], ..Commit::default() })?;
    expect("the plans", &works("plans", subject.reader.plans())?, &vec![1 << 63, u64::MAX])?;
    expect("a dropped plan", &works("plan", subject.reader.plan(1))?, &None)
}
