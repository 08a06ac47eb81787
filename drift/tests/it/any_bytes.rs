//! Any bytes as a detector's state: what the fuzz target `drift/fuzz` and a test here both call.
//!
//! The bytes choose a detector by its name, parameters around its defaults, a stream before, the state to be
//! read, and the stream after. Wholly free bytes would not get past the fingerprint in front of a state, so
//! they can also follow a true head, or be edits of a true state.
// The fuzz target has no test configuration of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use visu_tility_drift::codec::Reader;
use visu_tility_drift::{AnyDetector, AnyParams, Detector, Level, Setting, Shape};

/// Bytes in front of a state: its version and the fingerprint of the parameters.
const HEAD: usize = 9;

/// Values before and after, at most.
const VALUES: usize = 600;

/// The bytes not used yet; at their end comes 0 for ever.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A parameter's value near its default, whichever byte comes.
    fn setting(&mut self, shape: Shape, default: Setting<'static>) -> Setting<'static> {
        let byte = self.byte();
        // From a quarter of the default to four times of it.
        let factor = f64::from(byte) / 64.0 + 0.25;
        match (shape, default) {
            (Shape::Word(words), _) => {
                words.get(usize::from(byte) % words.len()).map_or(default, |&w| Setting::Word(w))
            }
            (Shape::Flag, _) => Setting::Flag(byte % 2 == 1),
            (Shape::Count { max }, Setting::Count(count)) => {
                Setting::Count(((count.max(1) as f64 * factor) as u64).min(max))
            }
            (_, Setting::Number(number)) => Setting::Number(number * factor),
            _ => default,
        }
    }

    /// A detector: its name, then whether its parameters are varied, then each of them.
    fn detector(&mut self) -> AnyDetector {
        let names = AnyParams::NAMES;
        let name = names.iter().cycle().nth(usize::from(self.byte())).unwrap();
        let defaults = AnyParams::by_name(name).unwrap();
        if self.byte().is_multiple_of(2) {
            return defaults.build().unwrap();
        }
        let mut params = defaults;
        for parameter in defaults.parameters() {
            let default = defaults.get(parameter.name).unwrap();
            let setting = self.setting(parameter.shape, default);
            params.set(parameter.name, setting).unwrap();
        }
        // Not every choice is in range; a refusal says so.
        params.build().unwrap_or_else(|refused| {
            assert!(!refused.to_string().is_empty());
            defaults.build().unwrap()
        })
    }

    /// A stream: one byte a value, most of them ordinary, a few as wild as can be.
    fn values(&mut self, n: usize) -> Vec<f64> {
        let mut last = 0.0;
        let value = |byte: u8| {
            last = match byte {
                0..=95 => f64::from(byte % 2),
                96..=191 => f64::from(byte - 96) / 96.0,
                192..=223 => f64::from(byte) - 208.0,
                224..=239 => last,
                240 => f64::NAN,
                241 => f64::INFINITY,
                242 => f64::NEG_INFINITY,
                243 => f64::MAX,
                244 => f64::MIN,
                245 => f64::MIN_POSITIVE / 2.0,
                246 => -0.0,
                247 => 1e100,
                248 => 1e-100,
                _ => f64::from(byte) * 1e6,
            };
            last
        };
        self.take(n).iter().copied().map(value).collect()
    }
}

fn written(detector: &AnyDetector) -> Vec<u8> {
    let mut bytes = Vec::new();
    detector.write_state(&mut bytes);
    bytes
}

/// Checks what holds of every detector at any time.
fn check_numbers(detector: &AnyDetector) {
    let numbers = [detector.estimation(), detector.baseline(), detector.arl()];
    for number in numbers.into_iter().flatten() {
        assert!(number.is_finite(), "{}: {number}", detector.name());
    }
    // The logarithm of no evidence is minus infinity.
    assert!(detector.log_evidence().is_none_or(|log| log < f64::INFINITY), "{}", detector.name());
}

fn feed(detector: &mut AnyDetector, values: &[f64]) {
    for &value in values {
        let signal = detector.update(value);
        let name = detector.name();
        assert!(signal.statistic.is_finite() && signal.threshold.is_finite(), "{name}: {signal:?}");
        assert!(signal.level != Level::Drift || signal.statistic >= signal.threshold, "{name}: {signal:?}");
        assert!(value.is_finite() || signal.level == Level::Normal, "{name}: {signal:?}");
    }
    check_numbers(detector);
}

/// The state to be read: free bytes, bytes behind a true head, edits of a true state, cut or not, or a true state of
/// which all counts are others.
fn state(source: &mut Source<'_>, truth: &[u8]) -> Vec<u8> {
    let (kind, length) = (source.byte(), usize::from(source.byte()));
    let mut bytes = truth.to_vec();
    match kind % 5 {
        0 => bytes = source.take(length * 4).to_vec(),
        1 => {
            bytes.truncate(HEAD);
            bytes.extend_from_slice(source.take(length * 4));
        }
        2 => recount(&mut bytes, length),
        kind => {
            // Each edit is a place and eight bytes, or a place and one.
            let width = if kind == 3 { 1 } else { 8 };
            for _ in 0..length % 8 {
                let at = usize::from(source.byte()) * 256 + usize::from(source.byte());
                let at = at % bytes.len().max(1);
                for (byte, &edit) in bytes.iter_mut().skip(at).zip(source.take(width)) {
                    *byte = edit;
                }
            }
            if length >= 248 {
                bytes.truncate(bytes.len() * (length - 248) / 8);
            }
        }
    }
    bytes
}

/// Puts another number wherever the state has the count of values that were taken, or one near it: as a whole number
/// or as a double. Single edits seldom make counts that agree.
fn recount(bytes: &mut [u8], choice: usize) {
    let Some(taken) = bytes.get(HEAD..HEAD + 8).map(|word| u64::from_le_bytes(word.try_into().unwrap()))
    else {
        return;
    };
    let counts = [0, 1, 1 << 20, 1 << 31, 1 << 32, 1 << 52, 1 << 53, (1 << 59) - 1, (1 << 60) - 1, 1 << 60];
    let other = counts.get(choice % 16).copied().unwrap_or(taken * 2 + 7);
    let mut at = HEAD;
    while let Some(word) = bytes.get_mut(at..at + 8) {
        let eight: [u8; 8] = word.try_into().unwrap();
        let (whole, double) = (u64::from_le_bytes(eight), f64::from_le_bytes(eight));
        let near = |count: f64| taken > 9 && (count - taken as f64).abs() <= 2.0;
        if near(whole as f64) {
            word.copy_from_slice(&(other - (taken.saturating_sub(whole)).min(other)).to_le_bytes());
            at += 8;
        } else if near(double) {
            word.copy_from_slice(&(other as f64 + double - taken as f64).max(0.0).to_le_bytes());
            at += 8;
        } else {
            at += 1;
        }
    }
}

/// Reads arbitrary bytes as a state and goes on: nothing panics, what is refused changes nothing, and what is
/// taken is a working detector that survives the next snapshot.
pub fn check(data: &[u8]) {
    let mut source = Source(data);
    let mut detector = source.detector();
    let fresh = detector.clone();
    let before = usize::from(source.byte()) * 2;
    let values = source.values(before.min(VALUES));
    feed(&mut detector, &values);
    let truth = written(&detector);
    let bytes = state(&mut source, &truth);
    let taken = detector.read_state(&mut Reader::new(&bytes)).is_ok();
    let now = written(&detector);
    assert!(taken || now == truth, "{}: a failed read changed the state", detector.name());
    check_numbers(&detector);
    assert!(now.len() <= 4_096, "{} writes {} bytes", detector.name(), now.len());
    // What it writes it can read: every number is finite and in its range.
    let mut restored = fresh;
    let mut reader = Reader::new(&now);
    assert_eq!(restored.read_state(&mut reader), Ok(()), "{}", detector.name());
    assert_eq!(reader.finish(), Ok(()), "{}", detector.name());
    let rest = source.values(VALUES);
    feed(&mut detector, &rest);
    feed(&mut restored, &rest);
    assert_eq!(written(&detector), written(&restored), "{} went another way", detector.name());
    // No stream is longer than this, and no longer one is read.
    let then =
        if detector.count().max(detector.ignored()) > 1 << 60 { now.clone() } else { written(&detector) };
    assert_eq!(detector.read_state(&mut Reader::new(&then)), Ok(()), "{} after more values", detector.name());
    let mut reader = Reader::new(&now);
    assert_eq!(restored.read_state(&mut reader), Ok(()), "{} over a used one", detector.name());
    assert_eq!(written(&restored), now, "{} over a used one", detector.name());
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn counts_of_any_size_are_refused_or_work(
            name in any::<u8>(),
            varied in any::<u8>(),
            settings in vec(any::<u8>(), 16),
            values in vec(any::<u8>(), 1_200),
            before in 6_u8..,
            choice in any::<u8>(),
        ) {
            // As `check` takes them apart; the settings are as many as the detector has.
            let mut bytes = std::vec![name, varied & !1, before];
            bytes.extend(&values[..usize::from(before) * 2]);
            bytes.extend([2, choice]);
            bytes.extend(settings.iter().chain(&values));
            super::check(&bytes);
        }

        /// The same as the fuzz target runs for longer, with bytes that are chosen better.
        #[test]
        fn any_bytes_as_a_state_are_refused_or_work(bytes in vec(any::<u8>(), 0..1_500)) {
            super::check(&bytes);
        }
    }
}
