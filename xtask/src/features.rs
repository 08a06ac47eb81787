//! `cargo xtask features`: every feature of every crate alone, and every crate with none.
//!
//! Clippy instead of check: it sees the same, and a name that is unused without its feature is an error.

use crate::Outcome;
use crate::cargo::Call;
use crate::workspace::Workspace;

pub(crate) fn run() -> Outcome {
    for (package, feature) in pairs(&Workspace::read()?) {
        let mut call = Call::new("clippy --quiet --no-default-features -p").word(package);
        if let Some(feature) = feature {
            call = call.word("--features").word(feature);
        }
        call.word("--").word("-D").word("warnings").run()?;
    }
    Ok(())
}

/// Each crate with no feature, then with each of its features alone. The tool that asks is left out.
fn pairs(workspace: &Workspace) -> Vec<(&str, Option<&str>)> {
    let crates = workspace.packages.iter().filter(|package| package.name != env!("CARGO_PKG_NAME"));
    crates
        .flat_map(|package| {
            let none = std::iter::once(None);
            let alone = package.features.iter().map(|feature| Some(feature.as_str()));
            none.chain(alone).map(|feature| (package.name.as_str(), feature))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::pairs;
    use crate::workspace::{Package, Workspace};

    #[test]
    fn every_feature_stands_alone_once() {
        let package = |name: &str, features: &[&str]| Package {
            name: name.to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            dependencies: Vec::new(),
            targets: Vec::new(),
        };
        let packages = vec![package("a", &["x", "y"]), package("xtask", &["z"]), package("b", &[])];
        let workspace = Workspace { packages, root: "r".into(), target: "t".into() };
        let expected = [("a", None), ("a", Some("x")), ("a", Some("y")), ("b", None)];
        assert_eq!(pairs(&workspace), expected);
    }
}
