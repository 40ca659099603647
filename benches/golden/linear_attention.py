"""Golden values of linear, low-rank and recurrent attention and their gradients, by PyTorch in f64.

    cargo run --release -p attention-linear --example projection > \
        crates/attention-variants/tests/golden/projection.json
    python benches/golden/linear_attention.py > crates/attention-variants/tests/golden/linear_attention.json

The equations are in `linear_forms.py`, written from the papers; the first line is needed again where
the drawing of random projections has changed. Inputs are given by the formula of `formula.py`, so that
only answers are stored; Q is tensor 1, K 2, V 3, dO 4, the variant's own follow from 5 on. `f32` of an
answer is what PyTorch's f32 makes of the same equations, as relative Frobenius error.
"""

import json
import pathlib
import types

import torch

import linear_forms as forms
from formula import stored, tensor

GOLDEN = pathlib.Path(__file__).parents[2] / "crates/attention-variants/tests/golden"
SEED = 3

# Name: (B, H, Hkv, Nq, Nk, D, Dv), mask, key lengths. Longer than two chunks of 64, and not a multiple.
SHAPES = {
    "grouped": ((1, 4, 2, 9, 9, 5, 3), "causal top-left", None),
    "blind rows": ((2, 2, 2, 7, 4, 5, 3), "causal bottom-right", None),
    "long": ((1, 2, 1, 150, 150, 8, 6), "causal top-left", None),
    "last queries": ((1, 2, 2, 70, 150, 8, 6), "causal bottom-right", None),
    "key lengths": ((2, 2, 1, 20, 150, 8, 6), "full", [150, 65]),
    "full": ((1, 4, 2, 9, 9, 5, 3), "full", None),
    "long full": ((1, 2, 1, 150, 150, 8, 6), "full", None),
}
CAUSAL = ["grouped", "blind rows", "long", "last queries", "key lengths"]
FULL = ["full", "long full", "key lengths"]

# Tensors by name: their axes, and what lies between what.
HEAD = "Hkv"
BASED = {"projection": ((HEAD, "D", "dim"), -0.6, 0.6)}
REBASED = BASED | {"gamma": ((HEAD, "dim"), 0.5, 1.5), "beta": ((HEAD, "dim"), -0.3, 0.3)}
HEDGEHOG = {name: ((HEAD, "D", "D"), -0.6, 0.6) for name in ("query_map", "key_map")}
LINFORMER = {name: ((HEAD, "rank", "Nk"), -0.3, 0.3) for name in ("key_projection", "value_projection")}
LIGHTSANS = {
    "key_interest": ((HEAD, "D", "interests"), -0.8, 0.8),
    "value_interest": ((HEAD, "Dv", "interests"), -0.8, 0.8),
}
GLA = {"log_decay": (("B", HEAD, "Nk", "D"), -0.3, 0.0)}
DELTA = {"beta": (("B", HEAD, "Nk"), 0.05, 0.95)}
GATED = DELTA | {"log_decay": (("B", HEAD, "Nk"), -0.3, 0.0)}
SCAN = {
    "log_rate": ((HEAD, "Dv", "D"), -1.0, 0.5),
    "skip": ((HEAD, "Dv"), -1.0, 1.0),
    "step": (("B", HEAD, "Nk", "Dv"), 0.02, 0.3),
}

# Registry name, parameters, form, tensors, shapes.
VARIANTS = [
    ("linear-elu", {}, forms.linear_elu, {}, CAUSAL),
    ("linear-relu", {}, forms.linear_relu, {}, CAUSAL),
    ("favor", {"features": 16, "seed": SEED}, forms.favor, {}, CAUSAL),
    ("favor", {"features": 16, "seed": SEED, "kind": "hyperbolic"}, forms.favor, {}, CAUSAL),
    ("favor", {"features": 16, "seed": SEED, "kind": "plus-plus"}, forms.favor, {}, CAUSAL),
    ("favor", {"features": 16, "seed": SEED, "kind": "plus-plus", "sum-norm": 2.5}, forms.favor, {}, ["long"]),
    ("rfa", {"features": 32, "seed": SEED, "sigma": 1.0}, forms.rfa, {}, CAUSAL),
    ("rfa", {"features": 32, "seed": SEED, "sigma": 1.5}, forms.rfa, {}, ["long"]),
    ("cosformer", {}, forms.cosformer, {}, CAUSAL),
    ("cosformer", {"horizon": 200}, forms.cosformer, {}, ["last queries"]),
    ("linrec", {"normalisation": "per-token"}, forms.linrec, {}, CAUSAL),
    ("linrec", {"normalisation": "paper"}, forms.linrec, {}, FULL),
    ("based", {"dim": 4, "window": 64}, forms.based, BASED, CAUSAL),
    ("based", {"dim": 4, "window": 128}, forms.based, BASED, ["long"]),
    ("based", {"dim": 0, "window": 0}, forms.based, {}, ["long", "key lengths"]),
    ("rebased", {"dim": 4}, forms.rebased, REBASED, CAUSAL),
    ("hedgehog", {}, forms.hedgehog, HEDGEHOG, CAUSAL),
    ("linformer", {"rank": 8}, forms.linformer, LINFORMER, FULL),
    ("nystrom", {"landmarks": 8, "iterations": 6}, forms.nystrom, {}, FULL),
    ("lightsans", {"interests": 4, "axis": "sequence"}, forms.lightsans, LIGHTSANS, FULL),
    ("lightsans", {"interests": 4, "axis": "interest"}, forms.lightsans, LIGHTSANS, FULL),
    ("lightsans", {"interests": 4, "axis": "query"}, forms.lightsans, LIGHTSANS, FULL),
    ("retnet", {}, forms.retnet, {}, CAUSAL),
    ("gla", {}, forms.gla, GLA, CAUSAL),
    ("deltanet", {}, forms.deltanet, DELTA, CAUSAL),
    ("gated-deltanet", {}, forms.gated_deltanet, GATED, CAUSAL),
    ("selective-scan", {}, forms.selective_scan, SCAN, CAUSAL),
]
DEFAULTS = {"kind": "positive", "sum_norm": 0.0, "horizon": 0, "gated": False}
PROJECTIONS = json.loads((GOLDEN / "projection.json").read_text())


def random_projection(parameters, d):
    """The first rows of what the library draws, one direction a row."""
    if "seed" not in parameters:
        return None
    found = next(p for p in PROJECTIONS if (p["d"], p["seed"]) == (d, parameters["seed"]))
    return torch.tensor(found["rows"], dtype=torch.float32).reshape(-1, d)[: parameters["features"]]


def ends(mask, lengths, b, nq, nk):
    """How many keys each query of history b sees."""
    i = torch.arange(nq)
    n = nk if lengths is None else lengths[b]
    count = {"causal top-left": i + 1, "causal bottom-right": i + 1 + nk - nq, "full": torch.full((nq,), nk)}[mask]
    return count.clamp(0, n)


def share(t, axes, history, key_head):
    """What one history and key head has of a tensor."""
    if axes[0] == "B":
        return t[history, key_head]
    return t[key_head] if axes[0] == HEAD else t


def size(axis, sizes):
    """Of an axis: a letter, a number, or a letter and a factor."""
    if isinstance(axis, tuple):
        return sizes[axis[0]] * axis[1]
    return sizes.get(axis, axis)


def answers(dtype, form, inputs, own, axes, parameters, scale, shape, mask, lengths):
    """O and the gradients of all inputs, in a dtype."""
    b, h, hkv, nq, nk, d, dv = shape
    inputs = {name: t.to(dtype).requires_grad_(name != "do") for name, t in (inputs | own).items()}
    fixed = random_projection(parameters, d)
    settings = DEFAULTS | {name.replace("-", "_"): value for name, value in parameters.items()}
    outputs = []
    for history in range(b):
        for head in range(h):
            key_head = head // (h // hkv)
            c = types.SimpleNamespace(**settings)
            c.scale, c.key_head = scale, key_head
            c.keys_of_history = nk if lengths is None else lengths[history]
            if fixed is not None:
                c.projection = fixed.to(dtype)
            for name in own:
                setattr(c, name, share(inputs[name], axes[name][0], history, key_head))
            end = ends(mask, lengths, history, nq, nk)
            q, k, v = inputs["q"][history, head], inputs["k"][history, key_head], inputs["v"][history, key_head]
            outputs.append(form(q, k, v, end, c))
    o = torch.stack(outputs).reshape(b, h, nq, dv)
    (o * inputs["do"]).sum().backward()
    # What a form does not read (queries, in pooling) has a gradient of zero.
    gradient = lambda t: torch.zeros_like(t) if t.grad is None else t.grad
    return {"o": o} | {"d" + name: gradient(t) for name, t in inputs.items() if name != "do"}


def case(variant, parameters, form, axes, name):
    shape, mask, lengths = SHAPES[name]
    b, h, hkv, nq, nk, d, dv = shape
    sizes = {"B": b, HEAD: hkv, "Nk": nk, "D": d, "Dv": dv} | parameters
    shapes = {"q": (b, h, nq, d), "k": (b, hkv, nk, d), "v": (b, hkv, nk, dv), "do": (b, h, nq, dv)}
    inputs = {letter: tensor(t, s, -1.5, 1.5) for t, (letter, s) in enumerate(shapes.items(), 1)}
    own, listed = {}, []
    for number, (own_name, (letters, low, high)) in enumerate(axes.items(), 5):
        own_shape = tuple(size(letter, sizes) for letter in letters)
        own[own_name] = tensor(number, own_shape, low, high)
        listed.append({"name": own_name, "number": number, "shape": own_shape, "low": low, "high": high})
    scale = torch.tensor(1 / d**0.5, dtype=torch.float32).item()
    both = [
        answers(dtype, form, inputs, own, axes, parameters, scale, shape, mask, lengths)
        for dtype in (torch.float64, torch.float32)
    ]
    return {
        "name": name,
        "variant": variant,
        "parameters": {key: str(value) for key, value in parameters.items()},
        "shape": shape,
        "scale": scale,
        "mask": mask,
        "lengths": lengths,
        "tensors": listed,
        "answers": {key: stored(exact, both[1][key]) for key, exact in both[0].items()},
    }


def main(variants):
    cases = [case(*variant[:4], name) for variant in variants for name in variant[4]]
    print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]")


if __name__ == "__main__":
    main(VARIANTS)
