//! Scores the novelty detectors by the rules of the Numenta Anomaly Benchmark (NAB 1.1).
//!
//! Run it with: `cargo run --release -p visu-tility-drift --example nab -- [FOLDER] [SCORES]`
//!
//! `FOLDER` (default `../shared/data/real/nab`) holds `nab_series.tar.gz` (files `category/series.csv` of
//! `timestamp,value`) and `windows.json`. With `SCORES`, the score of every value is written there as
//! `category/DETECTOR_series.csv`, for other scorers. Without the data it says so and ends.
//!
//! The rules: the first 15 % of a series (at most 750 values) are not scored. In a labelled window only the
//! first alarm counts, the earlier the more; a missed window and an alarm outside cost what the profile
//! says. 0 is a detector that never alarms, 100 one that alarms at the start of every window and nowhere
//! else. Each detector has one threshold for all series: the best in hindsight, as published tables have
//! it; or, for each category, the best on all other categories (left out); or its own default.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use visu_tility_drift::{CalendarNovelty, Detector, Novelty, NoveltyParams};

/// What a false alarm and a missed window cost.
struct Profile {
    name: &'static str,
    false_alarm: f64,
    missed: f64,
}

const PROFILES: [Profile; 3] = [
    Profile { name: "standard", false_alarm: 0.11, missed: 1.0 },
    Profile { name: "low FP", false_alarm: 0.22, missed: 1.0 },
    Profile { name: "low FN", false_alarm: 0.11, missed: 2.0 },
];

struct Series {
    category: String,
    name: String,
    stamps: Vec<String>,
    values: Vec<f64>,
    /// First and last index of each window.
    windows: Vec<(usize, usize)>,
}

/// A value that is scored.
#[derive(Clone, Copy)]
struct Row {
    score: f64,
    /// Its series and window, if it lies in one.
    window: Option<(usize, usize)>,
    /// What an alarm here is worth before the profile's weights.
    worth: f64,
}

/// One detector's rows of one category.
struct Category {
    name: String,
    rows: Vec<Row>,
    windows: usize,
}

/// From 1 (early in a window) through 0 (at its end) to -1 (long after).
fn sigmoid(x: f64) -> f64 {
    if x > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

/// Values the rows of a series.
fn rows(index: usize, series: &Series, scores: &[f64]) -> Vec<Row> {
    let probation = (0.15 * scores.len() as f64).floor().min(750.0) as usize;
    let worth = |i: usize| {
        let ahead = series.windows.iter().position(|&(_, right)| i <= right);
        let inside = ahead.and_then(|k| series.windows.get(k).map(|&window| (k, window)));
        if let Some((k, (left, right))) = inside.filter(|&(_, (left, _))| left <= i) {
            let position = (right - i + 1) as f64 / (right - left + 1) as f64;
            return (Some((index, k)), sigmoid(-position) / sigmoid(-1.0));
        }
        let last = series.windows.get(..ahead.unwrap_or(series.windows.len())).and_then(<[_]>::last);
        let after = last.map(|&(left, right)| sigmoid((i - right) as f64 / (right - left) as f64));
        (None, after.unwrap_or(-1.0))
    };
    let scored = scores.iter().enumerate().skip(probation);
    scored
        .map(|(i, &score)| {
            let (window, worth) = worth(i);
            Row { score, window, worth }
        })
        .collect()
}

/// Returns the raw result at every threshold that differs, highest first; the first never alarms.
fn sweep(rows: &[Row], profile: &Profile) -> Vec<(f64, f64)> {
    let mut best: BTreeMap<(usize, usize), f64> =
        rows.iter().filter_map(|row| Some((row.window?, -profile.missed))).collect();
    let mut hits = -profile.missed * best.len() as f64;
    let mut false_alarms = 0.0;
    let mut results = vec![(f64::INFINITY, hits)];
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    for same in sorted.chunk_by(|a, b| a.score == b.score) {
        for row in same {
            match row.window.and_then(|window| best.get_mut(&window)) {
                Some(best) if row.worth > *best => {
                    hits += row.worth - *best;
                    *best = row.worth;
                }
                Some(_) => {}
                None => false_alarms += profile.false_alarm * row.worth,
            }
        }
        let threshold = same.first().map_or(0.0, |row| row.score);
        results.push((threshold, hits + false_alarms));
    }
    results
}

/// Returns the best threshold and its raw result.
fn best(results: &[(f64, f64)]) -> (f64, f64) {
    let better = |a: (f64, f64), &b: &(f64, f64)| if b.1 > a.1 { b } else { a };
    results.iter().fold((f64::INFINITY, f64::NEG_INFINITY), better)
}

/// Returns the raw result at a threshold.
fn at(results: &[(f64, f64)], threshold: f64) -> f64 {
    results.iter().take_while(|result| result.0 >= threshold).last().map_or(0.0, |result| result.1)
}

/// Scales a raw result: 0 never alarms, 100 is perfect. Without windows there is no scale, and it stays raw.
fn normal(raw: f64, windows: usize, profile: &Profile) -> f64 {
    if windows == 0 {
        return raw;
    }
    100.0 * (raw + profile.missed * windows as f64) / (windows as f64 * (1.0 + profile.missed))
}

/// Counts the windows hit and the runs of alarms outside windows.
fn counts(rows: &[Row], threshold: f64) -> (usize, usize) {
    let mut hit: Vec<_> =
        rows.iter().filter(|row| row.score >= threshold).filter_map(|row| row.window).collect();
    hit.dedup();
    let outside = |row: &Row| row.window.is_none() && row.score >= threshold;
    let starts = rows.iter().zip(rows.iter().skip(1)).filter(|(a, b)| !outside(a) && outside(b)).count();
    (hit.len(), starts + usize::from(rows.first().is_some_and(outside)))
}

/// Prints one detector's results.
fn report(name: &str, categories: &[Category], own: f64) {
    let all: Vec<Row> = categories.iter().flat_map(|category| category.rows.iter().copied()).collect();
    let windows = categories.iter().map(|category| category.windows).sum();
    println!("\n{name:34} {:>9} {:>9} {:>9}", PROFILES[0].name, PROFILES[1].name, PROFILES[2].name);
    let line = |label: &str, value: &dyn Fn(&Profile) -> f64| {
        let [standard, low_fp, low_fn] = PROFILES.each_ref().map(value);
        println!("  {label:32} {standard:9.2} {low_fp:9.2} {low_fn:9.2}");
    };
    line("best threshold", &|profile| normal(best(&sweep(&all, profile)).1, windows, profile));
    line("left-out threshold", &|profile| {
        let one = |left_out: &Category| {
            let others = categories.iter().filter(|category| category.name != left_out.name);
            let others: Vec<Row> = others.flat_map(|category| category.rows.iter().copied()).collect();
            at(&sweep(&left_out.rows, profile), best(&sweep(&others, profile)).0)
        };
        normal(categories.iter().map(one).sum(), windows, profile)
    });
    line(&format!("own threshold, {own}"), &|profile| {
        normal(at(&sweep(&all, profile), own), windows, profile)
    });
    let (chosen, _) = best(&sweep(&all, &PROFILES[0]));
    for (label, threshold) in [("best standard threshold", chosen), ("own threshold", own)] {
        println!("  at the {label}, {threshold:.4}:");
        for category in categories {
            let Category { name, rows, windows } = category;
            let value = |profile| normal(at(&sweep(rows, profile), threshold), *windows, profile);
            let [standard, low_fp, low_fn] = PROFILES.each_ref().map(value);
            let (hit, false_episodes) = counts(rows, threshold);
            println!(
                "    {name:30} {standard:9.2} {low_fp:9.2} {low_fn:9.2}   hits {hit} of {windows}, \
                 {false_episodes} false episodes"
            );
        }
    }
}

/// Splits a tar file into names and contents of its regular files.
fn untar(bytes: &[u8]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_at_checked(512) {
        let text = |from: usize, to: usize| {
            let field = header.get(from..to).unwrap_or(&[]);
            let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(field.get(..end).unwrap_or(&[])).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap_or(0);
        let Some(contents) = after.get(..size) else { break };
        if matches!(header.get(156), Some(b'0' | 0)) && size > 0 {
            files.push((text(0, 100), String::from_utf8_lossy(contents).into_owned()));
        }
        rest = after.get(size.next_multiple_of(512)..).unwrap_or(&[]);
    }
    files
}

/// Reads `2014-02-14 14:30:00` as seconds since 1970.
fn seconds(stamp: &str) -> Option<i64> {
    let numbers: Vec<i64> = stamp.split([' ', '-', ':', 'T']).filter_map(|part| part.parse().ok()).collect();
    let [year, month, day, hour, minute, second] = numbers.as_slice() else { return None };
    // Years begin in March here, so that the leap day is the last.
    let (year, month) = if *month > 2 { (*year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn load(folder: &Path) -> Result<Vec<Series>, Box<dyn Error>> {
    let mut tar = Vec::new();
    GzDecoder::new(fs::File::open(folder.join("nab_series.tar.gz"))?).read_to_end(&mut tar)?;
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&fs::read_to_string(folder.join("windows.json"))?)?;
    let mut all = Vec::new();
    for (path, text) in untar(&tar) {
        let path = path.trim_start_matches("./");
        let Some((windows, (category, name))) = labels.get(path).zip(path.split_once('/')) else { continue };
        let fields = text.lines().skip(1).filter_map(|line| line.split_once(','));
        let whole = |stamp: &str| stamp.split('.').next().unwrap_or(stamp).to_owned();
        let (stamps, values): (Vec<String>, Vec<f64>) = fields
            .filter_map(|(stamp, value)| Some((whole(stamp), value.trim().parse::<f64>().ok()?)))
            .unzip();
        let index = |stamp: &str| stamps.iter().position(|other| *other == whole(stamp));
        let windows = windows.iter().map(|(a, b)| index(a).zip(index(b))).collect::<Option<Vec<_>>>();
        let windows = windows.ok_or_else(|| format!("a window of {path} is not in its series"))?;
        all.push(Series { category: category.to_owned(), name: name.to_owned(), stamps, values, windows });
    }
    all.sort_by(|a, b| (&a.category, &a.name).cmp(&(&b.category, &b.name)));
    Ok(all)
}

/// Scores all series with one detector, and groups the rows by category.
fn run(
    name: &str,
    all: &[Series],
    out: Option<&Path>,
    score: impl Fn(&Series) -> Result<Vec<f64>, Box<dyn Error>>,
) -> Result<Vec<Category>, Box<dyn Error>> {
    let mut categories: Vec<Category> = Vec::new();
    for (index, series) in all.iter().enumerate() {
        let scores = score(series)?;
        if let Some(out) = out {
            let folder = out.join(&series.category);
            fs::create_dir_all(&folder)?;
            let mut text = String::from("timestamp,value,anomaly_score\n");
            for ((stamp, value), score) in series.stamps.iter().zip(&series.values).zip(&scores) {
                writeln!(text, "{stamp},{value},{score}")?;
            }
            fs::write(folder.join(format!("{name}_{}", series.name)), text)?;
        }
        let rows = rows(index, series, &scores);
        match categories.last_mut() {
            Some(last) if last.name == series.category => {
                last.rows.extend(rows);
                last.windows += series.windows.len();
            }
            _ => {
                let (name, windows) = (series.category.clone(), series.windows.len());
                categories.push(Category { name, rows, windows });
            }
        }
    }
    Ok(categories)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real/nab");
    let folder = args.next().unwrap_or_else(beside);
    let out = args.next();
    if !folder.join("windows.json").is_file() {
        println!("no series at {}", folder.display());
        return Ok(());
    }
    let all = load(&folder)?;
    let windows: usize = all.iter().map(|series| series.windows.len()).sum();
    println!("{} series, {windows} windows", all.len());
    let params = NoveltyParams::default();
    let name = "calendar-novelty";
    let categories = run(name, &all, out.as_deref(), |series| {
        let mut detector = CalendarNovelty::new(params)?;
        let times = series.stamps.iter().map(|stamp| seconds(stamp).ok_or("a time stamp cannot be read"));
        let both = series.values.iter().zip(times);
        both.map(|(&value, time)| Ok(detector.update(value, time?).statistic)).collect()
    })?;
    report(name, &categories, params.threshold);
    let name = "novelty";
    let categories = run(name, &all, out.as_deref(), |series| {
        let mut detector = Novelty::new(params)?;
        Ok(series.values.iter().map(|&value| detector.update(value).statistic).collect())
    })?;
    report(name, &categories, params.threshold);
    Ok(())
}
