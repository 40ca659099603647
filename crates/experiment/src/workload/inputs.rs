//! Histories laid into tensors.

use super::{History, Needs, OutOfReach, Request, TooShort, Workload, entropy, histories};
use crate::data::{DataError, Opened};
use crate::tensors::DoesNotFit;
use attention::accuracy::RowSample;
use attention::mask::Mask;
use attention::{Geometry, Problem, Workers};
use ndarray::{Array3, Array4, ArrayView4, ArrayViewMut3, Axis};
use std::sync::Arc;

/// Everything that inputs depend on.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// What they are made of.
    pub workload: &'static Workload,
    /// Seed of the experiment.
    pub seed: u64,
    /// Sizes; `nk` is that of the longest history.
    pub shape: attention::Shape,
    /// Length of each history, `[B]`.
    pub lengths: Vec<usize>,
    /// User of each history, where they are a log's.
    pub users: Vec<usize>,
    /// Problem mask, without the padding.
    pub mask: Mask,
    /// η to tune to.
    pub entropy: Option<f64>,
    /// Rows that η is measured on.
    pub rows: usize,
}

/// Why inputs cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// No factor on Q gives the entropy.
    #[error(transparent)]
    OutOfReach(#[from] OutOfReach),
    /// The log has no histories of that length.
    #[error(transparent)]
    TooShort(#[from] TooShort),
    /// The tensors have not such sizes.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The log or the tensors, or embeddings.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Tensors and mask do not fit.
    #[error(transparent)]
    Problem(#[from] attention::Error),
}

/// Q, K and V of a batch, history by history.
#[derive(Debug, Clone)]
pub struct Inputs {
    histories: Vec<History>,
    mask: Mask,
    rows: usize,
    seed: u64,
}

/// A batch laid out: what a [`Problem`] borrows.
#[derive(Debug, Clone)]
pub struct Batch {
    q: Array4<f32>,
    k: Array4<f32>,
    v: Array4<f32>,
    mask: Mask,
    offsets: Option<Offsets>,
}

/// Where each history starts along the token axis, `[B + 1]`.
#[derive(Debug, Clone)]
struct Offsets {
    q: Arc<[usize]>,
    k: Arc<[usize]>,
}

impl Inputs {
    /// Makes them; `log` is needed by workloads that read it. The same bits for any number of workers.
    ///
    /// # Errors
    /// [`InputError`], where the entropy or the length is out of reach.
    pub fn make(spec: &InputSpec, opened: &Opened, workers: &Workers) -> Result<Self, InputError> {
        let shape = spec.shape;
        let log = opened.log.as_ref();
        if let (Needs::Log, Some(log)) = (spec.workload.needs, log) {
            histories::prepare(log, shape.hkv, shape.d, shape.dv)?;
        }
        let requests = spec
            .lengths
            .iter()
            .enumerate()
            .map(|(history, &nk)| Request {
                seed: spec.seed,
                history,
                h: shape.h,
                hkv: shape.hkv,
                // Histories of different length have as many queries as keys.
                nq: if shape.nq == shape.nk { nk } else { shape.nq },
                nk,
                d: shape.d,
                dv: shape.dv,
                log: log.zip(spec.users.get(history).copied()),
                tensors: opened.tensors.as_ref(),
            });
        let made = workers
            .map(requests.collect(), |request| {
                (spec.workload.generate)(&request)
            })
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let mut inputs = Self {
            histories: made,
            mask: spec.mask.clone(),
            rows: spec.rows,
            seed: spec.seed,
        };
        if let Some(target) = spec.entropy {
            let batch = inputs.jagged();
            let tuned = entropy::tune(&batch.problem()?, &inputs.sample()?, target, workers)?;
            let factor = tuned.factor as f32;
            inputs
                .histories
                .iter_mut()
                .for_each(|history| history.q *= factor);
        }
        Ok(inputs)
    }

    /// The rows on which accuracy and entropy are measured: never those of padding, and the same ones
    /// in either layout.
    ///
    /// # Errors
    /// Those of [`Batch::problem`].
    pub fn sample(&self) -> Result<RowSample, InputError> {
        let geometry = self.geometry_of_rows()?;
        Ok(RowSample::seeded(
            &geometry,
            self.rows,
            crate::hash::seed(self.seed, "sampled rows"),
        ))
    }

    fn geometry_of_rows(&self) -> Result<Geometry, InputError> {
        let Offsets { q, k } = self.offsets();
        let (h, _, d) = self.histories.first().map_or((1, 0, 1), |x| x.q.dim());
        let shape = attention::Shape {
            b: self.histories.len(),
            h,
            hkv: h,
            nq: q.last().copied().unwrap_or(0),
            nk: k.last().copied().unwrap_or(0),
            d,
            dv: d,
        };
        Ok(Geometry::jagged(shape, q, k, Mask::full())?)
    }

    fn offsets(&self) -> Offsets {
        let sums = |length: fn(&History) -> usize| {
            let running = self.histories.iter().scan(0, |sum, history| {
                *sum += length(history);
                Some(*sum)
            });
            std::iter::once(0).chain(running).collect::<Vec<_>>().into()
        };
        Offsets {
            q: sums(|x| x.q.len_of(Axis(1))),
            k: sums(|x| x.k.len_of(Axis(1))),
        }
    }

    /// End to end.
    #[must_use]
    pub fn jagged(&self) -> Batch {
        Batch {
            q: end_to_end(self.histories.iter().map(|x| &x.q)),
            k: end_to_end(self.histories.iter().map(|x| &x.k)),
            v: end_to_end(self.histories.iter().map(|x| &x.v)),
            mask: self.mask.clone(),
            offsets: Some(self.offsets()),
        }
    }

    /// One history a batch entry; zeros behind the shorter ones, and key lengths in the mask.
    #[must_use]
    pub fn padded(&self) -> Batch {
        let lengths: Vec<usize> = self.histories.iter().map(|x| x.k.len_of(Axis(1))).collect();
        let alike = lengths.windows(2).all(|pair| pair[0] == pair[1]);
        let mask = self.mask.clone();
        Batch {
            q: side_by_side(self.histories.iter().map(|x| &x.q)),
            k: side_by_side(self.histories.iter().map(|x| &x.k)),
            v: side_by_side(self.histories.iter().map(|x| &x.v)),
            mask: if alike {
                mask
            } else {
                mask.and(&Mask::key_lengths(lengths))
            },
            offsets: None,
        }
    }

    /// A checksum of Q, K and V.
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for tensor in self.histories.iter().flat_map(|x| [&x.q, &x.k, &x.v]) {
            let bytes: Vec<u8> = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Batch {
    /// Q `[B, H, Nq, D]`, jagged `[1, H, ΣNq, D]`.
    #[must_use]
    pub fn queries(&self) -> ArrayView4<'_, f32> {
        self.q.view()
    }

    /// The problem.
    ///
    /// # Errors
    /// [`InputError::Problem`] where the mask does not fit.
    pub fn problem(&self) -> Result<Problem<'_>, InputError> {
        let (q, k, v) = (self.q.view(), self.k.view(), self.v.view());
        let problem = match &self.offsets {
            None => Problem::new(q, k, v)?,
            Some(at) => Problem::jagged(q, k, v, at.q.clone(), at.k.clone())?,
        };
        Ok(problem.with_mask(self.mask.clone())?)
    }
}

fn put(history: &Array3<f32>, start: usize, mut tensor: ArrayViewMut3<'_, f32>) {
    let tokens = start..start + history.len_of(Axis(1));
    tensor
        .slice_axis_mut(Axis(1), tokens.into())
        .assign(history);
}

fn end_to_end<'h>(histories: impl Iterator<Item = &'h Array3<f32>> + Clone) -> Array4<f32> {
    let tokens = histories.clone().map(|x| x.len_of(Axis(1))).sum();
    let (heads, features) = histories
        .clone()
        .next()
        .map_or((1, 0), |x| (x.dim().0, x.dim().2));
    let mut tensor = Array4::zeros((1, heads, tokens, features));
    let mut start = 0;
    for history in histories {
        put(history, start, tensor.index_axis_mut(Axis(0), 0));
        start += history.len_of(Axis(1));
    }
    tensor
}

fn side_by_side<'h>(histories: impl Iterator<Item = &'h Array3<f32>> + Clone) -> Array4<f32> {
    let longest = histories
        .clone()
        .map(|x| x.len_of(Axis(1)))
        .max()
        .unwrap_or(0);
    let (heads, features) = histories
        .clone()
        .next()
        .map_or((1, 0), |x| (x.dim().0, x.dim().2));
    let mut tensor = Array4::zeros((histories.clone().count(), heads, longest, features));
    for (entry, history) in tensor.axis_iter_mut(Axis(0)).zip(histories) {
        put(history, 0, entry);
    }
    tensor
}
