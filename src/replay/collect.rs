//! What a run counts while the events stream by: series, positions, and the place of every record.
//!
//! Records come back from the shards later than the events that led to them. What a record needs of its
//! event (the ordinal within model and kind, the position of the model) is kept in a ring of the newest
//! events, longer than what can be on its way; what leaves the ring is folded into one number per model and
//! kind. So memory does not grow with the file.

use std::collections::HashMap;

use visu_tility_core::{ActionRecord, MetricKind, ModelId, Timestamp};

use crate::ingest::Series;
use crate::replay::plot::{Plot, SUM_SCALE, scaled_mean};

/// How much is kept for drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlotDetail {
    /// Nothing: for reports in JSON.
    #[default]
    None,
    /// 64 buckets a series: for a line of text.
    Line,
    /// 512 buckets a series: for a page.
    Page,
}

impl PlotDetail {
    /// Buckets a series.
    const fn buckets(self) -> usize {
        match self {
            Self::None => 0,
            Self::Line => 64,
            Self::Page => 512,
        }
    }

    /// The most series that are drawn; later ones are counted only. Bounds the memory to about 100 MB.
    const fn series_max(self) -> usize {
        match self {
            Self::None => 0,
            Self::Line => 32_768,
            Self::Page => 4_096,
        }
    }
}

/// What is known of one series after a run.
#[derive(Clone, Debug)]
pub(crate) struct SeriesCount {
    /// Its model and kind, all versions together: a place in [`Collector::groups`].
    pub(crate) group: u32,
    /// Accepted events, missing values included.
    pub(crate) events: u64,
    /// Values among them.
    pub(crate) values: u64,
    pub(crate) first: Timestamp,
    pub(crate) latest: Timestamp,
    pub(crate) last: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    scaled_sum: f64,
    pub(crate) plot: Option<Box<Plot>>,
}

impl SeriesCount {
    /// Mean of the values.
    pub(crate) fn mean(&self) -> f64 {
        scaled_mean(self.scaled_sum, self.values, self.min, self.max)
    }
}

/// One kind of one model, all versions together.
#[derive(Clone, Copy, Debug)]
struct Group {
    model: u32,
    events: u64,
    /// Ordinal of its newest event that has left the ring; `None` while there is none.
    settled: Option<u64>,
}

/// One model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ModelCount {
    pub(crate) events: u64,
    /// The largest number of accepted events of any one kind.
    pub(crate) depth: u64,
    /// Of them, missing values.
    pub(crate) missing: u64,
    /// Whether any event was not newer than all before it in its series: only then some can be late or repeats.
    pub(crate) disordered: bool,
    /// Position at its newest event that has left the ring.
    settled: Option<u64>,
}

/// What the ring keeps of an event.
#[derive(Clone, Copy, Debug, Default)]
struct Spot {
    group: u32,
    ordinal: u64,
    position: u64,
}

/// Where a record stands in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Accepted events of the run before it.
    pub(crate) index: u64,
    /// Accepted events of its model and kind before it; the position when it has no kind.
    pub(crate) model_index: u64,
    /// Which prediction of the model it is: events of its most frequent kind so far, less one.
    pub(crate) position: u64,
}

/// The counts of a run.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) series: Vec<SeriesCount>,
    pub(crate) models: Vec<ModelCount>,
    groups: Vec<Group>,
    by_kind: HashMap<(u32, MetricKind), u32>,
    by_name: HashMap<ModelId, u32>,
    ring: Vec<Spot>,
    /// Index of the next event.
    next: u64,
    detail: PlotDetail,
}

impl Collector {
    /// Keeps at least `in_flight` events in its ring.
    pub(crate) fn new(in_flight: usize, detail: PlotDetail) -> Self {
        Self {
            series: Vec::new(),
            models: Vec::new(),
            groups: Vec::new(),
            by_kind: HashMap::new(),
            by_name: HashMap::new(),
            ring: vec![Spot::default(); in_flight.max(2).next_power_of_two()],
            next: 0,
            detail,
        }
    }

    /// Accepted events so far.
    pub(crate) fn events(&self) -> u64 {
        self.next
    }

    /// Makes room for a series, the next one of the table.
    pub(crate) fn add_series(&mut self, series: &Series) {
        let Series { model, kind, model_id, .. } = series;
        while self.models.len() <= *model as usize {
            self.models.push(ModelCount::default());
        }
        self.by_name.entry(model_id.clone()).or_insert(*model);
        let fresh = self.groups.len() as u32;
        let group = *self.by_kind.entry((*model, kind.clone())).or_insert(fresh);
        if group == fresh {
            self.groups.push(Group { model: *model, events: 0, settled: None });
        }
        let drawn = self.series.len() < self.detail.series_max();
        let plot = drawn.then(|| Box::new(Plot::new(self.detail.buckets(), smoothing(kind))));
        self.series.push(SeriesCount {
            group,
            events: 0,
            values: 0,
            first: Timestamp::EPOCH,
            latest: Timestamp::EPOCH,
            last: f64::NAN,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            scaled_sum: 0.0,
            plot,
        });
    }

    /// Counts one accepted event; `NaN` is a missing value.
    pub(crate) fn add(&mut self, series: u32, at: Timestamp, value: f64) {
        let Some(count) = self.series.get_mut(series as usize) else { return };
        let Some(group) = self.groups.get_mut(count.group as usize) else { return };
        let Some(model) = self.models.get_mut(group.model as usize) else { return };
        let ordinal = group.events;
        group.events += 1;
        model.events += 1;
        model.depth = model.depth.max(group.events);
        let spot = Spot { group: count.group, ordinal, position: model.depth - 1 };
        if count.events == 0 {
            (count.first, count.latest) = (at, at);
        } else if at <= count.latest {
            model.disordered = true;
        }
        count.events += 1;
        count.first = count.first.min(at);
        count.latest = count.latest.max(at);
        if value.is_nan() {
            model.missing += 1;
        } else {
            count.values += 1;
            count.last = value;
            count.min = count.min.min(value);
            count.max = count.max.max(value);
            count.scaled_sum += value * SUM_SCALE;
            if let Some(plot) = &mut count.plot {
                plot.add(spot.position, value);
            }
        }
        self.remember(spot);
    }

    /// Puts an event into the ring, folding the one that has to leave.
    fn remember(&mut self, spot: Spot) {
        let mask = self.ring.len() as u64 - 1;
        let full = self.next > mask;
        if let Some(slot) = self.ring.get_mut((self.next & mask) as usize) {
            let old = std::mem::replace(slot, spot);
            if full && let Some(group) = self.groups.get_mut(old.group as usize) {
                group.settled = Some(old.ordinal);
                if let Some(model) = self.models.get_mut(group.model as usize) {
                    model.settled = Some(old.position);
                }
            }
        }
        self.next += 1;
    }

    /// Finds where a record stands. Its offset is the index of its event, as offsets begin at 0; one that a
    /// timer led to carries the offset of the last event before it.
    pub(crate) fn place(&self, record: &ActionRecord) -> Place {
        let index = record.id.offset;
        let model = self.by_name.get(&record.id.model_id).copied();
        let group = match (model, &record.kind) {
            (Some(model), Some(kind)) => self.by_kind.get(&(model, kind.clone())).copied(),
            _ => None,
        };
        let mut place = Place { index, model_index: 0, position: 0 };
        let Some(model) = model else { return place };
        let of_model = |spot: &Spot| self.groups.get(spot.group as usize).is_some_and(|g| g.model == model);
        let settled = || self.models.get(model as usize).and_then(|m| m.settled).unwrap_or(0);
        place.position = self.newest(index, of_model).map_or_else(settled, |spot| spot.position);
        place.model_index = match group {
            None => place.position,
            Some(group) => {
                let settled = || self.groups.get(group as usize).and_then(|g| g.settled).unwrap_or(0);
                self.newest(index, |spot| spot.group == group).map_or_else(settled, |spot| spot.ordinal)
            }
        };
        place
    }

    /// The newest event of the ring, at `index` or before, that is wanted.
    fn newest(&self, index: u64, wanted: impl Fn(&Spot) -> bool) -> Option<Spot> {
        let mask = self.ring.len() as u64 - 1;
        let oldest = self.next.saturating_sub(self.ring.len() as u64);
        (oldest..self.next.min(index + 1))
            .rev()
            .filter_map(|at| self.ring.get((at & mask) as usize).copied())
            .find(|spot| wanted(spot))
    }
}

/// The smoothing of the moving average that is drawn: 0.2, as observers use, for what is already a share over
/// a window; 0.02 for single predictions.
fn smoothing(kind: &MetricKind) -> f64 {
    match kind {
        MetricKind::Accuracy
        | MetricKind::Precision
        | MetricKind::Recall
        | MetricKind::F1
        | MetricKind::ErrorRate
        | MetricKind::DriftScore
        | MetricKind::Throughput => 0.2,
        _ => 0.02,
    }
}
