//! Whether skipping pairs saves the time it should, and what it costs.

use super::axis::{Axis, share_ticks, sparsity_ticks};
use super::entropy::{skill, skill_axis};
use super::layout::{Layout, heading};
use super::lines::{Estimate, Guide, Line, LinePanel, Sample, draw_panels};
use super::scene::Scene;
use super::style::Styles;
use super::{Drawing, note};
use crate::numbers::{percent, significant};
use crate::order::natural;
use crate::settings::{Setting, Settings, is_exact};
use experiment::record::Record;

/// Settings drawn; each takes two panels.
const MOST_SETTINGS: usize = 3;

/// A variant name whose records in one setting differ in mask sparsity, and what they are relative to.
struct Sweep<'a> {
    records: Vec<&'a Record>,
    dense: &'a Record,
}

fn computed(record: &Record) -> f64 {
    1.0 - record.mask_sparsity
}

fn time(record: &Record) -> Option<f64> {
    record.latency.as_ref().map(|l| l.median_ms)
}

/// The dense exact variant to compare with: `blocked` if it ran, else the fastest.
fn dense<'a>(setting: &Setting<'a>) -> Option<&'a Record> {
    setting.measured().filter(|r| is_exact(r)).min_by(|a, b| {
        let other = |r: &Record| r.variant.name != "blocked";
        let order = other(a).cmp(&other(b));
        order.then_with(|| {
            time(a)
                .unwrap_or(f64::MAX)
                .total_cmp(&time(b).unwrap_or(f64::MAX))
        })
    })
}

fn sweeps<'a>(setting: &Setting<'a>) -> Vec<Sweep<'a>> {
    let reference = dense(setting);
    let mut rows: Vec<&Record> = setting
        .measured()
        .filter(|r| (0.0..1.0).contains(&r.mask_sparsity))
        .collect();
    rows.sort_by(|a, b| {
        natural(&a.variant.name, &b.variant.name)
            .then_with(|| a.mask_sparsity.total_cmp(&b.mask_sparsity))
            .then_with(|| natural(&a.variant.label, &b.variant.label))
    });
    rows.chunk_by(|a, b| a.variant.name == b.variant.name)
        .filter_map(|group| {
            let ends = (group.first()?.mask_sparsity, group.last()?.mask_sparsity);
            let own = group.iter().find(|r| r.mask_sparsity == 0.0).copied();
            let dense = own.or(reference)?;
            (ends.0 < ends.1).then(|| Sweep {
                records: group.to_vec(),
                dense,
            })
        })
        .collect()
}

fn lines(
    sweeps: &[Sweep],
    styles: &Styles,
    value: impl Fn(&Record, &Record) -> Option<Estimate>,
) -> Vec<Line> {
    sweeps
        .iter()
        .map(|sweep| Line {
            label: sweep.records[0].variant.name.clone(),
            style: styles.get(sweep.records[0]),
            crossed: None,
            samples: sweep
                .records
                .iter()
                .filter_map(|r| {
                    let (y, interval) = value(r, sweep.dense)?;
                    Some(Sample {
                        x: computed(r),
                        y,
                        interval,
                        note: format!("{}\n{}", note(r), skipping(r, sweep.dense)),
                    })
                })
                .collect(),
        })
        .filter(|line| !line.samples.is_empty())
        .collect()
}

/// Mask sparsity, and the skip efficiency: measured speed-up over the ideal one.
fn skipping(record: &Record, dense: &Record) -> String {
    let sparsity = format!("mask sparsity {}", percent(record.mask_sparsity));
    match relative(record, dense) {
        Some((share, _)) => {
            let efficiency = percent(computed(record) / share);
            format!("{sparsity}, skip efficiency {efficiency}")
        }
        None => sparsity,
    }
}

/// Time relative to the dense variant's, with the interval of the ratio.
fn relative(record: &Record, dense: &Record) -> Option<Estimate> {
    if record.cell == dense.cell {
        return Some((1.0, None));
    }
    let ratio = crate::speedup::speedup(record, dense)?;
    (ratio.median > 0.0 && ratio.interval.0 > 0.0).then_some((ratio.median, Some(ratio.interval)))
}

/// Draws the chart; `None` where no variant was measured at two mask sparsities.
pub(crate) fn draw(settings: &Settings, styles: &Styles, layout: Layout) -> Option<Drawing> {
    let mut chosen: Vec<(&Setting, Vec<Sweep>)> = Vec::new();
    let mut total = 0;
    for (_, list) in settings.by_condition() {
        let found: Vec<(&Setting, Vec<Sweep>)> = list
            .into_iter()
            .map(|s| (s, sweeps(s)))
            .filter(|(_, sweeps)| !sweeps.is_empty())
            .collect();
        total += found.len();
        // The longest history is where skipping matters.
        chosen.extend(found.into_iter().next_back());
    }
    chosen.truncate(MOST_SETTINGS);
    let (setting, first) = chosen.first()?;
    let title = title(&settings.condition_label(&setting.condition), first);
    let mut panels = Vec::new();
    for (setting, sweeps) in &chosen {
        let label = settings.setting_label(setting);
        let times = lines(sweeps, styles, relative);
        let skills = lines(sweeps, styles, |r, _| Some((skill(r)?, None)));
        let shares: Vec<f64> = sweeps
            .iter()
            .flat_map(|s| s.records.iter().map(|r| computed(r)))
            .chain([1.0])
            .collect();
        let x = Axis::log(&shares, "mask sparsity σ", |_, _| Vec::new())?;
        let (low, high) = x.ends();
        let mut x = x.reversed();
        x.ticks = sparsity_ticks(low, high);
        let least = shares.iter().copied().fold(1.0, f64::min);
        let values: Vec<f64> = times
            .iter()
            .flat_map(|l| &l.samples)
            .map(|s| s.y)
            .chain([1.0, least])
            .collect();
        panels.push(LinePanel {
            title: format!("Time: {label}"),
            x: x.clone(),
            y: Axis::log(&values, "time relative to dense   ↓ better", share_ticks)?,
            lines: times,
            guides: vec![Guide::dashed(
                vec![(1.0, 1.0), (least, least)],
                "ideal 1 - σ",
            )],
        });
        if !skills.is_empty() {
            panels.push(LinePanel {
                title: format!("Skill: {label}"),
                x,
                y: skill_axis(skills.iter().flat_map(|l| &l.samples).map(|s| s.y)),
                lines: skills,
                guides: Vec::new(),
            });
        }
    }
    let mut subtitle = settings.shared();
    if total > chosen.len() {
        subtitle += &format!(
            " · {} of {total} settings drawn, the longest of each",
            chosen.len()
        );
    }
    subtitle += " · relative to the same variant without sparsity, else to dense exact attention";
    let mut scene = Scene::new(layout.width);
    let top = heading(&mut scene, &title, &subtitle);
    scene.height = draw_panels(&mut scene, panels, layout, 2, top);
    Some(Drawing { scene, title })
}

/// A cell against what skipping should have saved.
struct Saving<'a> {
    record: &'a Record,
    /// Time, and operations, relative to dense.
    time: f64,
    work: f64,
}

impl<'a> Saving<'a> {
    fn of(record: &'a Record, dense: &Record) -> Option<Self> {
        let (time, _) = relative(record, dense)?;
        let work = record.cost.flops as f64 / dense.cost.flops as f64;
        Some(Saving { record, time, work })
    }

    /// Measured speed-up over the ideal one.
    fn efficiency(&self) -> f64 {
        computed(self.record) / self.time
    }

    fn skill(&self) -> f64 {
        skill(self.record).unwrap_or(f64::NEG_INFINITY)
    }

    /// `10 % of the dense time (ideal 3.1 %)`, and at which skill.
    fn words(&self, of: &str, ideal: bool) -> String {
        let skill = skill(self.record)
            .map(|s| format!(" at skill {}", significant(s, 2)))
            .unwrap_or_default();
        let ideal = if ideal {
            format!(
                " (ideal {} %)",
                significant(100.0 * computed(self.record), 2)
            )
        } else {
            String::new()
        };
        format!("{} %{of}{ideal}{skill}", significant(100.0 * self.time, 2))
    }
}

/// Which variant comes nearest to the ideal at its sparsest, and where the best of the others stands when
/// about as sparse.
fn title(setting: &str, sweeps: &[Sweep]) -> String {
    let sparsest = sweeps
        .iter()
        .filter_map(|s| Saving::of(s.records.last()?, s.dense));
    let Some(nearest) = sparsest.max_by(|a, b| a.efficiency().total_cmp(&b.efficiency())) else {
        return "Does skipping pairs save the time it should?".into();
    };
    let sparsity = nearest.record.mask_sparsity;
    let about_as_sparse = sweeps
        .iter()
        .filter(|s| s.records[0].variant.name != nearest.record.variant.name)
        .filter_map(|s| {
            let distance = |r: &Record| (computed(r).ln() - (1.0 - sparsity).ln()).abs();
            let closest = s
                .records
                .iter()
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
            Saving::of(closest, s.dense)
        });
    let mut title = format!(
        "{}{} at {} sparsity takes {}",
        if setting.is_empty() {
            String::new()
        } else {
            format!("{setting}: ")
        },
        nearest.record.variant.label,
        percent(sparsity).replace(".0 ", " "),
        nearest.words(" of the dense time", true)
    );
    if let Some(other) = about_as_sparse.max_by(|a, b| a.skill().total_cmp(&b.skill())) {
        let at = percent(other.record.mask_sparsity).replace(".0 ", " ");
        let at = if at == percent(sparsity).replace(".0 ", " ") {
            String::new()
        } else {
            format!(" at {at}")
        };
        // A count of operations well above the share of pairs: finding what to skip is work as well.
        let still = if other.work > 2.0 * computed(other.record) {
            format!(
                ", which still does {} % of the work,",
                significant(100.0 * other.work, 2)
            )
        } else {
            String::new()
        };
        title += &format!(
            "; {}{at}{still} takes {}",
            other.record.variant.label,
            other.words("", !at.is_empty())
        );
    }
    title
}

/// How to read the chart.
pub(crate) const READING: &str = "Panels of time: what is left of it as pairs are skipped, both axes logarithmic, the lower one in the \
     share that is still computed. The dashed line is the ideal, time in proportion to the work; the gap above it \
     is overhead. Panels of skill: what the skipped pairs cost in skill, on the same inputs. Mask sparsity is \
     the share of pairs not computed; it says nothing of how much weight those pairs held.";
