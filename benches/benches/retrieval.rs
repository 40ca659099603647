//! The retrieval family on the shared cells.

use attention::Family;
use criterion::{Criterion, criterion_group, criterion_main};

fn bench(criterion: &mut Criterion) {
    benches::family(criterion, Family::Retrieval);
}

criterion_group!(group, bench);
criterion_main!(group);
