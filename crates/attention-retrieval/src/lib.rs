//! Attention of each query over its top-k keys.
