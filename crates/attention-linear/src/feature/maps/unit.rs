//! Rows of unit length.

use crate::feature::kernels::{LANES, add_dots, rows, rows_mut, scale_rows};
use crate::feature::map::CHUNK;
use attention::simd::Isa;

/// Divides each of `n` rows of D numbers by its norm, or by `least` where that is larger.
pub(super) fn scale_to_unit(isa: Isa, x: &mut [f32], n: usize, d: usize, least: f32) {
    let stride = d.next_multiple_of(LANES);
    let mut factors = [0.0; CHUNK];
    let factors = &mut factors[..n];
    add_dots(isa, rows(x, stride), rows(x, stride), stride, factors);
    factors
        .iter_mut()
        .for_each(|f| *f = 1.0 / f.sqrt().max(least));
    scale_rows(isa, rows_mut(x, stride), factors, stride);
}

/// From the gradient by rows of unit length to that by the rows U themselves, in place: du = (dx̂ -
/// x̂(x̂·dx̂))/‖u‖, and dx̂/`least` where the norm is below that.
pub(super) fn pull_unit(
    isa: Isa,
    (u, gradient): (&[f32], &mut [f32]),
    n: usize,
    d: usize,
    least: f32,
) {
    let stride = d.next_multiple_of(LANES);
    let (mut squares, mut dots) = ([0.0; CHUNK], [0.0; CHUNK]);
    let u = rows(u, stride);
    add_dots(isa, u, u, stride, &mut squares[..n]);
    add_dots(isa, u, rows(gradient, stride), stride, &mut dots[..n]);
    let lines = gradient
        .chunks_exact_mut(stride.max(1))
        .zip(u.data.chunks_exact(stride.max(1)));
    for ((line, u), (squares, dot)) in lines.zip(squares.into_iter().zip(dots)).take(n) {
        let norm = squares.sqrt();
        let (factor, along) = if norm < least {
            (1.0 / least, 0.0)
        } else {
            (1.0 / norm, dot / squares)
        };
        for (x, u) in line.iter_mut().zip(u) {
            *x = (*x - u * along) * factor;
        }
    }
}
