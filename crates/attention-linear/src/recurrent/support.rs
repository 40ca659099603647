//! What no recurrence can have, and why; side inputs by history and head.

use attention::tensors::expect_tensors;
use attention::variant::{Kind, Parameter, Value};
use attention::{Attention, Capabilities, Error, Feature, Problem, Result};

const SHARED: &str = "all queries read one state of the keys before them, \
                      so no query can leave out keys of its own";

/// The instruction set.
pub(super) const ISA: Parameter = Parameter {
    name: "isa",
    kind: Kind::Word(&["auto", "avx512", "avx2", "portable"]),
    default: Value::Word("auto"),
    summary: "the instruction set to run on; auto takes the best there is",
};

/// Capabilities of a recurrence.
pub(super) fn recurrent(name: &'static str) -> Capabilities {
    Capabilities::all(name, false)
        .without(Feature::Window, SHARED)
        .without(Feature::DenseMask, SHARED)
        .without(Feature::BlockMask, SHARED)
        .without(
            Feature::Bias,
            "scores are never formed, so there is nothing to add a bias to",
        )
        .without(
            Feature::LogSumExp,
            "weights are products of queries, decays and keys, not exponentials of scores",
        )
        .without(Feature::Dropout, "it has no weights to drop")
}

/// The rows of a side input `[B, Hkv, Nk, ...]` that belong to one history and key head, row-major.
pub(super) fn side<'p>(
    problem: &'p Problem<'_>,
    name: &str,
    (sequence, key_head): (usize, usize),
) -> &'p [f32] {
    let Some(tensor) = problem.tensor(name) else {
        return &[];
    };
    let shape = tensor.shape();
    let width: usize = shape[3..].iter().product();
    let geometry = problem.geometry();
    let batch = if geometry.is_jagged() { 0 } else { sequence };
    let first = (batch * shape[1] + key_head) * shape[2];
    let keys = geometry.key_range(sequence);
    let part = (first + keys.start) * width..(first + keys.end) * width;
    tensor.as_slice().map_or(&[], |entries| &entries[part])
}

/// The entries of a learned tensor `[Hkv, ...]` that belong to one key head, row-major.
pub(super) fn of_head<'p>(problem: &'p Problem<'_>, name: &str, key_head: usize) -> &'p [f32] {
    let Some(tensor) = problem.tensor(name) else {
        return &[];
    };
    let each: usize = tensor.shape()[1..].iter().product();
    let part = key_head * each..(key_head + 1) * each;
    tensor.as_slice().map_or(&[], |entries| &entries[part])
}

/// Keys of a history that some query sees.
pub(super) fn visible_keys(problem: &Problem<'_>, sequence: usize) -> usize {
    let mask = problem.geometry().sequence(sequence);
    let last = mask.queries().checked_sub(1);
    last.map_or(0, |last| mask.span(last).end)
}

/// Checks a problem's side inputs over so many leading keys of each history.
pub(super) type Check =
    Box<dyn Fn(&Problem<'_>, &dyn Fn(usize) -> usize) -> Result<()> + Send + Sync>;

/// What the entries of a side input must be.
pub(super) struct Range {
    pub(super) name: &'static str,
    pub(super) holds: fn(f32) -> bool,
    /// That in words.
    pub(super) expected: &'static str,
}

/// Takes the first `floats` of what is left of a worker's memory, up to a cache line.
pub(super) fn take<'m>(rest: &mut &'m mut [f32], floats: usize) -> &'m mut [f32] {
    let padded = floats.next_multiple_of(16);
    let (part, after) = std::mem::take(rest).split_at_mut(padded);
    *rest = after;
    &mut part[..floats]
}

/// Checks that the declared tensors are there, and that entries of visible keys are in range.
///
/// # Errors
/// [`Error::Tensor`], and [`Error::Parameter`] for the first entry out of range or NaN.
pub(super) fn expect_range(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    keys: impl Fn(usize) -> usize,
    ranges: &[Range],
) -> Result<()> {
    expect_tensors(attention, problem)?;
    let shape = problem.shape();
    for Range {
        name,
        holds,
        expected,
    } in ranges
    {
        for sequence in 0..shape.b {
            let keys = keys(sequence);
            for key_head in 0..shape.hkv {
                let entries = side(problem, name, (sequence, key_head));
                let all = problem.geometry().key_range(sequence).len().max(1);
                let visible = &entries[..entries.len() / all * keys];
                if let Some(x) = visible.iter().find(|x| !holds(**x)) {
                    return Err(Error::Parameter {
                        parameter: name,
                        value: x.to_string(),
                        expected: (*expected).into(),
                    });
                }
            }
        }
    }
    Ok(())
}
