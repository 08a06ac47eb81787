//! Random lives of a monitoring with a store: crashes, torn writes and failures at random operations, panicking observers,
//! turns, sleep and new plans. Whatever happens, states and outbox are those of an uninterrupted run.

use std::time::Duration;

use visu_tility_actors::{MonitoringBuilder, RestartPolicy};
use visu_tility_core::store::{Effect, MemoryDisk, StoreError};

use crate::durable::{Step, close, contents, floor_at, over, plan, reader, work};
use crate::world::{POISON, accuracy, end, pass, world};

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn step(&mut self) -> Step {
        let model = ["a", "b", "c", "d"][self.below(4) as usize];
        let value = [0.95, 0.9, 0.3, POISON][self.below(4) as usize];
        match self.below(20) {
            0 => Step::Pause(model),
            1 => Step::Resume(model),
            2 => Step::Reset(model),
            3 => Step::Retire(model),
            4 | 5 => Step::Passivate(model),
            6 => Step::Reload([0.85, 0.6, 0.93][self.below(3) as usize]),
            7..=9 => Step::Batch(model, 1 + self.below(12) as usize, value),
            _ => Step::Publish(model, value),
        }
    }
}

fn watching(disk: &MemoryDisk, floor: f64) -> MonitoringBuilder {
    // However often one panics, it is restarted: how often in how long is no part of what is kept.
    let policy = RestartPolicy { restarts_max: 10_000, ..RestartPolicy::default() };
    over(disk).plan(plan(floor)).restart_policy(policy)
}

/// A disk on which one operation goes wrong.
fn failing(disk: &MemoryDisk, chance: &mut Chance, operations: u64) {
    let at = disk.operations() + chance.below(operations.max(1));
    let effect = match chance.below(5) {
        0 => Effect::CrashBefore,
        1 => Effect::CrashAfter,
        2 => Effect::Tear(chance.below(200) as usize),
        3 => Effect::Fail(StoreError::DiskFull { detail: "full".into() }),
        _ => Effect::Fail(StoreError::Io { doing: "write".into(), detail: "no answer".into() }),
    };
    println!("operation {at}: {effect:?}");
    disk.set_hook(move |number, operation| {
        if number == at {
            println!("now: {operation:?}");
            effect.clone()
        } else {
            Effect::Proceed
        }
    });
}

async fn life(seed: u64) {
    let mut chance = Chance(seed);
    let mut steps: Vec<Step> = ["a", "b", "c", "d"].map(|model| Step::Publish(model, 0.9)).to_vec();
    steps.extend((0..25).map(|_| chance.step()));
    let whole = MemoryDisk::new();
    let handle = watching(&whole, 0.85).start().unwrap();
    // What cannot be done to a model that is not there is no part of the life.
    let steps = possible(&handle, steps).await;
    close(handle).await;
    let operations = whole.operations();

    let mut disk = MemoryDisk::new();
    for _ in 0..3 {
        let from = reader(&disk).summary().unwrap().next_offset;
        let handle = watching(&disk, floor_at(&steps, from)).start().unwrap();
        failing(&disk, &mut chance, operations);
        let worked = tokio::time::timeout(Duration::from_hours(1), work(&handle, &steps, from)).await;
        println!("from offset {from}: {worked:?}");
        let again = if disk.is_crashed() || chance.below(2) == 0 {
            disk.after_kill()
        } else {
            disk.after_power_loss(chance.below(300) as usize)
        };
        end(handle).await;
        disk = again;
    }
    let from = reader(&disk).summary().unwrap().next_offset;
    let handle = watching(&disk, floor_at(&steps, from)).start().unwrap();
    assert_eq!(handle.recovered().await.failed, None);
    work(&handle, &steps, from).await.unwrap();
    close(handle).await;
    let (found, expected) = (contents(&disk), contents(&whole));
    let lines = |(states, outbox): (Vec<String>, Vec<String>)| [states, outbox].concat();
    let (found, expected) = (lines(found), lines(expected));
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
    let surplus: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
    let steps: Vec<_> = steps.iter().enumerate().collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "seed {seed}: {steps:?}\nmissing {missing:#?}\nsurplus {surplus:#?}"
    );
    assert_eq!(found.len(), expected.len(), "seed {seed}");
}

/// Takes the steps and leaves out those that cannot be taken.
async fn possible(handle: &visu_tility_actors::MonitoringHandle, steps: Vec<Step>) -> Vec<Step> {
    let mut taken = Vec::new();
    for step in steps {
        let at = taken.len();
        if step.take(handle, at).await.is_ok() {
            handle.flush().await.unwrap();
            taken.push(step);
        }
    }
    taken
}

/// So many, from `SEED` on, unless `SEEDS` says how many.
fn seeds(many: u64) -> std::ops::Range<u64> {
    let said = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let from = said("SEED").unwrap_or(0);
    from..from + said("SEEDS").unwrap_or(many)
}

#[test]
fn whatever_happens_to_the_store_nothing_is_lost_or_done_twice() {
    for seed in seeds(40) {
        println!("seed {seed}");
        world(|| life(seed));
    }
}

/// All steps at once, as far as the publisher goes: what is on its way meets models that are retired, reset or asleep.
async fn rush(seed: u64) {
    let mut chance = Chance(seed);
    let disk = MemoryDisk::new();
    let handle = watching(&disk, 0.85).start().unwrap();
    for at in 0..120 {
        let (step, turning) = (chance.step(), handle.clone());
        println!("{at}: {step:?}");
        match step {
            Step::Publish(model, value) => {
                let _ = handle.try_publish(&accuracy(model, value, at)).unwrap();
            }
            Step::Batch(model, events, value) => {
                let events: Vec<_> = (0..events).map(|_| accuracy(model, value, at)).collect();
                assert!(handle.try_publish_batch(&events).rejected.is_empty());
            }
            _ => drop(actix::spawn(async move { step.take(&turning, 0).await })),
        }
        if chance.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Until the turns that were asked for are through, too.
    for _ in 0..3 {
        pass(Duration::from_millis(10)).await;
        handle.flush().await.unwrap();
    }
    let again = disk.after_kill();
    let shown = async |handle: &visu_tility_actors::MonitoringHandle| {
        for model in handle.models() {
            handle.model_addr(model).await.unwrap();
        }
        let statuses = handle.model_statuses().await.unwrap();
        statuses
            .iter()
            .map(|status| format!("{} {:?} {:?}", status.model_id, status.phase, status.monitor))
            .collect::<Vec<_>>()
    };
    let before = shown(&handle).await;
    let floor = last_floor(&again);
    end(handle).await;
    let handle = watching(&again, floor).start().unwrap();
    assert_eq!(handle.recovered().await.failed, None);
    handle.flush().await.unwrap();
    let after = shown(&handle).await;
    for (after, before) in after.iter().zip(&before) {
        assert_eq!(after, before, "seed {seed}");
    }
    assert_eq!(after.len(), before.len());
    end(handle).await;
}

/// The floor of the plan that a store holds last.
fn last_floor(disk: &MemoryDisk) -> f64 {
    let mut reader = reader(disk);
    let log = String::from_utf8(reader.value("plans-in-force").unwrap().unwrap()).unwrap();
    let fingerprint = log.lines().last().and_then(|line| line.split_once(' ')).unwrap().1;
    let text = reader.plan(u64::from_str_radix(fingerprint, 16).unwrap()).unwrap().unwrap();
    let floor = text.lines().find_map(|line| line.strip_prefix("min_accuracy = ")).unwrap();
    floor.parse().unwrap()
}

#[test]
fn what_happened_at_once_is_repeated_in_the_order_in_which_it_was_taken() {
    for seed in seeds(60) {
        println!("seed {seed}");
        world(|| rush(seed));
    }
}
