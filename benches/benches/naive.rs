//! The naive family on the shared cells.

use attention::Family;
use criterion::{Criterion, criterion_group, criterion_main};

fn bench(criterion: &mut Criterion) {
    benches::family(criterion, Family::Naive);
}

criterion_group!(group, bench);
criterion_main!(group);
