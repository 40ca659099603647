//! A call that is given its output and its scratch allocates nothing, on any number of threads.
//!
//! Without a harness, since the counter counts the allocations of every thread.

use attention::mask::{Alignment, Mask};
use attention::variant::Parameters;
use attention::{Bias, Output, Problem, Scratch, Workers};
use ndarray::{Array2, Array4};

#[global_allocator]
static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;

fn main() {
    let tensor = |lead, n| {
        Array4::from_shape_fn((lead, 2, n, 32), |(_, h, i, d)| {
            ((h * 31 + i * 7 + d * 3) % 19) as f32 * 0.1 - 0.9
        })
    };
    let (padded, jagged) = (tensor(3, 130), tensor(1, 300));
    let table = Array2::from_elem((2, 9), 0.25);
    let offsets = [0, 0, 7, 150, 300];
    let plain = || Problem::new(padded.view(), padded.view(), padded.view());
    let causal = Mask::causal(Alignment::TopLeft);
    let problems = [
        plain(),
        plain().and_then(|p| p.with_mask(causal.clone())),
        plain().and_then(|p| p.with_mask(Mask::key_lengths([0, 60, 130]))),
        plain().and_then(|p| p.with_bias(Bias::Relative(table.view()))),
        Problem::jagged(
            jagged.view(),
            jagged.view(),
            jagged.view(),
            offsets,
            offsets,
        )
        .and_then(|p| p.with_mask(causal)),
    ]
    .map(|p| p.expect("a problem that fits"));
    let blocked = &attention_blocked::BLOCKED;
    let attention = (blocked.build)(&Parameters::defaults(blocked.parameters)).expect("defaults");
    for threads in [1, 2, 3] {
        let workers = Workers::new(threads).expect("threads");
        for problem in &problems {
            let mut output = Output::poisoned(problem.geometry(), true);
            let mut scratch = Scratch::new();
            let mut call = || {
                attention
                    .forward(problem, output.view_mut(), &workers, &mut scratch)
                    .expect("an answer");
            };
            call();
            let ((), taken) = measure::peak_during(|| (0..100).for_each(|_| call()));
            assert_eq!(
                taken.allocations,
                0,
                "{threads} threads, {}",
                problem.shape()
            );
        }
    }
}
