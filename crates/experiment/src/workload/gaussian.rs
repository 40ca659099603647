//! G1: independent normal entries.

use super::request::add_normal;
use super::{History, InputError, Needs, Request, Workload};

/// Independent standard normal Q, K and V.
pub(super) static GAUSSIAN: Workload = Workload {
    name: "gaussian",
    label: "gaussian",
    summary: "independent normal entries: no structure to exploit, hard for patterns and retrieval",
    source: "G1; natural scale: entries, and so logits, of standard deviation 1",
    least_dimension: 1,
    needs: Needs::Nothing,
    generate,
};

fn generate(request: &Request<'_>) -> Result<History, InputError> {
    Ok(request.build(
        |h, q| add_normal(&mut request.stream("gaussian q", h), 1.0, q),
        |h, k| add_normal(&mut request.stream("gaussian k", h), 1.0, k),
        |h, v| add_normal(&mut request.stream("gaussian v", h), 1.0, v),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::request;

    #[test]
    fn a_longer_history_extends_a_shorter_one_and_heads_differ() {
        let short = generate(&request(8, 4)).unwrap();
        let long = generate(&request(16, 4)).unwrap();
        assert_eq!(short.k[[1, 7, 3]], long.k[[1, 7, 3]]);
        assert_ne!(short.k[[0, 0, 0]], short.k[[1, 0, 0]]);
        assert_ne!(short.k[[0, 0, 0]], short.q[[0, 0, 0]]);
    }
}
