//! What backward reads beside the problem: O, L and dO, cut to a block of queries.

use super::bias::Table;
use super::chains::QueryBlock;
use attention::{Output, Problem};
use ndarray::{Array3, ArrayView1, ArrayView2, ArrayView3, ArrayView4, Axis, CowArray, Ix4};
use std::ops::Range;

/// A problem with the gradient by its output.
pub(super) struct Sources<'a, 'p> {
    pub(super) problem: &'a Problem<'p>,
    d_o: CowArray<'a, f32, Ix4>,
    o: CowArray<'a, f32, Ix4>,
    lse: ArrayView3<'a, f32>,
}

/// A block's rows of dO `[rows, Dv]`, O `[rows, Dv]` and L `[rows]`.
pub(super) struct Rows<'a> {
    pub(super) d_o: ArrayView2<'a, f32>,
    pub(super) o: ArrayView2<'a, f32>,
    pub(super) lse: ArrayView1<'a, f32>,
}

/// Where a block's tokens lie in the tensors.
pub(super) struct Place {
    pub(super) batch: usize,
    pub(super) key_head: usize,
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
}

impl<'a, 'p> Sources<'a, 'p> {
    /// O, L and dO of the problem's shapes; a tensor whose rows are not contiguous is copied once.
    pub(super) fn new(
        problem: &'a Problem<'p>,
        saved: &'a Output,
        lse: &'a Array3<f32>,
        d_o: ArrayView4<'a, f32>,
    ) -> Self {
        Self {
            problem,
            d_o: row_contiguous(d_o),
            o: row_contiguous(saved.o.view()),
            lse: lse.view(),
        }
    }

    /// Floats of a relative bias table that a block needs to itself.
    pub(super) fn table_floats(&self) -> usize {
        Table::own_floats(self.problem.bias())
    }

    pub(super) fn place(&self, block: &QueryBlock) -> Place {
        let geometry = self.problem.geometry();
        let tokens = geometry.query_range(block.sequence).start;
        Place {
            batch: if geometry.is_jagged() {
                0
            } else {
                block.sequence
            },
            key_head: geometry.key_head(block.head),
            queries: tokens + block.rows.start..tokens + block.rows.end,
            keys: geometry.key_range(block.sequence),
        }
    }

    pub(super) fn rows(&self, block: &QueryBlock) -> Rows<'_> {
        let Place { batch, queries, .. } = self.place(block);
        Rows {
            d_o: matrix(self.d_o.view(), batch, block.head, queries.clone()),
            o: matrix(self.o.view(), batch, block.head, queries.clone()),
            lse: self
                .lse
                .index_axis_move(Axis(0), batch)
                .index_axis_move(Axis(0), block.head)
                .slice_axis_move(Axis(0), queries.into()),
        }
    }
}

fn matrix(
    tensor: ArrayView4<'_, f32>,
    batch: usize,
    head: usize,
    tokens: Range<usize>,
) -> ArrayView2<'_, f32> {
    tensor
        .index_axis_move(Axis(0), batch)
        .index_axis_move(Axis(0), head)
        .slice_axis_move(Axis(0), tokens.into())
}

/// Kernels step from row to row by pointer, which a reversed axis would turn round.
fn row_contiguous(tensor: ArrayView4<'_, f32>) -> CowArray<'_, f32, Ix4> {
    let rows_contiguous = tensor.len_of(Axis(3)) <= 1 || tensor.strides()[3] == 1;
    if rows_contiguous && tensor.strides().iter().all(|stride| *stride >= 0) {
        tensor.into()
    } else {
        tensor.as_standard_layout().into_owned().into()
    }
}
