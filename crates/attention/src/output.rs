//! Where a variant writes: O, and L where it is asked for; cut into blocks that tasks own.

use crate::error::{Error, Result, expect_shape};
use crate::geometry::Geometry;
use ndarray::{Array3, Array4, ArrayViewMut1, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, Axis};
use std::ops::Range;

/// O `[B, H, Nq, Dv]` and L = logsumexp(S) `[B, H, Nq]`; a jagged batch has a leading axis of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `[B, H, Nq, Dv]`.
    pub o: Array4<f32>,
    /// `[B, H, Nq]`, where the per-row log-sum-exp is wanted.
    pub lse: Option<Array3<f32>>,
}

impl Output {
    /// Room for an answer, filled with NaN so that a slot which is never written shows.
    #[must_use]
    pub fn poisoned(geometry: &Geometry, with_lse: bool) -> Self {
        let s = geometry.shape();
        let lead = if geometry.is_jagged() { 1 } else { s.b };
        Self {
            o: Array4::from_elem((lead, s.h, s.nq, s.dv), f32::NAN),
            lse: with_lse.then(|| Array3::from_elem((lead, s.h, s.nq), f32::NAN)),
        }
    }

    /// Fills with NaN again.
    pub fn poison(&mut self) {
        self.o.fill(f32::NAN);
        if let Some(lse) = &mut self.lse {
            lse.fill(f32::NAN);
        }
    }

    /// A mutable view to pass to a variant.
    pub fn view_mut(&mut self) -> OutputMut<'_> {
        OutputMut {
            o: self.o.view_mut(),
            lse: self.lse.as_mut().map(|l| l.view_mut()),
        }
    }
}

/// Mutable views of O and L.
#[derive(Debug)]
pub struct OutputMut<'a> {
    /// `[B, H, Nq, Dv]`, last axis contiguous.
    pub o: ArrayViewMut4<'a, f32>,
    /// `[B, H, Nq]`.
    pub lse: Option<ArrayViewMut3<'a, f32>>,
}

/// A run of query rows of one history and head, with the slots that they fill.
#[derive(Debug)]
pub struct RowBlock<'a> {
    /// Which history.
    pub sequence: usize,
    /// Which query head.
    pub head: usize,
    /// Which of its queries.
    pub rows: Range<usize>,
    /// `[rows, Dv]`.
    pub o: ArrayViewMut2<'a, f32>,
    /// `[rows]`.
    pub lse: Option<ArrayViewMut1<'a, f32>>,
}

impl<'a> OutputMut<'a> {
    /// Checks shapes and strides against a problem.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Stride`].
    pub fn check(&self, geometry: &Geometry) -> Result<()> {
        let s = geometry.shape();
        let lead = if geometry.is_jagged() { 1 } else { s.b };
        expect_shape(
            "O",
            "[B, H, Nq, Dv]",
            self.o.shape(),
            &[lead, s.h, s.nq, s.dv],
        )?;
        if let Some(lse) = &self.lse {
            expect_shape("L", "[B, H, Nq]", lse.shape(), &[lead, s.h, s.nq])?;
        }
        if s.dv > 1 && !self.o.is_empty() && self.o.strides()[3] != 1 {
            return Err(Error::Stride {
                tensor: "O",
                strides: self.o.strides().to_vec(),
            });
        }
        Ok(())
    }

    /// Cuts the output into blocks of at most `rows` query rows, each within one history and head.
    ///
    /// The cut depends on the problem alone, never on the number of threads. Order: histories,
    /// then heads, then rows. `rows = usize::MAX` gives one block a history and head.
    ///
    /// # Panics
    /// Where `rows` is 0, or [`check`](Self::check) would have refused the output.
    #[must_use]
    pub fn row_blocks(self, geometry: &Geometry, rows: usize) -> Vec<RowBlock<'a>> {
        assert!(rows > 0, "a row block needs rows");
        let s = geometry.shape();
        // One cursor a (batch entry, head): the rows that no block has taken yet.
        let mut free: Vec<_> = {
            let mut lse = self.lse.map(|l| {
                let outer = l.into_dyn();
                split_outer(outer)
                    .into_iter()
                    .flat_map(split_outer)
                    .collect::<Vec<_>>()
                    .into_iter()
            });
            split_outer(self.o.into_dyn())
                .into_iter()
                .flat_map(split_outer)
                .map(|o| (o, lse.as_mut().and_then(Iterator::next)))
                .map(Some)
                .collect()
        };
        let mut blocks = Vec::new();
        for sequence in 0..s.b {
            let queries = geometry.query_range(sequence).len();
            for head in 0..s.h {
                let slot = if geometry.is_jagged() {
                    head
                } else {
                    sequence * s.h + head
                };
                let mut start = 0;
                while start < queries {
                    let n = rows.min(queries - start);
                    let Some((o, lse)) = free[slot].take() else {
                        break;
                    };
                    let (o, rest) = o.split_at(Axis(0), n);
                    let (lse, lse_rest) = match lse.map(|l| l.split_at(Axis(0), n)) {
                        Some((l, r)) => (Some(l), Some(r)),
                        None => (None, None),
                    };
                    free[slot] = Some((rest, lse_rest));
                    blocks.push(RowBlock {
                        sequence,
                        head,
                        rows: start..start + n,
                        o: o.into_dimensionality()
                            .expect("[rows, Dv] after two outer splits"),
                        lse: lse.map(|l| {
                            l.into_dimensionality()
                                .expect("[rows] after two outer splits")
                        }),
                    });
                    start += n;
                }
            }
        }
        blocks
    }
}

fn split_outer(view: ndarray::ArrayViewMutD<'_, f32>) -> Vec<ndarray::ArrayViewMutD<'_, f32>> {
    let mut parts = Vec::with_capacity(view.len_of(Axis(0)));
    let mut rest = view;
    while rest.len_of(Axis(0)) > 0 {
        let (first, after) = rest.split_at(Axis(0), 1);
        parts.push(first.index_axis_move(Axis(0), 0));
        rest = after;
    }
    parts
}
