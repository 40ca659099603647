//! Few queries over a long history: forward, and caches in three precisions.
//!
//! Bytes of K and V in f32 over the time give the throughput: a single query is bound by memory.

use attention::{Output, Problem, Scratch, Workers};
use attention_blocked::{Precision, prepare};
use attention_variants::Configured;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array4;
use std::hint::black_box;

/// Histories that fit the caches, and one that does not (8 heads, D = 64, 134 MB).
const KEYS: [usize; 4] = [200, 1000, 4096, 32_768];

/// One query, and candidates around the switch to tiles of queries.
const QUERIES: [usize; 4] = [1, 4, 8, 16];

fn bench(criterion: &mut Criterion) {
    let blocked = Configured::new("blocked", [])
        .and_then(|configured| configured.build())
        .expect("defaults build");
    for nk in KEYS {
        let (k, v) = (
            benches::tensor((1, 8, nk, 64), 0.2),
            benches::tensor((1, 8, nk, 64), 0.3),
        );
        let mut group = criterion.benchmark_group(format!("decode/B1-H8-Nk{nk}-D64"));
        group.throughput(Throughput::Bytes(8 * (k.len() + v.len()) as u64 / 2));
        for nq in QUERIES {
            let q: Array4<f32> = benches::tensor((1, 8, nq, 64), 0.1);
            let problem = Problem::new(q.view(), k.view(), v.view()).expect("tensors that fit");
            let (workers, mut scratch) = (Workers::serial(), Scratch::new());
            let mut output = Output::poisoned(problem.geometry(), false);
            group.bench_function(BenchmarkId::new("forward", nq), |bencher| {
                bencher.iter(|| {
                    let call = blocked.forward(
                        black_box(&problem),
                        output.view_mut(),
                        &workers,
                        &mut scratch,
                    );
                    call.expect("an admitted problem");
                    black_box(&output.o);
                });
            });
            for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
                let cache = prepare(precision, &problem, &workers);
                group.bench_function(BenchmarkId::new(format!("{precision:?}"), nq), |bencher| {
                    bencher.iter(|| {
                        let call = cache.forward(
                            black_box(q.view()),
                            output.view_mut(),
                            &workers,
                            &mut scratch,
                        );
                        call.expect("queries that fit");
                        black_box(&output.o);
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(group, bench);
criterion_main!(group);
