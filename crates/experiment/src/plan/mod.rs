//! What a run will do, before it does it: groups, cells, memory, time, and what cannot be had.

mod cell;
mod estimate;
mod filter;
mod group;

pub use cell::{Cell, Verdict};
pub use estimate::Estimate;
pub use filter::{FIELDS, Filter, FilterError};
pub use group::{Group, GroupSpec};

use crate::config::{Config, Layout, MaskSpec, Padding};
use crate::context::Context;
use crate::data::{DataError, Log, Opened};
use crate::pass::Pass;
use crate::tensors::Qkv;
use crate::workload::{self, Needs, Workload};
use attention::Shape;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The log or the tensors cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Nothing is left.
    #[error(
        "no cell matches the filter `{filter}`: the experiment has {groups} groups; leave a condition out"
    )]
    NothingMatches {
        /// The filter.
        filter: String,
        /// Groups before it.
        groups: usize,
    },
}

/// Everything that a run will do, in its order.
#[derive(Debug)]
pub struct Plan {
    /// The experiment.
    pub config: Config,
    /// Cells that are timed together, in the order in which they run.
    pub groups: Vec<Group>,
    /// Hash of resolved config, data, code and machine, and of the choice of variants where a filter
    /// made one: names the folder of the results.
    pub identity: String,
    /// What the groups read.
    pub opened: Opened,
}

impl Plan {
    /// Lays out every group of the axes' cross product, or those that a filter keeps.
    ///
    /// Reads or simulates the log where one is used, and reads tensors. Cost: for each cell that of its variant's cost
    /// model, at most O(pairs) tests for irregular patterns.
    ///
    /// # Errors
    /// [`PlanError`], where log or tensors cannot be read or no cell is left.
    pub fn new(
        config: &Config,
        context: &Context,
        filter: Option<&Filter>,
    ) -> Result<Self, PlanError> {
        let opened = Opened::new(config)?;
        let points = points(config, opened.tensors.as_ref());
        let total = points.len();
        let selects_variants = filter.is_some_and(Filter::selects_variants);
        let mut groups = Vec::new();
        for point in points {
            let spec = point.resolve(config, &opened);
            let group = Group::lay_out(spec, config, context);
            if let Some(group) = group.filtered(filter) {
                groups.push(group);
            }
        }
        if let (true, Some(filter)) = (groups.is_empty(), filter) {
            return Err(PlanError::NothingMatches {
                filter: filter.to_string(),
                groups: total,
            });
        }
        let chosen = filter
            .filter(|_| selects_variants)
            .map(Filter::variant_part)
            .unwrap_or_default();
        // Prose is no part of what is measured.
        let measured = Config {
            question: String::new(),
            ..config.clone()
        };
        let resolved = serde_json::to_string(&measured).unwrap_or_default();
        let code = &context.code.identity;
        let identity = crate::hash::short([
            &resolved,
            &opened.checksum(),
            code,
            &context.fingerprint,
            &chosen,
        ]);
        Ok(Self {
            config: config.clone(),
            groups,
            identity,
            opened,
        })
    }

    /// Cells of all groups.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.groups.iter().map(|g| g.cells.len()).sum()
    }

    /// Predicted time of the whole run, in seconds: an order of magnitude.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.groups.iter().map(|g| g.seconds).sum()
    }
}

/// One combination of the axes.
struct Point {
    workload: &'static Workload,
    entropy: Option<f64>,
    shape: Shape,
    mask: MaskSpec,
    padding: Padding,
    layout: Layout,
    pass: Pass,
    threads: usize,
}

/// The cross product, the axes in the order of the config's keys, the first varying slowest.
/// Sizes that are left out are those of the tensors, where there are any.
fn points(config: &Config, tensors: Option<&Qkv>) -> Vec<Point> {
    let axes = &config.problem;
    let or = |list: &[usize], default: usize| {
        if list.is_empty() {
            vec![default]
        } else {
            list.to_vec()
        }
    };
    let entropies: Vec<Option<f64>> = match config.inputs.entropy.as_slice() {
        [] => vec![None],
        targets => targets.iter().copied().map(Some).collect(),
    };
    let theirs = tensors.map_or(Shape::square(1, 1, 1, 1), |tensors| *tensors.shape());
    let mut shapes = Vec::new();
    for &nk in &axes.length {
        for nq in or(&axes.queries, nk) {
            for d in or(&axes.head_dimension, theirs.d) {
                for dv in or(&axes.value_dimension, tensors.map_or(d, |_| theirs.dv)) {
                    for b in or(&axes.batch, theirs.b) {
                        for h in or(&axes.heads, theirs.h) {
                            for hkv in or(&axes.key_heads, tensors.map_or(h, |t| t.key_heads(h))) {
                                shapes.push(Shape {
                                    b,
                                    h,
                                    hkv,
                                    nq,
                                    nk,
                                    d,
                                    dv,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    let mut points = Vec::new();
    let workloads = config
        .inputs
        .workload
        .iter()
        .filter_map(|name| workload::find(name));
    for workload in workloads {
        for &entropy in &entropies {
            for &shape in &shapes {
                for &mask in &axes.mask {
                    for &padding in &axes.padding {
                        for &layout in &axes.layout {
                            for &pass in &axes.pass {
                                for &threads in &axes.threads {
                                    points.push(Point {
                                        workload,
                                        entropy,
                                        shape,
                                        mask,
                                        padding,
                                        layout,
                                        pass,
                                        threads,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    points
}

impl Point {
    fn resolve(self, config: &Config, opened: &Opened) -> GroupSpec {
        let Shape { b, nk, .. } = self.shape;
        let needs = self.workload.needs;
        let wants_users = needs == Needs::Log || self.padding == Padding::Log;
        let log = opened.log.as_ref().filter(|_| wants_users);
        let tensors = opened.tensors.as_ref().filter(|_| needs == Needs::Tensors);
        let users = match log {
            Some(log) => workload::users_for(log, config.seed, nk, b, self.padding)
                .map_err(|e| e.to_string()),
            None => Ok(Vec::new()),
        };
        let lengths = match (self.padding, log, &users) {
            (Padding::Lognormal(sigma), ..) => group::lognormal_lengths(config.seed, sigma, b, nk),
            (Padding::Log, Some(log), Ok(users)) => workload::lengths_of_log(log, users, nk),
            _ => vec![nk; b],
        };
        let read = (
            log.map(|log| log.interactions().checksum()),
            tensors.map(Qkv::checksum),
        );
        let data = match read {
            (Some(log), Some(tensors)) => crate::hash::short([log, tensors]),
            (Some(one), None) | (None, Some(one)) => one.to_owned(),
            (None, None) => {
                crate::hash::short(["generator", self.workload.name, self.workload.source])
            }
        };
        let origin = match needs {
            Needs::Nothing => None,
            Needs::Log => log.map(Log::label),
            Needs::Tensors => tensors.map(Qkv::label),
        };
        let label = match origin {
            Some(origin) => format!("{} ({origin})", self.workload.label),
            None => self.workload.label.to_owned(),
        };
        let (users, too_short) = match users {
            Ok(users) => (users, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let misfit = tensors.and_then(|tensors| tensors.holds(&self.shape).err());
        let impossible = misfit.map(|misfit| misfit.to_string()).or(too_short);
        GroupSpec {
            workload: self.workload,
            label,
            data,
            entropy: self.entropy,
            shape: self.shape,
            mask: self.mask,
            padding: self.padding,
            layout: self.layout,
            pass: self.pass,
            threads: self.threads,
            lengths,
            users,
            impossible,
        }
    }
}
