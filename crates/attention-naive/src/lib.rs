//! Exact attention that materialises the scores: the readable baseline and the GEMM-backed one.
