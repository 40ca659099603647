//! bf16 attention in f64: exact on the rounded inputs.

use super::round;
use crate::narrow::exact_on;
use attention::{Form, Head};

/// Softmax attention in f64 on queries, keys and values rounded to bf16; what the kernel rounds beyond
/// that, its weights, is its own error.
pub(super) fn rows(head: &Head<'_>, rows: &[usize]) -> Form {
    let [q, k, v] = [head.q, head.k, head.v].map(|x| x.mapv(round));
    exact_on(head, [&q, &k, &v], rows).into()
}
