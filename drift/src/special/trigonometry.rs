//! Sine and cosine, for random Fourier features.

use core::f64::consts::FRAC_PI_2;

/// Returns the sine and the cosine of a finite angle in radians, to an absolute 1e-15 for angles up to 1e5
/// and about `1e-16` of the angle beyond.
pub(crate) fn sin_cos(angle: f64) -> (f64, f64) {
    // pi/2 in two parts, the first with 33 bits, so that its multiples below 2^20 are exact.
    const HIGH: f64 = 1.570_796_326_734_125_6;
    const LOW: f64 = 6.077_100_506_506_192e-11;
    let angle = if angle.abs() < 1e6 { angle } else { angle % core::f64::consts::TAU };
    let turns = angle / FRAC_PI_2;
    let quadrant = (turns + if turns < 0.0 { -0.5 } else { 0.5 }) as i64;
    let k = quadrant as f64;
    let r = (angle - k * HIGH) - k * LOW;
    let r2 = r * r;
    let fold = |series: [f64; 8]| series.iter().rev().fold(0.0, |sum, c| c + r2 * sum);
    let sine = r * fold([
        1.0,
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5_040.0,
        1.0 / 362_880.0,
        -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 1_307_674_368_000.0,
    ]);
    let cosine = fold([
        1.0,
        -1.0 / 2.0,
        1.0 / 24.0,
        -1.0 / 720.0,
        1.0 / 40_320.0,
        -1.0 / 3_628_800.0,
        1.0 / 479_001_600.0,
        -1.0 / 87_178_291_200.0,
    ]);
    match quadrant & 3 {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

#[cfg(test)]
mod tests {
    use super::sin_cos;

    #[test]
    fn sines_agree_with_std() {
        for i in -200_000..200_000 {
            let x = f64::from(i) * 0.037;
            let (sine, cosine) = sin_cos(x);
            assert!((sine - x.sin()).abs() < 3e-15 && (cosine - x.cos()).abs() < 3e-15, "{x}");
        }
        for x in [1e7, -3e12, 1e100, f64::MAX] {
            let (sine, cosine) = sin_cos(x);
            assert!((sine * sine + cosine * cosine - 1.0).abs() < 1e-14);
        }
    }
}
