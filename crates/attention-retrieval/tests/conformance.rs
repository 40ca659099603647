//! The contract's own suite, for a k that cuts, one that does not, and the least.

use attention::conformance;
use attention::variant::Parameters;
use attention_retrieval::TOP_K;

#[test]
fn top_k_conforms() {
    for k in ["1", "7", "64", "100000"] {
        let mut parameters = Parameters::defaults(TOP_K.parameters);
        parameters.set("k", TOP_K.parameters[0].accept(k).unwrap());
        let variant = (TOP_K.build)(&parameters).unwrap();
        for outcome in conformance::run(&*variant) {
            if let Err(fault) = outcome.verdict {
                panic!("k = {k}, {}: {fault}", outcome.check.name);
            }
        }
    }
}
