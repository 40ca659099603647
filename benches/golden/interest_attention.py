"""Golden values of the attentions of recommenders and their gradients, by PyTorch in f64.

    python benches/golden/interest_attention.py > \
        crates/attention-variants/tests/golden/interest_attention.json

The equations are in `interest_forms.py`; inputs and what is stored are as in `linear_attention.py`.
"""

import interest_forms as forms
from linear_attention import main

CAUSAL = ["grouped", "blind rows", "long", "last queries", "key lengths"]
LENGTHS = ["long full", "key lengths", "blind rows"]


def din(h1, h2):
    return {
        "w1": ((("D", 4), h1), -0.6, 0.6),
        "b1": ((h1,), -0.3, 0.3),
        "w2": ((h1, h2), -0.6, 0.6),
        "b2": ((h2,), -0.3, 0.3),
        "w3": ((h2,), -0.8, 0.8),
        "b3": ((1,), -0.3, 0.3),
    }


def additive(hidden, pooling=False):
    maps = ("key_map",) if pooling else ("key_map", "query_map")
    own = {name: (("D", hidden), -0.6, 0.6) for name in maps}
    return own | {"bias": ((hidden,), -0.3, 0.3), "vector": ((hidden,), -0.8, 0.8)}


def bias(positions):
    return {"position_bias": ((2 * positions - 1,), -0.5, 0.5)}


# Registry name, parameters, form, tensors, shapes.
VARIANTS = [
    ("hstu", {"positions": 20, "length": 0}, forms.hstu, bias(20), CAUSAL),
    ("hstu", {"positions": 200, "length": 160}, forms.hstu, bias(200), ["long", "long full"]),
    ("hstu", {"positions": 0, "length": 0}, forms.hstu, {}, ["long"]),
    ("din", {"hidden-1": 12, "hidden-2": 7, "weights": "scores"}, forms.din, din(12, 7), CAUSAL),
    ("din", {"hidden-1": 20, "hidden-2": 17, "weights": "softmax"}, forms.din, din(20, 17), LENGTHS),
    ("additive", {"hidden": 11, "form": "query"}, forms.additive, additive(11), CAUSAL),
    ("additive", {"hidden": 18, "form": "pooling"}, forms.additive, additive(18, True), LENGTHS),
]

if __name__ == "__main__":
    main(VARIANTS)
