"""Golden values of softmax attention and its gradients, by PyTorch in f64.

    python benches/golden/softmax_attention.py > crates/attention-variants/tests/golden/softmax_attention.json

The inputs are given by a formula, so that only the answers are stored: entry n (row-major, from 0) of
tensor number t (Q 1, K 2, V 3, dO 4) is sin(0.37 t + 0.71 n + 0.013 t n), rounded to f32.
"""

import json

import torch


def tensor(number, shape):
    n = torch.arange(int(torch.tensor(shape).prod()), dtype=torch.float64)
    values = torch.sin(0.37 * number + 0.71 * n + 0.013 * number * n)
    return values.to(torch.float32).to(torch.float64).reshape(shape).requires_grad_()


def case(name, b, h, hkv, nq, nk, d, dv, scale, visible):
    q, k, v = tensor(1, (b, h, nq, d)), tensor(2, (b, hkv, nk, d)), tensor(3, (b, hkv, nk, dv))
    d_o = tensor(4, (b, h, nq, dv)).detach()
    keys, values = (t.repeat_interleave(h // hkv, dim=1) for t in (k, v))
    scores = scale * q @ keys.transpose(-1, -2)
    scores = scores.masked_fill(~visible, float("-inf"))
    blind = ~visible.any(-1, keepdim=True)
    o = torch.softmax(scores.masked_fill(blind, 0.0), dim=-1).masked_fill(blind, 0.0) @ values
    (o * d_o).sum().backward()
    lse = torch.logsumexp(scores, dim=-1)
    flat = lambda t: [float(f"{x:.9g}") for x in t.detach().flatten()]
    # JSON has no infinity; a row that sees nothing is null.
    lse = [None if x == float("-inf") else x for x in flat(lse)]
    return {
        "name": name,
        "shape": [b, h, hkv, nq, nk, d, dv],
        "scale": scale,
        "o": flat(o),
        "lse": lse,
        "dq": flat(q.grad),
        "dk": flat(k.grad),
        "dv": flat(v.grad),
    }


i, j = torch.arange(5)[:, None], torch.arange(7)[None, :]
full = torch.ones(5, 7, dtype=torch.bool)
lengths = (torch.arange(7)[None, None, None, :] < torch.tensor([3, 7])[:, None, None, None]).expand(2, 1, 5, 7)
cases = [
    case("full", 2, 2, 2, 5, 7, 4, 3, 0.5, full),
    case("causal top-left", 2, 2, 2, 5, 7, 4, 3, 0.5, j <= i),
    case("causal bottom-right", 2, 2, 2, 5, 7, 4, 3, 0.5, j <= i + 2),
    case("window 2", 2, 2, 2, 5, 7, 4, 3, 0.5, (i - 2 < j) & (j <= i)),
    case("key lengths", 2, 2, 2, 5, 7, 4, 3, 0.5, lengths),
    case("grouped heads, large scale", 2, 2, 1, 5, 7, 4, 3, 40.0, full),
    case("blind rows", 2, 2, 2, 5, 7, 4, 3, 0.5, j <= i - 2),
]
print(json.dumps(cases, separators=(",", ":")))
