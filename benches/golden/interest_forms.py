"""The attentions of recommenders as their papers write them, pair by pair of one history and query head.

As in `linear_forms.py`: q [nq, D], k [nk, D], v [nk, Dv]; query i sees keys 0..end[i]; `c` has what else there
is.
"""

import torch

from linear_forms import seen


def masked(scores, end, value):
    return torch.where(seen(end, scores.shape[1]), scores, scores.new_full((), value))


def softmaxed(scores, end):
    """Rows of a softmax over the keys seen; zeros where there is none."""
    weights = torch.softmax(masked(scores, end, float("-inf")), -1)
    return torch.where(end[:, None] > 0, weights, weights.new_zeros(()))


def hstu(q, k, v, end, c):
    """Zhai et al. 2024, equation 2: SiLU of scores with a bias by relative position, over n."""
    scores = c.scale * q @ k.T
    if c.positions:
        far = c.positions - 1
        distance = torch.arange(k.shape[0])[None, :] - torch.arange(q.shape[0])[:, None]
        scores = scores + c.position_bias[far + distance.clamp(-far, far)]
    weights = masked(torch.nn.functional.silu(scores), end, 0.0)
    n = torch.full_like(end, c.length) if c.length else end.clamp(min=1)
    return (weights / n[:, None].to(weights.dtype)) @ v


def din(q, k, v, end, c):
    """Zhou et al. 2018, figure 2, with RecBole's sigmoid layers and division by the root of D."""
    pairs = torch.broadcast_tensors(q[:, None, :], k[None, :, :])
    inputs = torch.cat([*pairs, pairs[0] - pairs[1], pairs[0] * pairs[1]], -1)
    first = torch.sigmoid(inputs @ c.w1 + c.b1)
    second = torch.sigmoid(first @ c.w2 + c.b2)
    scores = c.scale * (second @ c.w3)
    if c.weights == "softmax":
        # b3 is in all scores alike: its gradient is zero.
        return softmaxed(scores, end) @ v
    return masked(scores + c.scale * c.b3, end, 0.0) @ v


def additive(q, k, v, end, c):
    """Bahdanau et al. 2015, appendix A.1.2; without queries Wu et al. 2019, NRMS, equation 9."""
    sums = (k @ c.key_map)[None, :, :] + c.bias
    if c.form == "query":
        sums = sums + (q @ c.query_map)[:, None, :]
    scores = torch.tanh(sums) @ c.vector
    return softmaxed(scores.expand(q.shape[0], -1), end) @ v
