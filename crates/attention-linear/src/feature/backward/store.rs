//! What a task's walk over its queries leaves for the walk over its keys.

use crate::feature::map::Normaliser;
use crate::feature::plan::Task;
use crate::feature::state::Sizes;

/// Memory of one task.
pub(super) struct Store<'a> {
    rows: usize,
    feature: usize,
    /// What dO is multiplied with `[group, rows]`.
    factors: &'a mut [f32],
    /// The gradient of what rows are divided by `[group, rows]`.
    d_totals: &'a mut [f32],
    /// 1 where a chunk was answered from a triangle, 0 where it goes token by token.
    whole: &'a mut [f32],
    /// Units of each chunk `[chunks, m]`, where features are logarithms.
    tops: &'a mut [f32],
    /// The state of all keys, where queries are divided by its columns.
    pub(super) columns: &'a mut [f32],
    /// Gradients of the key head's learned tensors.
    pub(super) learned: &'a mut [f32],
}

fn parts(sizes: Sizes, task: &Task<'_>, group: usize) -> [usize; 6] {
    let rows = task.history.segment(task.segment).len();
    let chunks = rows.div_ceil(task.history.step());
    let when = |so: bool, n: usize| if so { n } else { 0 };
    [
        group * rows,
        group * rows,
        chunks,
        when(sizes.extent.logarithmic, chunks * sizes.feature()),
        when(
            sizes.extent.normaliser == Normaliser::KeyColumns,
            sizes.state(),
        ),
        sizes.extent.learned,
    ]
}

impl<'a> Store<'a> {
    /// Floats of a task.
    pub(super) fn floats(sizes: Sizes, task: &Task<'_>, group: usize) -> usize {
        parts(sizes, task, group).iter().sum()
    }

    /// Gradients of learned tensors alone.
    pub(super) fn of_learned(learned: &'a mut [f32]) -> Self {
        Self {
            rows: 0,
            feature: 0,
            factors: &mut [],
            d_totals: &mut [],
            whole: &mut [],
            tops: &mut [],
            columns: &mut [],
            learned,
        }
    }

    /// Reads a task's memory.
    pub(super) fn over(sizes: Sizes, task: &Task<'_>, group: usize, floats: &'a mut [f32]) -> Self {
        let mut rest = floats;
        let mut parts = parts(sizes, task, group).map(|n| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
            rest = after;
            part
        });
        let mut next = parts.iter_mut().map(std::mem::take);
        let mut next = || next.next().unwrap_or_default();
        Self {
            rows: task.history.segment(task.segment).len(),
            feature: sizes.feature(),
            factors: next(),
            d_totals: next(),
            whole: next(),
            tops: next(),
            columns: next(),
            learned: next(),
        }
    }

    /// Factors and gradients of `n` rows from `row` on, of the task and the group.
    pub(super) fn rows(&mut self, head: usize, row: usize, n: usize) -> (&mut [f32], &mut [f32]) {
        let at = head * self.rows + row;
        (
            &mut self.factors[at..at + n],
            &mut self.d_totals[at..at + n],
        )
    }

    /// Notes how a chunk was answered.
    pub(super) fn note(&mut self, chunk: usize, whole: bool, tops: &[f32]) {
        self.whole[chunk] = f32::from(u8::from(whole));
        if !self.tops.is_empty() {
            self.tops[chunk * self.feature..][..self.feature].copy_from_slice(tops);
        }
    }

    /// How a chunk was answered.
    pub(super) fn is_whole(&self, chunk: usize) -> bool {
        self.whole[chunk] > 0.0
    }

    /// The units of a chunk, where features are logarithms.
    pub(super) fn tops(&self, chunk: usize) -> Option<&[f32]> {
        (!self.tops.is_empty()).then(|| &self.tops[chunk * self.feature..][..self.feature])
    }
}
