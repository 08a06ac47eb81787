//! The seasonal residual: what is left of a value when the hour of the day and of the week is taken off.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_f64, put_i64, put_u16, put_u32};
use crate::parameters::{parameters, words};
use crate::state::{self, ensure};

const VERSION: u8 = 1;
const WEEK: usize = 168;
const DAY: usize = 24;
const CELLS: usize = WEEK + DAY;
/// Values beyond this size are taken as this size: cells are kept in single precision.
const LIMIT: f64 = 1e30;
/// Median absolute deviations in a standard deviation of a normal law.
const MAD_TO_DEVIATION: f64 = 1.482_602_218_505_602;
/// Steps of the asymptotically best stochastic approximations for a normal law, in median absolute
/// deviations and as a share: half of one over the density at the quantile.
const LEVEL_STEP: f64 = 1.858;
const SPREAD_STEP: f64 = 1.166;
/// Median absolute deviations in a mean one of a normal law, and the values that the latter is taken over.
const MEAN_TO_MAD: f64 = 0.845;
const FIRST: u32 = 8;

/// Which season is taken off.
///
/// | | cells | a value comes out |
/// |---|---|---|
/// | `Day` | 24, hour of the day | when its hour was seen on `learn` days |
/// | `Week` | 168, hour of the week | when its hour was seen in `learn` weeks |
/// | `WeekOrDay` | both | as for `Week`; until then as for `Day` |
///
/// `WeekOrDay` speaks after days instead of weeks, and until the weeks are over takes a weekend for a
/// change: expect two alarms a week where weekends differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Season {
    /// The hour of the day.
    Day,
    /// The hour of the week.
    #[default]
    Week,
    /// The hour of the week where it is learned, else the hour of the day.
    WeekOrDay,
}

words!(Season { Day = "day", Week = "week", WeekOrDay = "week-or-day" });

parameters! {
    /// Parameters of [`SeasonalResidual`].
    pub struct SeasonalParams {
        /// Which season to take off.
        pub season: Season = Season::Week,
        /// Visits of an hour (days or weeks) to learn it from, in 1..=1000.
        pub learn: u16 = 4,
        /// Least share of a step of learning that one more visit makes after that, in [0, 1]; 0 freezes.
        pub rate: f64 = 0.05,
        /// Largest size of a residual, in (0, 1e6].
        pub clip: f64 = 10.0,
    }
}

impl SeasonalParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { learn, rate, clip, .. } = *self;
        ParamError::check("learn", f64::from(learn), (1..=1_000).contains(&learn), "in 1..=1000")?;
        ParamError::check("rate", rate, (0.0..=1.0).contains(&rate), "in [0, 1]")?;
        ParamError::check("clip", clip, clip > 0.0 && clip <= 1e6, "in (0, 1e6]")
    }
}

/// Level and spread of one hour.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Median, less the first value of the stream.
    level: f32,
    /// Median absolute deviation; 0 while all values were the same.
    spread: f32,
    values: u32,
    visits: u16,
}

impl Cell {
    fn residual(&self, y: f64, clip: f64) -> f64 {
        let apart = y - f64::from(self.level);
        let deviation = MAD_TO_DEVIATION * f64::from(self.spread);
        if deviation > 0.0 {
            return (apart / deviation).clamp(-clip, clip);
        }
        if apart == 0.0 { 0.0 } else { clip.copysign(apart) }
    }

    /// Moves level and spread towards `y` by the sign of how it lies to them.
    fn learn(&mut self, y: f64, params: &SeasonalParams, guess: f32) {
        self.values = self.values.saturating_add(1);
        if self.values == 1 {
            (self.level, self.spread) = (y as f32, guess);
            return;
        }
        let values = f64::from(self.values);
        let gain = if self.visits <= params.learn {
            1.0 / values
        } else if params.rate == 0.0 {
            return;
        } else {
            // Divided so that one visit, of however many values, makes `rate` steps at least.
            ((params.rate * f64::from(self.visits)).max(1.0) / values).min(0.5)
        };
        let apart = y - f64::from(self.level);
        let size = apart.abs();
        let spread = f64::from(self.spread);
        let step = (gain * LEVEL_STEP * spread).min(size).copysign(apart);
        self.level += step as f32;
        let next = if self.values <= FIRST || spread == 0.0 {
            // A mean of the first few sizes to start from; a wild one counts for four.
            let size = if self.values > 3 && spread > 0.0 { size.min(4.0 * spread) } else { size };
            spread + (MEAN_TO_MAD * size - spread) / (values - if guess > 0.0 { 0.0 } else { 1.0 })
        } else if size > spread {
            spread * (1.0 + gain * SPREAD_STEP)
        } else {
            spread / (1.0 + gain * SPREAD_STEP)
        };
        let least = if next > 0.0 { f32::MIN_POSITIVE } else { 0.0 };
        self.spread = (next as f32).clamp(least, 1e32);
    }
}

/// Takes the season off a stream: `(value - median) / deviation` of its hour, both learned.
///
/// Use it where load follows people: traffic, demand, latency, scores of a shop. Not for zeros and ones,
/// whose median says nothing: watch their rate per hour instead.
///
/// # Method
///
/// Each of the 168 hours of the week (and the 24 of the day) keeps a median and a median absolute
/// deviation, learned by stochastic approximation: with gain `g`, the level moves by `1.86 g` spreads
/// towards the value, the spread grows or shrinks by the factor `1 + 1.17 g`. At first `g` is one over the
/// number of the hour's values, the best for a normal law; from `1 / rate` visits on one visit makes
/// `rate` of a step, however many values it brings, so that a change of the level is not learned away:
/// half of one by two deviations is left after about ten weeks at the default. At a rate of 0 nothing
/// is learned after the first `learn` visits. The
/// residual is `(value - level) / (1.4826 spread)`, taken before the value is learned, clipped at `±clip`.
///
/// Until its hour is learned a value gives nothing.
///
/// What is left of neighbouring values is often still alike (a warm day is warm at all hours): put a
/// [`crate::Batcher`] behind it. In front of [`crate::Adwin`] on two synthetic years of ten-minute values with
/// independent noise it takes 2,534 alarms to none; on half-hourly electricity demand only both together
/// do, 371 to none.
///
/// # Time
///
/// Hours are of UTC. Where people change their clocks for summer the season moves by an hour for half of
/// the year; that is not handled: expect residuals at the edges of the day. A time that lies behind the
/// newest is no new visit.
///
/// # Cost
///
/// About 25 ns; 3 KiB, 2.7 KiB written.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{SeasonalParams, SeasonalResidual};
///
/// let mut season = SeasonalResidual::new(SeasonalParams::default())?;
/// // Eight weeks of half hours, busy by day, with a little noise.
/// let value = |i: i64| if (16..36).contains(&(i % 48)) { 50.0 } else { 5.0 } + (i * 7 % 11) as f64 / 10.0;
/// let out: Vec<_> = (0..8 * 336).filter_map(|i| season.update(value(i), i * 1_800)).collect();
/// assert_eq!(out.len(), 4 * 336);
/// assert!(out.iter().filter(|residual| residual.abs() > 3.5).count() < 60);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// A value that is not finite gives nothing and changes nothing. Values beyond ±1e30 are taken as ±1e30.
/// Where all values of an hour were the same, the same value gives 0 and any other `±clip`.
///
/// # References
///
/// Robbins and Monro, "A Stochastic Approximation Method", Ann. Math. Stat. 22 (1951), section 5
/// (quantiles).
#[derive(Clone, Debug)]
pub struct SeasonalResidual {
    params: SeasonalParams,
    origin: Option<f64>,
    newest_hour: i64,
    cells: Box<[Cell; CELLS]>,
}

impl SeasonalResidual {
    /// Builds one that has learned nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: SeasonalParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    fn fresh(params: SeasonalParams) -> Self {
        Self { params, origin: None, newest_hour: i64::MIN, cells: Box::new([Cell::default(); CELLS]) }
    }

    /// Takes the next value and its time in Unix seconds; returns the residual, and nothing while the hour
    /// is being learned.
    pub fn update(&mut self, value: f64, seconds: i64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let value = value.clamp(-LIMIT, LIMIT);
        let y = value - *self.origin.get_or_insert(value);
        let hour = seconds.div_euclid(3_600);
        let visit = hour > self.newest_hour || self.newest_hour - hour > 366 * 24;
        if visit {
            self.newest_hour = hour;
        }
        let (of_week, of_day) = (hour.rem_euclid(WEEK as i64) as usize, hour.rem_euclid(DAY as i64) as usize);
        let params = self.params;
        let (week, day) = self.cells.split_at_mut(WEEK);
        let (week, day) = (week.get_mut(of_week)?, day.get_mut(of_day)?);
        if visit {
            week.visits = week.visits.saturating_add(1);
            day.visits = day.visits.saturating_add(1);
        }
        let learned = |cell: &Cell| cell.visits > params.learn && cell.values > 0;
        let cell = match params.season {
            Season::Week => &week,
            Season::WeekOrDay if learned(week) => &week,
            Season::Day | Season::WeekOrDay => &day,
        };
        let residual = learned(cell).then(|| cell.residual(y, params.clip));
        let guess = day.spread;
        day.learn(y, &params, 0.0);
        if params.season != Season::Day {
            week.learn(y, &params, guess);
        }
        residual
    }

    /// Counts the hours of the week that are learned (of the day under [`Season::Day`]).
    pub fn learned_cells(&self) -> u16 {
        let (week, day) = self.cells.split_at(WEEK);
        let cells = if self.params.season == Season::Day { day } else { week };
        cells.iter().filter(|cell| cell.visits > self.params.learn).count() as u16
    }

    /// Counts the hours of the season: 168, or 24 under [`Season::Day`].
    pub const fn cells(&self) -> u16 {
        match self.params.season {
            Season::Day => DAY as u16,
            Season::Week | Season::WeekOrDay => WEEK as u16,
        }
    }

    /// Returns the level and the standard deviation learned for the hour of the week of a time in Unix
    /// seconds (of the day under [`Season::Day`]), or nothing before its first value.
    pub fn hour(&self, seconds: i64) -> Option<(f64, f64)> {
        let hour = seconds.div_euclid(3_600);
        let at = match self.params.season {
            Season::Day => WEEK + hour.rem_euclid(DAY as i64) as usize,
            Season::Week | Season::WeekOrDay => hour.rem_euclid(WEEK as i64) as usize,
        };
        let cell = self.cells.get(at).filter(|cell| cell.values > 0)?;
        let level = self.origin? + f64::from(cell.level);
        Some((level, MAD_TO_DEVIATION * f64::from(cell.spread)))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &SeasonalParams {
        &self.params
    }

    /// Forgets what it learned and learns anew.
    pub fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    /// Counts the bytes that it holds, on the heap included.
    pub const fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<[Cell; CELLS]>()
    }

    /// Appends the state, 2,714 bytes.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        out.push(u8::from(self.origin.is_some()));
        put_f64(out, self.origin.unwrap_or(0.0));
        put_i64(out, self.newest_hour);
        for cell in self.cells.iter() {
            put_u32(out, cell.level.to_bits());
            put_u32(out, cell.spread.to_bits());
            put_u32(out, cell.values);
            put_u16(out, cell.visits);
        }
    }

    /// Replaces the state by one that [`SeasonalResidual::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "seasonal residual", VERSION, self.params.fingerprint())?;
        let mut next = Self::fresh(self.params);
        let (known, origin) = (bytes.u8()?, bytes.finite("origin")?);
        ensure(known == 1 || (known == 0 && origin == 0.0), "origin")?;
        ensure(origin.abs() <= LIMIT, "origin")?;
        next.origin = (known == 1).then_some(origin);
        next.newest_hour = bytes.i64()?;
        let hours = i64::MIN / 3_600 - 1..=i64::MAX / 3_600;
        let fresh = known == 0 && next.newest_hour == i64::MIN;
        ensure(fresh || (known == 1 && hours.contains(&next.newest_hour)), "newest_hour")?;
        for cell in next.cells.iter_mut() {
            cell.level = f32::from_bits(bytes.u32()?);
            cell.spread = f32::from_bits(bytes.u32()?);
            cell.values = bytes.u32()?;
            cell.visits = bytes.u16()?;
            ensure(cell.level.abs() <= 1e31, "level")?;
            ensure((0.0..=1e32).contains(&cell.spread), "spread")?;
            ensure(known == 1 || (cell.values == 0 && cell.visits == 0), "values")?;
        }
        *self = next;
        Ok(())
    }
}
