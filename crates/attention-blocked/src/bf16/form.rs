//! bf16 attention in f64: exact on the rounded inputs.

use super::round;
use attention::{Form, Head, HeadBias, oracle};

/// Softmax attention in f64 on queries, keys and values rounded to bf16; what the kernel rounds beyond
/// that, its weights, is its own error.
pub(super) fn rows(head: &Head<'_>, rows: &[usize]) -> Form {
    let [q, k, v] = [head.q, head.k, head.v].map(|x| x.mapv(round));
    let bias = head.bias.as_ref().map(|bias| match bias {
        HeadBias::Dense(table) => HeadBias::Dense(table.view()),
        HeadBias::Relative(table) => HeadBias::Relative(table.view()),
    });
    let rounded = Head {
        sequence: head.sequence,
        head: head.head,
        q: q.view(),
        k: k.view(),
        v: v.view(),
        mask: head.mask,
        scale: head.scale,
        bias,
    };
    oracle::rows(&rounded, rows).into()
}
