//! `cargo xtask purity`: the lower floors built alone, and what may not be in their dependency graphs.
//!
//! Alone matters: in a build of the whole workspace cargo unifies features, and the product's chrono brings
//! its clock into core. So each question is asked with `-p` for one crate and one set of its features. That
//! drift needs no std is asked twice: `xtask/no_std` links it on this machine into a library that std would
//! break, and the target of a microcontroller, where it is installed, builds it where there is no std.

use std::path::Path;
use std::process::Command;

use crate::cargo::Call;
use crate::workspace::{Package, Workspace};
use crate::{Failure, Outcome};

const DRIFT: &str = "visu-tility-drift";
const CORE: &str = "visu-tility-core";
const ACTORS: &str = "visu-tility-actors";
const RERUN: &str = "cargo xtask purity";

/// A target without std, with pointers of 32 bits and no atomics of 64.
const BARE: &str = "thumbv7em-none-eabihf";

/// What drift may depend on, optionally only.
const DRIFT_MAY_USE: [&str; 2] = ["serde", "libm"];

/// The feature of core that lets actix in.
const CORE_ACTIX: &str = "actix";

/// Packages that mean a runtime, the network or a disk.
const RUNTIMES: [&str; 12] = [
    "tokio",
    "actix",
    "actix-rt",
    "actix-web",
    "mio",
    "async-std",
    "smol",
    "hyper",
    "reqwest",
    "rusqlite",
    "getrandom",
    "rand",
];

/// What the third floor may not know: HTTP and databases.
const ABOVE_ACTORS: [&str; 4] = ["actix-web", "hyper", "reqwest", "rusqlite"];

/// Features of chrono that read a clock.
const CLOCKS: [&str; 2] = ["clock", "now"];

pub(crate) fn run() -> Outcome {
    let workspace = Workspace::read()?;
    Call::new("check --quiet --no-default-features -p").word(DRIFT).run()?;
    Call::new("check --quiet -p").word(CORE).run()?;
    without_std(&workspace)?;
    optional_dependencies_only(workspace.package(DRIFT)?)?;
    let core = workspace.package(CORE)?;
    let pure: Vec<&str> =
        core.features.iter().map(String::as_str).filter(|feature| *feature != CORE_ACTIX).collect();
    tree(CORE, &pure)?.refuses(&RUNTIMES)?.refuses_clocks()?;
    if pure.len() < core.features.len() {
        tree(CORE, &[CORE_ACTIX])?.refuses_clocks()?;
    }
    tree(ACTORS, &[])?.refuses(&ABOVE_ACTORS)?.refuses_clocks()?;
    for floor in [&[DRIFT][..], &[CORE, DRIFT], &[ACTORS, CORE, DRIFT]] {
        stands_on(&workspace, floor)?;
    }
    println!("drift, core and actors know nothing above them");
    Ok(())
}

/// Builds drift where std cannot be, without and with its one optional dependency.
fn without_std(workspace: &Workspace) -> Outcome {
    let target = workspace.target.join("no_std").display().to_string();
    let host = || {
        Call::new("build --quiet --locked --manifest-path xtask/no_std/Cargo.toml --target-dir")
            .word(target.clone())
    };
    host().run()?;
    host().word("--features").word("serde").run()?;
    if !installed(BARE) {
        println!("not checked: drift on {BARE}; to check it: rustup target add {BARE}");
        return Ok(());
    }
    let bare = || Call::new("build --quiet --no-default-features --target").word(BARE).word("-p").word(DRIFT);
    bare().run()?;
    bare().word("--features").word("serde").run()
}

/// Whether the compiler has the standard libraries of a target.
fn installed(target: &str) -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(compiler).args(["--print", "target-libdir", "--target", target]).output();
    let folder = asked.ok().and_then(|answer| String::from_utf8(answer.stdout).ok());
    folder.is_some_and(|folder| !folder.trim().is_empty() && Path::new(folder.trim()).is_dir())
}

fn optional_dependencies_only(package: &Package) -> Outcome {
    let allowed = |name: &str| DRIFT_MAY_USE.contains(&name);
    match package.dependencies.iter().find(|d| !d.optional || !allowed(&d.name)) {
        None => Ok(()),
        Some(d) => {
            let what =
                format!("{} depends on {}; only optional {DRIFT_MAY_USE:?} may be", package.name, d.name);
            Err(Failure::new(what, RERUN))
        }
    }
}

/// Of the workspace's members, the first of `floors` may depend on the others named, and on no more.
fn stands_on(workspace: &Workspace, floors: &[&str]) -> Outcome {
    let Some((floor, below)) = floors.split_first() else { return Ok(()) };
    let member = |name: &str| workspace.packages.iter().any(|package| package.name == name);
    let dependencies = &workspace.package(floor)?.dependencies;
    match dependencies.iter().find(|d| member(&d.name) && !below.contains(&d.name.as_str())) {
        None => Ok(()),
        Some(d) => Err(Failure::new(format!("{floor} depends upward on {}", d.name), RERUN)),
    }
}

/// The packages a crate links, each with the features it is built with.
struct Tree {
    of: String,
    packages: Vec<(String, Vec<String>)>,
}

fn tree(package: &str, features: &[&str]) -> Result<Tree, Failure> {
    let mut call =
        Call::new("tree --edges normal --prefix none --format").word("{p}|{f}").word("-p").word(package);
    let mut of = package.to_owned();
    if !features.is_empty() {
        call = call.word("--features").word(features.join(","));
        of = format!("{package} with {}", features.join(", "));
    }
    println!("$ {}", call.line());
    Ok(Tree { of, packages: call.output()?.lines().filter_map(parse).collect() })
}

/// Parses a line `name v1.2.3 (path)|feature,feature`; the mark `(*)` of repeated ones may follow.
fn parse(line: &str) -> Option<(String, Vec<String>)> {
    let (package, features) = line.split_once('|')?;
    let features = features.split_whitespace().next().unwrap_or_default();
    let features = features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned).collect();
    Some((package.split_whitespace().next()?.to_owned(), features))
}

impl Tree {
    fn refuses(self, banned: &[&str]) -> Result<Self, Failure> {
        match self.packages.iter().find(|(name, _)| banned.contains(&name.as_str())) {
            None => Ok(self),
            Some((name, _)) => Err(Failure::new(format!("{} links {name}", self.of), RERUN)),
        }
    }

    fn refuses_clocks(self) -> Result<Self, Failure> {
        let reads = |features: &[String]| features.iter().any(|feature| CLOCKS.contains(&feature.as_str()));
        if self.packages.iter().any(|(name, features)| name == "chrono" && reads(features)) {
            return Err(Failure::new(format!("{} builds chrono with its clock", self.of), RERUN));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Tree, installed, optional_dependencies_only, parse, stands_on};
    use crate::workspace::{Dependency, Package, Workspace};

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependency =
            |(name, optional): &(&str, bool)| Dependency { name: (*name).to_owned(), optional: *optional };
        let dependencies = dependencies.iter().map(dependency).collect();
        Package { name: name.to_owned(), features: Vec::new(), dependencies, targets: Vec::new() }
    }

    fn tree(lines: &str) -> Tree {
        Tree { of: "core".to_owned(), packages: lines.lines().filter_map(parse).collect() }
    }

    #[test]
    fn a_runtime_and_a_clock_are_found() {
        let pure = "core v0.1.0 (somewhere)|default\nchrono v0.4.42|alloc,serde (*)\n\n";
        assert!(tree(pure).refuses(&["tokio"]).is_ok());
        assert!(tree(pure).refuses_clocks().is_ok());
        assert!(tree("tokio v1.0.0|").refuses(&["tokio"]).is_err());
        assert!(tree("chrono v0.4.42|alloc,now,std (*)").refuses_clocks().is_err());
        assert!(tree("chrono v0.4.42|clock").refuses_clocks().is_err());
    }

    #[test]
    fn a_target_that_does_not_exist_is_not_installed() {
        assert!(!installed("no-such-target"));
    }

    #[test]
    fn drift_takes_optional_serde_and_nothing_else() {
        assert!(optional_dependencies_only(&package("drift", &[("serde", true)])).is_ok());
        assert!(optional_dependencies_only(&package("drift", &[("serde", false)])).is_err());
        assert!(optional_dependencies_only(&package("drift", &[("chrono", true)])).is_err());
    }

    #[test]
    fn an_arrow_upward_is_found() {
        let packages = vec![package("core", &[("drift", false), ("actors", true)]), package("actors", &[])];
        let workspace = Workspace { packages, root: "r".into(), target: "t".into() };
        assert!(stands_on(&workspace, &["core", "drift"]).is_err());
        assert!(stands_on(&workspace, &["core", "actors"]).is_ok());
    }
}
