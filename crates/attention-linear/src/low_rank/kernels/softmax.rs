//! Softmax over rows and over columns, and the gradients. Scores are in units of log 2.

use super::kernel;
use attention::simd::Target;

kernel! {
/// Softmax of each row without the division: rows become exponentials of the distance to their maximum,
/// and `factors` one over their sums. Columns from `width` on become zero.
fn soften<V>(x: Target, rows: usize, width: usize, factors: *mut f32) {
    let vectors = width.div_ceil(V::LANES);
    if !width.is_multiple_of(V::LANES) {
        let lanes: [f32; 16] = std::array::from_fn(|lane| lane as f32);
        let lanes = V::load(lanes.as_ptr());
        let (low, high) = (V::splat(0.0), V::splat((width % V::LANES) as f32));
        for r in 0..rows {
            let last = x.at(r, (vectors - 1) * V::LANES);
            V::load(last).hide_outside(lanes, low, high).store(last);
        }
    }
    for r in (0..rows).step_by(8) {
        let count = (rows - r).min(8);
        let mut sums = [V::splat(0.0); 8];
        for (n, sum) in sums.iter_mut().enumerate().take(count) {
            let row = x.at(r + n, 0);
            let mut top = V::load(row);
            for v in 1..vectors {
                top = V::load(row.add(v * V::LANES)).max(top);
            }
            let top = V::splat(top.largest());
            for v in 0..vectors {
                let at = row.add(v * V::LANES);
                let e = V::load(at).sub(top).exp2();
                e.store(at);
                *sum = sum.add(e);
            }
        }
        for (n, sum) in V::sums(sums).iter().enumerate().take(count) {
            *factors.add(r + n) = 1.0 / sum;
        }
    }
}
}

kernel! {
/// The gradient of a softmax over each row: G becomes P∘(G - Σ P∘G). P is zero from `width` on, and G
/// finite there.
fn soften_back<V>(p: Target, g: Target, rows: usize, width: usize) {
    let vectors = width.div_ceil(V::LANES);
    for r in (0..rows).step_by(8) {
        let count = (rows - r).min(8);
        let mut sums = [V::splat(0.0); 8];
        for (n, sum) in sums.iter_mut().enumerate().take(count) {
            for v in 0..vectors {
                let (p, g) = (p.at(r + n, v * V::LANES), g.at(r + n, v * V::LANES));
                *sum = V::load(p).mul_add(V::load(g), *sum);
            }
        }
        for (n, sum) in V::sums(sums).iter().enumerate().take(count) {
            let sum = V::splat(*sum);
            for v in 0..vectors {
                let (p, g) = (p.at(r + n, v * V::LANES), g.at(r + n, v * V::LANES));
                V::load(g).sub(sum).mul(V::load(p)).store(g);
            }
        }
    }
}
}

/// A softmax over the tokens, for each of `m` columns, that more and more tokens are added to: maxima,
/// sums of exponentials, and a row of `width` floats for each column, summed with the exponentials.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) m: usize,
    pub(crate) tops: *mut f32,
    pub(crate) sums: *mut f32,
    pub(crate) rows: Target,
    pub(crate) width: usize,
}

kernel! {
/// Scores `[rows, m]` become exponentials of the distance to the maximum so far, which what was summed
/// before is brought to.
fn advance<V>(running: Running, scores: Target, rows: usize) {
    let mut factors = [1.0; 16];
    for c in (0..running.m).step_by(V::LANES) {
        let (at_top, at_sum) = (running.tops.add(c), running.sums.add(c));
        let before = V::load(at_top);
        let mut top = before;
        for r in 0..rows {
            top = V::load(scores.at(r, c)).max(top);
        }
        let mut sum = V::splat(0.0);
        for r in 0..rows {
            let e = V::load(scores.at(r, c)).sub(top).exp2();
            e.store(scores.at(r, c));
            sum = sum.add(e);
        }
        if top.any_greater(before) {
            let factor = before.sub(top).exp2();
            factor.store(factors.as_mut_ptr());
            V::load(at_sum).mul(factor).store(at_sum);
            for (r, &factor) in factors[..(running.m - c).min(V::LANES)].iter().enumerate() {
                for x in (0..running.width).step_by(V::LANES) {
                    let at = running.rows.at(c + r, x);
                    V::load(at).mul(V::splat(factor)).store(at);
                }
            }
        }
        top.store(at_top);
        V::load(at_sum).add(sum).store(at_sum);
    }
}
}

kernel! {
/// Scores `[rows, m]` become weights of a softmax over each column, of which maxima and one over the sum
/// of exponentials are known.
fn normalise<V>(
    tops: *const f32,
    inverses: *const f32,
    scores: Target,
    rows: usize,
    m: usize,
) {
    for c in (0..m).step_by(V::LANES) {
        let (top, inverse) = (V::load(tops.add(c)), V::load(inverses.add(c)));
        for r in 0..rows {
            let at = scores.at(r, c);
            V::load(at).sub(top).exp2().mul(inverse).store(at);
        }
    }
}
}

kernel! {
/// The gradient of a softmax over each column: G becomes factor·P∘(G - δ), with a δ for each column.
fn normalise_back<V>(
    p: Target,
    g: Target,
    rows: usize,
    width: usize,
    delta: *const f32,
    factor: f32,
) {
    let factor = V::splat(factor);
    for c in (0..width).step_by(V::LANES) {
        let delta = V::load(delta.add(c));
        for r in 0..rows {
            let (p, g) = (p.at(r, c), g.at(r, c));
            V::load(g).sub(delta).mul(V::load(p)).mul(factor).store(g);
        }
    }
}
}
