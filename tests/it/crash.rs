//! The real program, killed at random moments under load through HTTP: what it acknowledged is there, once and in order.
//!
//! - `server.rs` starts the program, tells when it serves, and kills it;
//! - `publisher.rs` sends batches and notes what was acknowledged, refused or left in doubt;
//! - `witness.rs` copies the journal and the outbox while the program writes them;
//! - `oracle.rs` repeats the journal in this process without interruption, and holds states and actions against it.
//!
//! `cargo xtask crash --kills N --seed S` runs it with other numbers.

mod oracle;
mod publisher;
mod server;
mod witness;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use oracle::Oracle;
use publisher::Publisher;
use server::Server;

/// Publishers, each with models of its own.
const PUBLISHERS: u64 = 3;

/// What is watched: falls, shifts, scores, and silence, whose timers are in the journal as well.
pub(crate) const PLAN: &str = r#"
default_rules = false

[[rule]]
name = "floor"
type = "performance"
kinds = "Correct"
min_accuracy = 0.6
smoothing = 0.2
response = "alert-and-retrain"

[[rule]]
name = "score"
type = "drift-score"
for_count = 2

[[rule]]
name = "shift"
type = "change"
kinds = "Confidence"
detector = "adwin"
keep_firing = "1s"

[[rule]]
name = "silence"
type = "staleness"
models = "m*"
after = "1s"
"#;

/// A generator whose numbers follow from its seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A number that the environment may set.
fn set(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: no number")))
}

#[test]
fn a_server_that_is_killed_keeps_every_acknowledged_event_and_records_every_action_once() {
    let kills = set("VISU_TILITY_CRASH_KILLS", 20);
    let seed = set("VISU_TILITY_CRASH_SEED", 1);
    let folder = std::env::temp_dir().join(format!("visu-tility-crash-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    println!("seed {seed}, {kills} kills, in {}", folder.display());
    let told = Told { seed, kills, folder: folder.clone() };
    let mut run = Run::new(seed, folder.clone());
    for kill in 0..kills {
        run.live(kill);
    }
    run.end();
    drop(told);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Says how to come back to a failure.
struct Told {
    seed: u64,
    kills: u64,
    folder: PathBuf,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, kills, folder } = self;
            eprintln!(
                "the same events and waits: cargo xtask crash --kills {kills} --seed {seed}\n(moments differ from run to \
                 run: the store and the log as they were are in {})",
                folder.display()
            );
        }
    }
}

struct Run {
    dice: Dice,
    folder: PathBuf,
    publishers: Vec<Publisher>,
    oracle: Oracle,
    begun: Instant,
}

impl Run {
    fn new(seed: u64, folder: PathBuf) -> Self {
        std::fs::write(folder.join("plan.toml"), PLAN).unwrap();
        let publishers = (0..PUBLISHERS).map(|number| Publisher::new(seed, number)).collect();
        let oracle = Oracle::new(folder.join("data").join("visu-tility.db"));
        Self { dice: Dice::new(seed), folder, publishers, oracle, begun: Instant::now() }
    }

    /// One life of the server, from its start to its kill.
    fn live(&mut self, kill: u64) {
        let mut server = Server::start(&self.folder);
        // Now and then it does not live to serve.
        let early = kill > 0 && self.dice.below(8) == 0;
        if early {
            // At some moment of its start.
            (0..self.dice.below(100_000)).for_each(|_| std::thread::yield_now());
            server.kill();
        } else {
            let to = server.await_ready();
            self.oracle.ask(to);
            self.load(&mut server, to);
        }
        let said = self.oracle.judge(&mut self.publishers);
        println!("kill {:>4} {:>6.1} s: {said}", kill + 1, self.begun.elapsed().as_secs_f64());
    }

    /// Publishes until the kill.
    fn load(&mut self, server: &mut Server, to: std::net::SocketAddr) {
        // Mostly soon, sometimes after so many entries that states are saved and the journal is cut.
        let entries = if self.dice.below(6) == 0 { 40_000 } else { 8_000 };
        let until = self.oracle.witness.next + 1 + self.dice.below(entries);
        let killed = AtomicBool::new(false);
        let (more, is_more) = channel::<()>();
        let (publishers, witness) = (&mut self.publishers, &mut self.oracle.witness);
        let seen = Arc::clone(&witness.seen);
        seen.set(witness.next, true);
        std::thread::scope(|scope| {
            for publisher in publishers {
                let (killed, seen, more) = (&killed, &seen, more.clone());
                scope.spawn(move || publisher.publish(to, killed, seen, &more));
            }
            // It looks on for as long as somebody publishes.
            drop(more);
            scope.spawn(move || witness.follow(&is_more));
            seen.wait_for(until);
            killed.store(true, Ordering::SeqCst);
            server.kill();
        });
    }

    /// The last life, which ends in order.
    fn end(&mut self) {
        let mut server = Server::start(&self.folder);
        let to = server.await_ready();
        self.oracle.ask(to);
        // So that no tick comes unseen at the very end.
        self.oracle.await_silence();
        let killed = AtomicBool::new(false);
        for publisher in &mut self.publishers {
            publisher.publish_one(to, &killed);
        }
        let mut reader = self.oracle.witness.reader();
        self.oracle.witness.copy(&mut *reader);
        drop(reader);
        server.end();
        let said = self.oracle.judge(&mut self.publishers);
        self.oracle.nothing_is_left();
        println!("end       {:>6.1} s: {said}", self.begun.elapsed().as_secs_f64());
    }
}
