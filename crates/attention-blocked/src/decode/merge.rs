//! Partial results of chunks of keys, put together in the order of the keys.

use super::chunk::Partial;
use attention::RowBlock;
use attention::mask::SequenceMask;
use attention::numeric::exp2_nonpositive;

/// Writes O = Σ o·2^(max - M) / Σ sum·2^(max - M) over the partials, M the largest max, and
/// L = (M + log2(sum))·ln 2; a query that sees nothing gets 0 and -inf.
///
/// `partials` holds those of the block's key head, of all queries of the `group` query heads that
/// share it, one chunk after another.
pub(crate) fn merge(
    partials: &[f32],
    group: usize,
    mask: &SequenceMask<'_>,
    block: &mut RowBlock<'_>,
) {
    let (queries, dv) = block.o.dim();
    let rows = queries * group;
    let partials = || {
        let parts = partials.chunks_exact(Partial::floats(rows, dv));
        parts.map(|part| Partial::of(part, rows))
    };
    let stride = Partial::stride(dv);
    for i in 0..queries {
        let m = block.head % group * queries + i;
        let max = partials().fold(f32::NEG_INFINITY, |max, p| max.max(p.max[m]));
        // Where every score is -inf, -inf - -inf must not become NaN.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let weight = |max: f32| exp2_nonpositive(max - shift);
        let sum = partials().map(|p| p.sum[m] * weight(p.max[m])).sum::<f32>();
        // A sum of zero over visible keys comes of scores that are all -inf: undefined, not empty.
        let empty = sum == 0.0 && mask.count(i) == 0;
        let factor = if empty { 0.0 } else { 1.0 / sum };
        let mut o = block.o.row_mut(i);
        o.fill(0.0);
        for p in partials() {
            let factor = weight(p.max[m]) * factor;
            for (o, x) in o.iter_mut().zip(&p.o[m * stride..]) {
                *o += x * factor;
            }
        }
        if let Some(lse) = &mut block.lse {
            lse[i] = if empty {
                f32::NEG_INFINITY
            } else {
                (max + sum.log2()) * std::f32::consts::LN_2
            };
        }
    }
}
