//! A reference that is given: made of values, or read from a text.

use serde::Deserialize;
use visu_tility_drift::Histogram;

use super::DistributionObserver;
use crate::error::ObserverError;

/// What a text of a reference may hold.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Written {
    Values(Vec<Option<f64>>),
    Counts { edges: Vec<f64>, counts: Vec<u64> },
}

impl DistributionObserver {
    /// Makes a reference of values: about `bins` bins of equal shares, fewer where values repeat.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when there are fewer than 50 values, one is not finite, or `bins` is not
    /// from 2 to 32.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::DistributionObserver;
    ///
    /// let values: Vec<f64> = (0..200).map(f64::from).collect();
    /// let reference = DistributionObserver::reference_of(&values, 4)?;
    /// assert_eq!(reference.counts(), [50, 50, 50, 50]);
    /// assert!(DistributionObserver::reference_of(&[1.0], 4).is_err());
    /// # Ok::<(), visu_tility_core::ObserverError>(())
    /// ```
    pub fn reference_of(values: &[f64], bins: u32) -> Result<Histogram, ObserverError> {
        if !(2..=32).contains(&bins) {
            return Err(ObserverError::Config(format!("`bins` is {bins}, must be from 2 to 32")));
        }
        let (count, least) = (values.len(), Self::REFERENCE_MIN);
        if (count as u64) < least {
            return Err(ObserverError::Config(format!(
                "the reference has {count} values, must have at least {least}"
            )));
        }
        let mut reference = Histogram::around(values, bins as usize)
            .map_err(|error| ObserverError::Config(error.to_string()))?;
        for &value in values {
            reference.insert(value);
        }
        Ok(reference)
    }

    /// Makes a reference of a JSON text: `{"edges": [...], "counts": [...]}` with one edge more than counts, as numpy's
    /// `histogram` gives them, or a list of values, of which `null`s are left out.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when it is neither, or as [`DistributionObserver::reference_of`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::DistributionObserver;
    ///
    /// let text = r#"{"edges": [0, 0.5, 1], "counts": [700, 300]}"#;
    /// assert_eq!(DistributionObserver::reference_of_text(text, 10)?.total(), 1_000);
    /// # Ok::<(), visu_tility_core::ObserverError>(())
    /// ```
    pub fn reference_of_text(text: &str, bins: u32) -> Result<Histogram, ObserverError> {
        let refused = |_| {
            ObserverError::Config(
                "it must be JSON: {\"edges\": [numbers], \"counts\": [whole numbers]} or a list of numbers"
                    .to_owned(),
            )
        };
        match serde_json::from_str(text).map_err(refused)? {
            Written::Values(values) => {
                let values: Vec<f64> = values.into_iter().flatten().collect();
                Self::reference_of(&values, bins)
            }
            Written::Counts { edges, counts } => Self::reference_of_counts(&edges, &counts),
        }
    }

    /// Makes a reference of edges and counts; the texts name them as a plan does.
    pub(crate) fn reference_of_counts(edges: &[f64], counts: &[u64]) -> Result<Histogram, ObserverError> {
        if counts.len() + 1 != edges.len() {
            return Err(ObserverError::Config(format!(
                "`counts` has {} numbers, must have one less than the {} of `edges`",
                counts.len(),
                edges.len()
            )));
        }
        Histogram::from_counts(edges, counts).map_err(|error| ObserverError::Config(error.to_string()))
    }
}
