//! The contract every attention variant meets: problem, masks, trait, oracle, accuracy metrics, conformance.
