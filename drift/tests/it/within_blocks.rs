//! The batcher that takes neighbours for alike only where they are so within short blocks.

use visu_tility_drift::codec::Reader;
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{Batcher, BatcherParams};

fn ar1(phi: f64) -> Source {
    Source::Ar1 { phi, mean: 0.0, deviation: 1.0 }
}

fn within_blocks() -> BatcherParams {
    BatcherParams { within_blocks: true, learn: 320, recheck: 2_048, times: 1.0, ..BatcherParams::default() }
}

/// The longest batch that it chooses over a month of values by the minute.
fn longest_within_blocks(values: impl Iterator<Item = f64>) -> u64 {
    let mut batcher = Batcher::new(within_blocks()).unwrap();
    let lengths = values.take(43_200).map(|x| {
        batcher.update(x);
        batcher.length().unwrap_or(0)
    });
    lengths.max().unwrap()
}

/// The story: the level of internet round-trip times moves every few hundred values, for which the batcher chose 1,024
/// values a batch, and nothing was seen behind it.
#[test]
fn within_blocks_levels_that_come_and_go_leave_batches_at_one_and_alike_neighbours_do_not() {
    let noise = || Source::Gaussian { mean: 0.0, deviation: 1.0 }.stream(3).unwrap();
    let levels = |i: usize| (i / 400 * 7 % 5) as f64 * 10.0;
    assert_eq!(longest_within_blocks(noise().enumerate().map(|(i, x)| x + levels(i))), 1);
    assert_eq!(longest_within_blocks(noise().map(|x| x.signum() * 10.0 + 0.1 * x)), 1);
    for (phi, low, high) in [(0.7, 4, 40), (0.9, 10, 100)] {
        let alike = longest_within_blocks(ar1(phi).stream(5).unwrap());
        assert!((low..high).contains(&alike), "{phi}: {alike}");
        let shifted = ar1(phi).stream(5).unwrap().enumerate().map(|(i, x)| x + levels(i) / 10.0);
        assert!(longest_within_blocks(shifted) >= low, "{phi}");
    }
}

#[test]
fn within_blocks_values_that_are_alike_are_doubted_as_long_as_it_learns() {
    let mut batcher = Batcher::new(BatcherParams { early: true, ..within_blocks() }).unwrap();
    let doubted: Vec<usize> = ar1(0.9)
        .stream(6)
        .unwrap()
        .take(320)
        .enumerate()
        .filter_map(|(i, x)| {
            batcher.update(x);
            batcher.doubts().then_some(i)
        })
        .collect();
    assert_eq!(doubted, (0..319).collect::<Vec<_>>());
    assert!(batcher.length() > Some(1));
}

#[test]
fn within_blocks_a_batcher_read_back_goes_on_alike() {
    for cut in [10, 319, 320, 2_500, 3_000] {
        let (mut whole, mut stream) = (Batcher::new(within_blocks()).unwrap(), ar1(0.8).stream(7).unwrap());
        (0..cut).for_each(|_| _ = whole.update(stream.draw()));
        let mut bytes = Vec::new();
        whole.write_state(&mut bytes);
        assert!(bytes.len() <= 1_331, "{}", bytes.len());
        let mut copy = Batcher::new(within_blocks()).unwrap();
        copy.read_state(&mut Reader::new(&bytes)).unwrap();
        for _ in 0..20_000 {
            let value = stream.draw();
            assert_eq!(whole.update(value), copy.update(value), "{cut}");
        }
        let mut other = Batcher::new(BatcherParams { within_blocks: false, ..within_blocks() }).unwrap();
        assert!(other.read_state(&mut Reader::new(&bytes)).is_err());
    }
}
