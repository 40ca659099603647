//! Q, K, V, dO and the mask of a cell, from its seed.

use crate::cells::Spec;
use attention::mask::{Alignment, BlockMask, Mask};
use attention::{Geometry, Problem, Tensors};
use ndarray::{Array4, Axis, concatenate, s};
use peers::Dtype;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::error::Error;
use std::sync::Arc;

/// Side of the tiles of a block mask.
const BLOCK: usize = 128;

/// The tensors of one cell: standard normal, which leaves the attention of each query spread out.
pub(crate) struct Inputs {
    /// `[B, H, Nq, D]`.
    pub(crate) q: Array4<f32>,
    /// `[B, H, Nk, D]`.
    pub(crate) k: Array4<f32>,
    /// `[B, H, Nk, D]`.
    pub(crate) v: Array4<f32>,
    /// `[B, H, Nq, D]`.
    pub(crate) d_o: Array4<f32>,
    pub(crate) mask: Mask,
    /// What the variant needs beside them, as it begins.
    tensors: Tensors,
    /// Lengths of the histories, where they differ.
    pub(crate) lengths: Option<Vec<usize>>,
}

/// Histories end to end: Q, K, V `[1, H, ΣN, D]` and offsets `[B + 1]`.
pub(crate) struct Jagged {
    pub(crate) q: Array4<f32>,
    pub(crate) k: Array4<f32>,
    pub(crate) v: Array4<f32>,
    pub(crate) offsets: Arc<[usize]>,
}

impl Inputs {
    /// Draws them.
    pub(crate) fn draw(spec: &Spec, seed: u64) -> Result<Self, Box<dyn Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut n = (spec.nq, spec.nk);
        let mut words = spec.mask.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let mut number = || -> Result<f64, Box<dyn Error>> {
            let word = words.next().ok_or("a mask lacks a number")?;
            Ok(word.parse()?)
        };
        let mut lengths = None;
        let mask = match kind {
            "full" => Mask::full(),
            "causal" => Mask::causal(Alignment::TopLeft),
            "blocks" => {
                let density = 1.0 - number()?;
                Mask::blocks(BlockMask::random(n.0, n.1, BLOCK, density, seed)?)
            }
            "lengths" => {
                let (median, sigma) = (number()?, number()?);
                let drawn: Vec<usize> = (0..spec.b)
                    .map(|_| {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        ((median * (sigma * z).exp()).round() as usize).clamp(1, spec.nk)
                    })
                    .collect();
                // Padded to the longest that there is.
                let longest = drawn.iter().copied().max().unwrap_or(1);
                n = (longest, longest);
                lengths = Some(drawn.clone());
                Mask::key_lengths(drawn)
            }
            other => return Err(format!("no mask is called `{other}`").into()),
        };
        let mut tensor = |n: usize| {
            let values = Array4::from_shape_simple_fn((spec.b, spec.h, n, spec.d), || {
                StandardNormal.sample(&mut rng)
            });
            match spec.dtype {
                Dtype::F32 => values,
                Dtype::Bf16 => values.mapv_into(nearest_bf16),
            }
        };
        let (q, k, v, d_o) = (tensor(n.0), tensor(n.1), tensor(n.1), tensor(n.0));
        let mut inputs = Self {
            q,
            k,
            v,
            d_o,
            mask,
            tensors: Tensors::default(),
            lengths,
        };
        if let Some(variant) = spec.variant()? {
            let attention = variant.build()?;
            let problem = inputs.problem()?;
            inputs.tensors = Tensors::of(attention.as_ref(), problem.geometry(), seed);
        }
        Ok(inputs)
    }

    /// The cell as a padded problem.
    pub(crate) fn problem(&self) -> attention::Result<Problem<'_>> {
        let mut problem = Problem::new(self.q.view(), self.k.view(), self.v.view())?
            .with_mask(self.mask.clone())?;
        for (name, tensor) in self.tensors.iter() {
            problem = problem.with_tensor(name, tensor);
        }
        Ok(problem)
    }

    /// The histories end to end, without their padding.
    pub(crate) fn jagged(&self) -> Option<Jagged> {
        let lengths = self.lengths.as_ref()?;
        let join = |x: &Array4<f32>| {
            let parts: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(b, &n)| x.slice(s![b..=b, .., ..n, ..]))
                .collect();
            concatenate(Axis(2), &parts).ok()
        };
        let ends = lengths.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        });
        Some(Jagged {
            q: join(&self.q)?,
            k: join(&self.k)?,
            v: join(&self.v)?,
            offsets: std::iter::once(0).chain(ends).collect(),
        })
    }

    /// Which rows there are to ask about: those of padding queries do not count.
    pub(crate) fn rows(&self) -> attention::Result<Geometry> {
        let problem = self.problem()?;
        match self.jagged() {
            None => Ok(problem.geometry().clone()),
            Some(Jagged { q, offsets, .. }) => {
                let tokens = q.dim().2;
                let shape = attention::Shape {
                    nq: tokens,
                    nk: tokens,
                    ..*problem.shape()
                };
                Geometry::jagged(shape, offsets.clone(), offsets, Mask::full())
            }
        }
    }
}

impl Jagged {
    /// The batch as a jagged problem.
    pub(crate) fn problem(&self) -> attention::Result<Problem<'_>> {
        let offsets = || Arc::clone(&self.offsets);
        Problem::jagged(
            self.q.view(),
            self.k.view(),
            self.v.view(),
            offsets(),
            offsets(),
        )
    }
}

/// The nearest number that bfloat16 has, ties to even.
fn nearest_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let half = 0x7fff + ((bits >> 16) & 1);
    f32::from_bits(bits.wrapping_add(half) & 0xffff_0000)
}
