//! Where the labelled data lies, and how its files are read.
//!
//! The folder is `VISU_TILITY_DATA`, from the workspace's root if it is relative, or `../shared/data`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// There is no such file or folder.
    Absent(PathBuf),
    /// It is there and not what it should be.
    Unreadable(PathBuf, String),
}

/// The folder of the data.
pub(crate) struct Data {
    root: PathBuf,
}

/// The values of one model's kinds, in order of arrival.
pub(crate) type Kinds = BTreeMap<String, Vec<f64>>;

impl Data {
    /// Looks where the environment says, else beside the workspace.
    pub(crate) fn find() -> Self {
        let named = std::env::var_os("VISU_TILITY_DATA").unwrap_or_else(|| "../shared/data".into());
        // Cargo runs tests and benchmarks in their package's folder.
        Self { root: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(named) }
    }

    /// Returns the place of a file or folder.
    ///
    /// # Errors
    ///
    /// Fails when there is nothing.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, Trouble> {
        let path = self.root.join(name);
        if path.exists() { Ok(path) } else { Err(Trouble::Absent(path)) }
    }

    /// Reads a file of text.
    pub(crate) fn text(&self, name: &str) -> Result<String, Trouble> {
        let path = self.path(name)?;
        std::fs::read_to_string(&path).map_err(|error| Trouble::Unreadable(path, error.to_string()))
    }

    /// Reads a file of JSON.
    pub(crate) fn json(&self, name: &str) -> Result<Value, Trouble> {
        let text = self.text(name)?;
        serde_json::from_str(&text)
            .map_err(|error| Trouble::Unreadable(self.root.join(name), error.to_string()))
    }

    /// Unpacks a file.
    pub(crate) fn unpacked(&self, name: &str) -> Result<Vec<u8>, Trouble> {
        let path = self.path(name)?;
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| GzDecoder::new(file).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Trouble::Unreadable(path, error.to_string())),
        }
    }

    /// Reads packed events: the values of each model and kind.
    pub(crate) fn events(&self, name: &str) -> Result<BTreeMap<String, Kinds>, Trouble> {
        let path = self.path(name)?;
        let unreadable = |what: String| Trouble::Unreadable(path.clone(), what);
        let file = File::open(&path).map_err(|error| unreadable(error.to_string()))?;
        let mut models: BTreeMap<String, Kinds> = BTreeMap::new();
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.map_err(|error| unreadable(error.to_string()))?;
            let event: Value = serde_json::from_str(&line).map_err(|error| unreadable(error.to_string()))?;
            let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
            let value = event.get("value").and_then(Value::as_f64);
            let (Some(model), Some(kind), Some(value)) = (text("model_id"), text("kind"), value) else {
                return Err(unreadable(format!("not an event: {line}")));
            };
            models.entry(model).or_default().entry(kind).or_default().push(value);
        }
        Ok(models)
    }

    /// Reads packed events of one model.
    pub(crate) fn stream(&self, name: &str) -> Result<Kinds, Trouble> {
        Ok(self.events(name)?.into_values().next().unwrap_or_default())
    }
}

/// Returns the whole numbers under `key` of each object in a list.
pub(crate) fn positions(list: &Value, key: &str) -> Vec<usize> {
    let objects = list.as_array().map(Vec::as_slice).unwrap_or_default();
    objects.iter().filter_map(|object| object.get(key)?.as_u64()).map(|at| at as usize).collect()
}
