//! `cargo xtask bench [--quick] [NAME...]`: runs the benchmarks of every crate and lets them print.
//!
//! Which there are is asked of cargo. Each is a program of its own (`harness = false`) that prints its table;
//! `--quick` is handed on to it.

use crate::cargo::Call;
use crate::workspace::{Target, Workspace};
use crate::{Failure, Outcome};

/// Benchmarks that are commands of their own: `arl` and `quality` measure no time, `page` writes
/// docs/detectors.md, `soak` takes minutes, `peers` is half of benches/peers/run.sh.
const OWN: [&str; 5] = ["arl", "quality", "page", "soak", "peers"];

/// A benchmark and the package it belongs to.
type Bench<'a> = (&'a str, &'a Target);

pub(crate) fn run(words: &[&str]) -> Outcome {
    let (flags, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    if let Some(flag) = flags.iter().find(|flag| **flag != "--quick") {
        return Err(Failure::new(format!("unknown option: {flag}"), "cargo xtask help"));
    }
    let workspace = Workspace::read()?;
    let benches: Vec<Bench> = workspace
        .packages
        .iter()
        .flat_map(|package| package.targets_of("bench").map(|target| (package.name.as_str(), target)))
        .collect();
    for (package, bench) in chosen(&benches, &names)? {
        println!("\n== {package}: {} ==", bench.name);
        call(package, bench, !flags.is_empty()).run()?;
    }
    Ok(())
}

fn chosen<'a>(benches: &[Bench<'a>], names: &[&str]) -> Result<Vec<Bench<'a>>, Failure> {
    let known: Vec<&str> = benches.iter().map(|(_, bench)| bench.name.as_str()).collect();
    if known.is_empty() {
        return Err(Failure::new("there is no benchmark yet", "cargo xtask help"));
    }
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let what = format!("no benchmark {name}; there are: {}", known.join(", "));
        return Err(Failure::new(what, "cargo xtask bench"));
    }
    // Those with a command of their own are run by name only.
    let asked = |bench: &Target| match names {
        [] => !OWN.contains(&bench.name.as_str()),
        names => names.contains(&bench.name.as_str()),
    };
    Ok(benches.iter().copied().filter(|(_, bench)| asked(bench)).collect())
}

fn call(package: &str, bench: &Target, quick: bool) -> Call {
    let mut call = Call::new("bench --quiet -p").word(package).word("--bench").word(&bench.name);
    if !bench.required_features.is_empty() {
        call = call.word("--features").word(bench.required_features.join(","));
    }
    if quick { call.word("--").word("--quick") } else { call }
}

#[cfg(test)]
mod tests {
    use super::{call, chosen};
    use crate::workspace::Target;

    fn bench(name: &str, required: &[&str]) -> Target {
        let required_features = required.iter().map(|feature| (*feature).to_owned()).collect();
        Target { name: name.to_owned(), kind: "bench".to_owned(), required_features }
    }

    #[test]
    fn names_choose_and_unknown_ones_are_refused() {
        let (a, b) = (bench("a", &[]), bench("b", &[]));
        let both = [("p", &a), ("q", &b)];
        assert_eq!(chosen(&both, &[]).unwrap().len(), 2);
        let one = chosen(&both, &["b"]).unwrap();
        assert_eq!((one.len(), one[0].0), (1, "q"));
        assert!(chosen(&both, &["c"]).is_err_and(|failure| failure.what.contains("a, b")));
        assert!(chosen(&[], &[]).is_err());
    }

    #[test]
    fn a_call_carries_features_and_haste() {
        let line = call("p", &bench("a", &["x", "y"]), true).line();
        assert_eq!(line, "cargo bench --quiet -p p --bench a --features x,y -- --quick");
    }
}
