//! Loops over rows, written so that they vectorise; sums have sixteen lanes on every machine.

use attention::numeric::{LOG2_E, exp2_nonpositive};

/// Rows that a task works on. Sums over rows are made task by task, so that it is part of the result.
pub(crate) const ROWS: usize = 256;

/// Σ f(x, y), in a fixed order.
#[inline(always)]
pub(crate) fn sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (xs, x_rest) = x.as_chunks::<16>();
    let (ys, y_rest) = y.as_chunks::<16>();
    for (x, y) in xs.iter().zip(ys) {
        for n in 0..16 {
            lanes[n] += f(x[n], y[n]);
        }
    }
    match (x.last_chunk::<16>(), y.last_chunk::<16>()) {
        // The rest as the end of a whole vector: lanes that were single numbers would go through memory.
        (Some(x), Some(y)) => {
            let known = 16 - x_rest.len();
            for n in 0..16 {
                lanes[n] += if n >= known { f(x[n], y[n]) } else { 0.0 };
            }
        }
        _ => {
            for (lane, (x, y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
                *lane += f(*x, *y);
            }
        }
    }
    let mut width = 8;
    while width > 0 {
        for n in 0..width {
            lanes[n] += lanes[n + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// x·y.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    sum(x, y, |x, y| x * y)
}

/// y += a·x.
#[inline(always)]
pub(crate) fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// y += x, on the machine's vectors.
pub(crate) fn add(x: &[f32], y: &mut [f32]) {
    pulp::Arch::new().dispatch(Added { x, y });
}

struct Added<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl pulp::WithSimd for Added<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        add_scaled(1.0, self.x, self.y);
    }
}

/// exp(x) for x <= 0.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    exp2_nonpositive(x * LOG2_E)
}

/// 1/(1 + exp(-x)), without overflow.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp_nonpositive(-x.abs());
    let small = e / (1.0 + e);
    if x < 0.0 { small } else { 1.0 - small }
}

/// ln(1 + exp(x)), without overflow.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
