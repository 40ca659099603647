//! Interaction logs, a simulated shop, and item embeddings learnt from a log.
