"""Tensors by a formula that has the same bits in every language, and what is stored of an answer.

Entry n (row-major, from 0) of tensor t is low + (high - low)·u(t, n), in f64, rounded to f32; u is the
top 24 bits of SplitMix64's finaliser of t·2^32 + n, over 2^24.
"""

import numpy as np
import torch

WHOLE = 200
SAMPLE = 160
CHECKS = 4
FIRST_CHECK = 100
GOLDEN_RATIO = 0.618033988749895


def uniform(number, count):
    with np.errstate(over="ignore"):
        x = (np.uint64(number) << np.uint64(32)) + np.arange(count, dtype=np.uint64)
        x += np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float64) / 2.0**24


def tensor(number, shape, low, high):
    values = low + (high - low) * uniform(number, int(np.prod(shape)))
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def sample(count):
    """Places spread over a tensor of so many entries; all of them where they are few."""
    if count <= WHOLE:
        return np.arange(count)
    k = np.arange(1, SAMPLE + 1) * GOLDEN_RATIO
    return np.floor(count * (k - np.floor(k))).astype(np.int64)


def stored(exact, single):
    """A tensor in f64 as it is stored: its norm, sampled entries, products with formula tensors, and
    how far f32 is from it."""
    exact = exact.detach().flatten().numpy()
    single = single.detach().double().flatten().numpy()
    norm = np.linalg.norm(exact)
    digits = lambda x: float(f"{x:.10g}")
    checks = []
    if exact.size > WHOLE:
        for r in range(CHECKS):
            checks.append(digits(exact @ (2 * uniform(FIRST_CHECK + r, exact.size) - 1)))
    return {
        "norm": digits(norm),
        "values": [digits(x) for x in exact[sample(exact.size)]],
        "checks": checks,
        "f32": float(f"{np.linalg.norm(single - exact) / (norm or 1.0):.3g}"),
    }
