//! The contract's suite, for a k that cuts, one that does not, and the least.

use attention::conformance::hold;
use attention_retrieval::TOP_K;

#[test]
fn top_k_conforms() {
    for k in ["1", "7", "64", "100000"] {
        hold(&TOP_K, &[("k", k)]).unwrap();
    }
}
