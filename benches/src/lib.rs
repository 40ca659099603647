//! The cells that every crate's benches share.
//!
//! `cargo bench -p benches` times each registered variant on the same problems, single-threaded, so
//! that a change to one kernel can be compared with its own past (`--save-baseline`, `--baseline`).
//! For comparisons between variants use the experiments, which interleave them and gate on accuracy.

use attention::mask::{Alignment, Mask};
use attention::{Family, Output, Problem, Scratch, Tensors, Workers};
use attention_variants::{Configured, VARIANTS};
use criterion::{BenchmarkId, Criterion, Throughput};
use ndarray::Array4;
use std::hint::black_box;

/// (B, H, N, D): a recommender's short batch, a long history, a very long one.
pub const CELLS: [(usize, usize, usize, usize); 3] =
    [(32, 2, 200, 32), (1, 8, 1024, 64), (1, 1, 4096, 64)];

/// Entries spread over -1..1 without a generator: a Weyl sequence that begins at `salt`.
#[must_use]
pub fn tensor(shape: (usize, usize, usize, usize), salt: f32) -> Array4<f32> {
    let mut x = salt;
    Array4::from_shape_simple_fn(shape, || {
        x = (x + 0.618_034).fract();
        2.0 * x - 1.0
    })
}

/// Times every variant of a family on every cell, full and causal.
///
/// # Panics
/// Where a registered variant cannot be built from its defaults, or errs on a problem it admits.
pub fn family(criterion: &mut Criterion, family: Family) {
    for (b, h, n, d) in CELLS {
        let [q, k, v] = [0.1, 0.2, 0.3].map(|salt| tensor((b, h, n, d), salt));
        for (mask_name, mask) in [
            ("full", Mask::full()),
            ("causal", Mask::causal(Alignment::TopLeft)),
        ] {
            let problem = Problem::new(q.view(), k.view(), v.view())
                .and_then(|p| p.with_mask(mask))
                .expect("tensors of one shape");
            let name = format!("B{b}-H{h}-N{n}-D{d}/{mask_name}");
            let mut group = criterion.benchmark_group(name);
            for variant in VARIANTS.iter().filter(|v| v.family == family) {
                let attention = Configured::new(variant.name, [])
                    .and_then(|configured| configured.build())
                    .expect("defaults build");
                if attention
                    .capabilities()
                    .admits_geometry(problem.geometry())
                    .is_err()
                {
                    continue;
                }
                let tensors = Tensors::of(attention.as_ref(), problem.geometry(), 0);
                let problem = problem.supplied(&tensors);
                let flops = attention.cost(problem.geometry(), 1).flops;
                group.throughput(Throughput::Elements(flops));
                let (workers, mut scratch) = (Workers::serial(), Scratch::new());
                let mut output = Output::poisoned(problem.geometry(), false);
                group.bench_function(BenchmarkId::from_parameter(variant.name), |bencher| {
                    bencher.iter(|| {
                        let out = output.view_mut();
                        let call =
                            attention.forward(black_box(&problem), out, &workers, &mut scratch);
                        call.expect("an admitted problem");
                        black_box(&output.o);
                    });
                });
            }
            group.finish();
        }
    }
}
