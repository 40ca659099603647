//! Histories end to end, as their offsets say.

use crate::error::{Error, Result};

/// Checks that history b can take rows `offsets[b]..offsets[b + 1]` of `rows`.
pub(crate) fn expect_offsets(op: &'static str, offsets: &[usize], rows: usize) -> Result<()> {
    let grows = offsets.windows(2).all(|bounds| bounds[0] <= bounds[1]);
    if grows && offsets.first() == Some(&0) && offsets.last() == Some(&rows) {
        return Ok(());
    }
    Err(Error::Shape {
        op,
        tensor: "offsets",
        found: offsets.to_vec(),
        expected: format!("[B + 1] that grow from 0 to T = {rows}"),
    })
}

/// The bounds of the history that has row `row`.
pub(crate) fn history_of(offsets: &[usize], row: usize) -> (usize, usize) {
    let next = offsets.partition_point(|&begin| begin <= row);
    (offsets[next - 1], offsets[next])
}
