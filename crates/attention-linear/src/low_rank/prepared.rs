//! Summaries kept between calls: K̂ and V̂ answer any number of further queries.

use super::memory::{self, Shelf, carve};
use super::read;
use super::summary::{Sizes, Summary};
use attention::simd::Isa;
use attention::{
    Error, Geometry, Mask, OutputMut, Prepared, Result, Scratch, Shape, Workers, expect_shape,
};
use ndarray::{ArrayView4, s};

/// K̂ and V̂ of each history and key head.
pub(crate) struct Kept {
    pub(crate) variant: &'static str,
    /// Why no key can be appended.
    pub(crate) closed: &'static str,
    isa: Isa,
    /// `nq` and `nk` are those of no call.
    shape: Shape,
    sizes: Sizes,
    /// Rows of each summary, `[B·Hkv]`.
    rows: Vec<usize>,
    summaries: Shelf,
    /// What the summaries lie in.
    memory: Scratch,
}

impl Kept {
    /// Copies the summaries of each history and query head.
    pub(crate) fn of(
        (variant, closed): (&'static str, &'static str),
        isa: Isa,
        geometry: &Geometry,
        sizes: Sizes,
        summary: impl Fn(usize, usize) -> Summary,
    ) -> Self {
        let shape = *geometry.shape();
        let mut memory = Scratch::new();
        let [summaries] = carve(&mut memory, [(shape.b * shape.hkv, sizes.summary())]);
        let group = shape.h / shape.hkv.max(1);
        let mut rows = Vec::with_capacity(shape.b * shape.hkv);
        for slot in 0..shape.b * shape.hkv {
            let made = summary(slot / shape.hkv, slot % shape.hkv * group);
            rows.push(made.m);
            if made.m > 0 {
                // SAFETY: both have the floats of a summary, and nobody else is at them.
                unsafe {
                    let to = summaries.part(slot);
                    std::ptr::copy_nonoverlapping(made.at.cast_const(), to, sizes.summary());
                }
            }
        }
        Self {
            variant,
            closed,
            isa,
            shape,
            sizes,
            rows,
            summaries,
            memory,
        }
    }
}

impl Prepared for Kept {
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Shape { b, h, hkv, d, .. } = self.shape;
        let nq = q.dim().2;
        expect_shape("Q", "[B, H, Nq, D]", q.shape(), &[b, h, nq, d])?;
        let shape = Shape {
            nq,
            nk: 0,
            ..self.shape
        };
        let geometry = Geometry::padded(shape, Mask::full())?;
        out.check(&geometry)?;
        let q = q.as_standard_layout();
        let layout: memory::Layout<1> = [(workers.threads(), read::floats(self.sizes))];
        let [memory] = carve(scratch, layout);
        let queries = |sequence, head| q.slice(s![sequence, head, .., ..]);
        let summary = |sequence, head| {
            let slot = sequence * hkv + geometry.key_head(head);
            Summary {
                // SAFETY: there is one for each history and key head, and nobody writes to it.
                at: unsafe { self.summaries.part(slot) },
                sizes: self.sizes,
                m: self.rows[slot],
            }
        };
        read::forward(self.isa, &geometry, out, workers, memory, queries, summary);
        Ok(())
    }

    fn append(&mut self, _: ArrayView4<'_, f32>, _: ArrayView4<'_, f32>) -> Result<()> {
        Err(Error::Unsupported {
            variant: self.variant,
            what: "append".into(),
            reason: self.closed,
        })
    }

    fn bytes(&self) -> u64 {
        self.memory.bytes()
    }
}
