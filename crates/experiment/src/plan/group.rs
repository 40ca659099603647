//! Cells that share inputs and threads, and are timed together.

use super::cell::Cell;
use super::filter::Filter;
use super::{Verdict, estimate};
use crate::config::{Config, Layout, MaskSpec, Padding};
use crate::context::Context;
use crate::pass::Pass;
use crate::workload::{InputSpec, Workload};
use attention::mask::Mask;
use attention::{Geometry, Shape};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// What the cells of a group share.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// What the inputs are made of.
    pub workload: &'static Workload,
    /// For people: `histories (simulated shop)`, `tensors (qkv.safetensors)`.
    pub label: String,
    /// Checksum of what is read, or of the generator.
    pub data: String,
    /// η to tune to.
    pub entropy: Option<f64>,
    /// Sizes; Nk is that of the longest history.
    pub shape: Shape,
    /// The problem mask.
    pub mask: MaskSpec,
    /// How history lengths vary.
    pub padding: Padding,
    /// How histories lie in the tensors.
    pub layout: Layout,
    /// What a call computes.
    pub pass: Pass,
    /// Worker threads.
    pub threads: usize,
    /// Length of each history.
    pub lengths: Vec<usize>,
    /// User of each history, where they are a log's.
    pub users: Vec<usize>,
    /// Why the log or the tensors cannot give such inputs.
    pub impossible: Option<String>,
}

/// Cells that are timed together.
#[derive(Debug, Clone)]
pub struct Group {
    /// Hash of its cells.
    pub id: String,
    /// What they share.
    pub spec: GroupSpec,
    /// The cells, in the registry's order.
    pub cells: Vec<Cell>,
    /// Predicted time, in seconds.
    pub seconds: f64,
}

impl GroupSpec {
    /// Sizes, layout and mask as a kernel will see them.
    ///
    /// # Errors
    /// [`attention::Error`] where the mask does not fit.
    pub fn geometry(&self) -> attention::Result<Geometry> {
        let mask = self.mask.build();
        match self.layout {
            Layout::Padded => {
                let alike = self.lengths.iter().all(|n| *n == self.shape.nk);
                let lengths = self.lengths.clone();
                Geometry::padded(
                    self.shape,
                    if alike {
                        mask
                    } else {
                        mask.and(&Mask::key_lengths(lengths))
                    },
                )
            }
            Layout::Jagged => {
                let offsets = |of: fn(&Self, usize) -> usize| -> Arc<[usize]> {
                    let running = self.lengths.iter().scan(0, |sum, n| {
                        *sum += of(self, *n);
                        Some(*sum)
                    });
                    std::iter::once(0).chain(running).collect::<Vec<_>>().into()
                };
                let q = offsets(|s, n| {
                    if s.shape.nq == s.shape.nk {
                        n
                    } else {
                        s.shape.nq
                    }
                });
                let k = offsets(|_, n| n);
                let (nq, nk) = (q[self.lengths.len()], k[self.lengths.len()]);
                Geometry::jagged(
                    Shape {
                        nq,
                        nk,
                        ..self.shape
                    },
                    q,
                    k,
                    mask,
                )
            }
        }
    }

    /// What the inputs depend on.
    #[must_use]
    pub fn inputs(&self, config: &Config) -> InputSpec {
        InputSpec {
            workload: self.workload,
            seed: config.seed,
            shape: self.shape,
            lengths: self.lengths.clone(),
            users: self.users.clone(),
            mask: self.mask.build(),
            entropy: self.entropy,
            rows: config.accuracy.rows,
        }
    }

    /// The problem mask in words: `causal + lengths`.
    #[must_use]
    pub fn mask_in_words(&self) -> String {
        let alike = self.lengths.iter().all(|n| *n == self.shape.nk);
        let mask = self.mask.to_string();
        match (alike, mask.as_str()) {
            (true, _) => mask,
            (false, "full") => "lengths".into(),
            (false, _) => format!("{mask} + lengths"),
        }
    }

    /// Everything but pass and threads: what the inputs and their oracle are kept by.
    #[must_use]
    pub fn key(&self, config: &Config) -> String {
        let Self {
            workload,
            data,
            entropy,
            shape,
            mask,
            padding,
            layout,
            ..
        } = self;
        format!(
            "{} {data} η={entropy:?} {shape} {mask} {padding} {layout} seed={} rows={}",
            workload.name, config.seed, config.accuracy.rows
        )
    }

    /// For progress lines: `interest clusters, η = 0.1, N = 1024, 2 threads`.
    #[must_use]
    pub fn title(&self, axes: &crate::config::Axes) -> String {
        let Shape {
            b, h, nq, nk, d, ..
        } = self.shape;
        let mut parts = vec![self.label.clone()];
        let mut say = |wanted: bool, text: String| parts.extend(wanted.then_some(text));
        say(
            self.entropy.is_some(),
            format!("η = {}", self.entropy.unwrap_or_default()),
        );
        say(true, format!("N = {nk}"));
        say(nq != nk, format!("{nq} queries"));
        say(axes.head_dimension.len() > 1, format!("D = {d}"));
        say(axes.batch.len() > 1, format!("B = {b}"));
        say(axes.heads.len() > 1, format!("H = {h}"));
        say(axes.mask.len() > 1, self.mask.to_string());
        say(axes.padding.len() > 1, format!("padding {}", self.padding));
        say(axes.layout.len() > 1, self.layout.to_string());
        say(axes.pass != [Pass::Forward], self.pass.to_string());
        say(
            true,
            format!(
                "{} thread{}",
                self.threads,
                if self.threads == 1 { "" } else { "s" }
            ),
        );
        parts.join(", ")
    }
}

impl Group {
    pub(super) fn lay_out(spec: GroupSpec, config: &Config, context: &Context) -> Self {
        let choices = config.choices();
        let geometry = spec.geometry();
        let visible = geometry.as_ref().map_or(0, Geometry::visible_pairs);
        let cells: Vec<Cell> = choices
            .iter()
            .map(|choice| match &geometry {
                Ok(geometry) => Cell::lay_out(choice, &spec, (geometry, visible), config, context),
                Err(error) => Cell::without_geometry(choice, &spec, error, config, context),
            })
            .collect();
        Self {
            id: String::new(),
            spec,
            cells,
            seconds: 0.0,
        }
        .sealed(config)
    }

    fn sealed(mut self, config: &Config) -> Self {
        self.id = crate::hash::short(
            std::iter::once("group").chain(self.cells.iter().map(|c| c.id.as_str())),
        );
        self.seconds = estimate::group_seconds(&self, config);
        self
    }

    /// The group with the cells that a filter keeps; `None` without any.
    pub(super) fn filtered(mut self, filter: Option<&Filter>) -> Option<Self> {
        let Some(filter) = filter else {
            return Some(self);
        };
        if !filter.keeps_group(&self.spec) {
            return None;
        }
        let before = self.cells.len();
        self.cells.retain(|cell| filter.keeps_cell(cell));
        if self.cells.is_empty() {
            return None;
        }
        if self.cells.len() < before {
            self.seconds *= self.cells.len() as f64 / before as f64;
            self.id = crate::hash::short(
                std::iter::once("group").chain(self.cells.iter().map(|c| c.id.as_str())),
            );
        }
        Some(self)
    }

    /// Whether any of its cells will run.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.cells
            .iter()
            .any(|cell| matches!(cell.verdict, Verdict::Run))
    }
}

/// Log-normal lengths of which the longest is `longest`.
pub(super) fn lognormal_lengths(seed: u64, sigma: f64, batch: usize, longest: usize) -> Vec<usize> {
    let mut rng = crate::hash::stream(seed, "lengths", &[]);
    let drawn: Vec<f64> = (0..batch)
        .map(|_| {
            let z: f64 = StandardNormal.sample(&mut rng);
            (sigma * z).exp()
        })
        .collect();
    let most = drawn.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    drawn
        .iter()
        .map(|x| ((longest as f64 * x / most).round() as usize).clamp(1, longest))
        .collect()
}
