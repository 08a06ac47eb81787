//! What `cargo metadata` says of the workspace, reduced to what the gates ask.

use std::path::PathBuf;

use serde_json::Value;

use crate::Failure;
use crate::cargo::Call;

/// The root package: the product.
pub(crate) const PRODUCT: &str = "visu-tility";

/// The workspace's members and where cargo builds them.
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

/// One member.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Names of its features, `default` left out, in the order of the alphabet.
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency that is linked: neither for tests nor for the build script.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) optional: bool,
}

/// A library, binary, example, test or benchmark.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) required_features: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self, Failure> {
        let call = Call::new("metadata --format-version 1 --no-deps");
        let text = call.output()?;
        Self::parse(&text)
            .ok_or_else(|| Failure::new("cargo metadata has another form than expected", call.line()))
    }

    fn parse(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let packages = json.get("packages")?.as_array()?.iter().map(package).collect::<Option<Vec<_>>>()?;
        let path = |key| Some(PathBuf::from(json.get(key)?.as_str()?));
        Some(Self { packages, root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// The member of this name.
    pub(crate) fn package(&self, name: &str) -> Result<&Package, Failure> {
        self.packages.iter().find(|package| package.name == name).ok_or_else(|| {
            Failure::new(format!("no package {name} in the workspace"), "cargo metadata --no-deps")
        })
    }
}

impl Package {
    /// Its targets of one kind: `bin`, `example`, `test`, `bench`.
    pub(crate) fn targets_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Target> {
        self.targets.iter().filter(move |target| target.kind == kind)
    }
}

fn package(json: &Value) -> Option<Package> {
    let mut features: Vec<String> = json.get("features")?.as_object()?.keys().cloned().collect();
    features.retain(|feature| feature != "default");
    features.sort();
    let dependencies = json
        .get("dependencies")?
        .as_array()?
        .iter()
        .filter(|dependency| dependency.get("kind").is_none_or(Value::is_null))
        .map(|dependency| {
            let optional = dependency.get("optional")?.as_bool()?;
            Some(Dependency { name: string(dependency, "name")?, optional })
        })
        .collect::<Option<Vec<_>>>()?;
    let targets = json.get("targets")?.as_array()?.iter().map(target).collect::<Option<Vec<_>>>()?;
    Some(Package { name: string(json, "name")?, features, dependencies, targets })
}

fn target(json: &Value) -> Option<Target> {
    let kind = json.get("kind")?.as_array()?.first()?.as_str()?.to_owned();
    let required = json.get("required-features").and_then(Value::as_array);
    let required_features =
        required.into_iter().flatten().filter_map(|feature| feature.as_str().map(str::to_owned)).collect();
    Some(Target { name: string(json, "name")?, kind, required_features })
}

fn string(json: &Value, key: &str) -> Option<String> {
    json.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::Workspace;

    const TEXT: &str = r#"{"workspace_root": "w", "target_directory": "w/target", "packages": [{
        "name": "p",
        "features": {"default": ["b"], "b": [], "a": []},
        "dependencies": [
            {"name": "serde", "kind": null, "optional": true},
            {"name": "proptest", "kind": "dev", "optional": false}],
        "targets": [
            {"name": "p", "kind": ["lib"]},
            {"name": "routing", "kind": ["bench"], "required-features": ["a"]}]}]}"#;

    #[test]
    fn metadata_is_reduced_to_what_is_asked() {
        let workspace = Workspace::parse(TEXT).unwrap();
        let package = workspace.package("p").unwrap();
        assert_eq!(package.features, ["a", "b"]);
        assert_eq!(package.dependencies.len(), 1);
        assert!(package.dependencies[0].optional);
        let benches: Vec<_> = package.targets_of("bench").collect();
        assert_eq!((benches[0].name.as_str(), benches[0].required_features.len()), ("routing", 1));
        assert!(workspace.package("q").is_err());
    }

    #[test]
    fn another_form_is_refused() {
        assert!(Workspace::parse("{}").is_none());
    }
}
