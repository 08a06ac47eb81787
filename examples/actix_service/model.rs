//! The model that is served: multinomial logistic regression over scanned digits.

use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use linfa::dataset::Dataset;
use linfa::traits::Fit;
use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};

use crate::Failure;

/// Pixels of a digit: 8 rows of 8.
pub(crate) const PIXELS: usize = 64;
const SIDE: usize = 8;

/// One scanned digit.
pub(crate) struct Digit {
    /// Grey values 0 to 16, row by row.
    pub(crate) pixels: Vec<f64>,
    pub(crate) label: usize,
}

impl Digit {
    /// What the camera sees when it has moved by one pixel: each row turned by one.
    pub(crate) fn shifted(&self) -> Vec<f64> {
        let mut pixels = self.pixels.clone();
        pixels.chunks_mut(SIDE).for_each(|row| row.rotate_right(1));
        pixels
    }
}

/// Reads the digits and shuffles them, the same way in every run.
pub(crate) fn digits() -> Result<Vec<Digit>, Failure> {
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv.gz"))?;
    let mut digits = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let mut pixels = line?.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let label = pixels.pop().ok_or("an empty line")? as usize;
        digits.push(Digit { pixels, label });
    }
    let mut seed = 7_u64;
    for i in (1..digits.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        digits.swap(i, (seed >> 33) as usize % (i + 1));
    }
    Ok(digits)
}

/// Reads digits.
pub(crate) struct Classifier(MultiFittedLogisticRegression<f64, usize>);

impl Classifier {
    pub(crate) fn train(digits: &[Digit]) -> Result<Self, Failure> {
        let pixels = matrix(digits.iter().flat_map(|digit| &digit.pixels))?;
        let labels: Array1<usize> = digits.iter().map(|digit| digit.label).collect();
        let fit = MultiLogisticRegression::default();
        Ok(Self(fit.fit(&Dataset::new(pixels, labels))?))
    }

    /// The likeliest digit, and its probability.
    pub(crate) fn classify(&self, pixels: &[f64]) -> Result<(usize, f64), Failure> {
        let probabilities = self.0.predict_probabilities(&matrix(pixels)?);
        let likeliest =
            self.0.classes().iter().copied().zip(probabilities).max_by(|a, b| a.1.total_cmp(&b.1));
        likeliest.ok_or_else(|| "the model knows no class".into())
    }
}

/// One row per digit, grey values from 0 to 1.
fn matrix<'a>(pixels: impl IntoIterator<Item = &'a f64>) -> Result<Array2<f64>, Failure> {
    let values: Vec<f64> = pixels.into_iter().map(|pixel| pixel / 16.0).collect();
    Ok(Array2::from_shape_vec((values.len() / PIXELS, PIXELS), values)?)
}
