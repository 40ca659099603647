"""Compares `attnbench apply` with PyTorch in f64 on ten shapes and all kinds of mask.

    cargo build --release
    python benches/golden/check_apply.py target/release/attnbench [VARIANT ...]

Prints a line a variant, mask and size of the logits: the largest relative Frobenius error over the
shapes, and the bound it must keep: 2e-6 for logits to 100, 2e-5 to 1000. Exits with 1 if one does not.
Needs numpy and torch.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

SHAPES = [  # B, H, Hkv, Nq, Nk, D, Dv
    (1, 1, 1, 1, 1, 1, 1),
    (2, 2, 2, 7, 7, 5, 3),
    (1, 2, 2, 64, 64, 64, 64),
    (2, 4, 2, 33, 70, 16, 24),
    (1, 1, 1, 100, 65, 48, 48),
    (8, 2, 2, 50, 50, 32, 32),
    (1, 3, 1, 129, 257, 50, 33),
    (1, 2, 2, 300, 300, 96, 96),
    (1, 2, 2, 513, 513, 128, 128),
    (1, 1, 1, 20, 1000, 256, 256),
]
BOUNDS = {3: 2e-6, 100: 2e-6, 1000: 2e-5}


def masks(rng, folder, b, nq, nk):
    """Name -> (command line options, visibility as bool broadcastable to [B, 1, Nq, Nk])."""
    i, j = np.arange(nq)[:, None], np.arange(nk)[None, :]
    lengths = rng.integers(0, nk + 1, b)
    dense = rng.random((nq, nk)) < 0.4
    np.save(folder / "lengths.npy", lengths.astype(np.int64))
    np.save(folder / "dense.npy", dense)
    width = int(rng.integers(1, nk + 1))
    padding = (np.arange(nk)[None, :] < lengths[:, None])[:, None, None, :]
    options = {
        "full": (["full"], np.ones((nq, nk), bool)),
        "causal": (["causal"], j <= i),
        "causal-bottom-right": (["causal-bottom-right"], j <= i + nk - nq),
        "window": ([f"window:{width}"], (i - width < j) & (j <= i)),
        "lengths": ([f"lengths:{folder}/lengths.npy"], padding),
        "dense": ([f"dense:{folder}/dense.npy"], dense),
    }
    options["causal+lengths+dense"] = (
        sum((options[name][0] for name in ("causal", "lengths", "dense")), []),
        options["causal"][1] & padding & dense,
    )
    return options


def reference(q, k, v, visible):
    q, k, v = (torch.from_numpy(t).double() for t in (q, k, v))
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
    visible = torch.from_numpy(np.ascontiguousarray(visible)).expand(q.shape[0], 1, q.shape[2], k.shape[2])
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    blind = ~visible.any(-1, keepdim=True)
    p = torch.softmax(scores.masked_fill(~visible, -torch.inf).masked_fill(blind, 0), -1)
    return (p.masked_fill(blind, 0) @ v).numpy(), scores.abs().max().item()


def main(binary, *variants):
    failed, errors = False, {}
    for number, (b, h, hkv, nq, nk, d, dv) in enumerate(SHAPES):
        for size in BOUNDS:
            rng = np.random.default_rng([number, size])
            q, k, v = (
                rng.standard_normal(shape).astype(np.float32)
                for shape in ((b, h, nq, d), (b, hkv, nk, d), (b, hkv, nk, dv))
            )
            # The largest logit of the full problem becomes `size`.
            q *= np.float32(size / reference(q, k, v, np.ones((nq, nk), bool))[1])
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                for letter, t in zip("qkv", (q, k, v)):
                    np.save(folder / f"{letter}.npy", t)
                for mask, (options, visible) in masks(rng, folder, b, nq, nk).items():
                    expected, _ = reference(q, k, v, visible)
                    for variant in variants or ("naive", "naive-gemm", "blocked"):
                        command = [binary, "apply", "--variant", variant, "--out", f"{folder}/o.npy"]
                        command += sum((["--mask", option] for option in options), [])
                        command += sum((["--" + l, f"{folder}/{l}.npy"] for l in "qkv"), [])
                        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                        assert json.loads(line)["variant"].startswith(variant)
                        got = np.load(folder / "o.npy").astype(np.float64)
                        norm = np.linalg.norm(expected)
                        error = np.linalg.norm(got - expected) / (norm if norm else 1.0)
                        key = (variant, size, mask)
                        errors[key] = max(errors.get(key, 0.0), error)
    for (variant, size, mask), error in sorted(errors.items()):
        good = error <= BOUNDS[size]
        failed |= not good
        print(f"{variant:11} logits to {size:4} {mask:21} {error:.2e} <= {BOUNDS[size]:.0e} {'ok' if good else 'TOO LARGE'}")
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
