"""Linear, low-rank and recurrent attention as their papers write them: quadratic or step by step.

Each form answers one history and one query head: q [nq, D], k [nk, D], v [nk, Dv]; query i sees keys
0..end[i]. `c` has what else there is: scale, the number of the key head, parameters, and the tensors
of this history and key head by name. All are differentiable and run in the dtype of their inputs.
"""

import math

import torch

LEAST_SUM = 1e-10


def seen(end, nk):
    return torch.arange(nk)[None, :] < end[:, None]


def weighted(weights, v, end):
    """Rows of weights over the keys seen, divided by their sums."""
    weights = torch.where(seen(end, v.shape[0]), weights, weights.new_zeros(()))
    return (weights @ v) / weights.sum(-1, keepdim=True).clamp(min=LEAST_SUM)


def normed(x):
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


# Feature maps


def linear_elu(q, k, v, end, c):
    """Katharopoulos et al. 2020, equation 7."""
    phi = lambda x: torch.where(x > 0, x + 1, torch.exp(x.clamp(max=0)))
    return weighted(phi(q) @ phi(k).T, v, end)


def linear_relu(q, k, v, end, c):
    return weighted(q.relu() @ k.relu().T, v, end)


def favor(q, k, v, end, c):
    """Choromanski et al. 2021, lemma 1; Likhosherstov et al. 2022 for "plus-plus"."""
    w, root = c.projection, math.sqrt(c.scale)
    x, y = root * q, root * k
    half = lambda x: (x * x).sum(-1, keepdim=True) / 2
    if c.kind == "hyperbolic":
        w = w[: c.features // 2]
        phi = lambda x: torch.cat([torch.exp(x @ w.T - half(x)), torch.exp(-x @ w.T - half(x))], -1)
    elif c.kind == "plus-plus":
        d = q.shape[-1]
        # |q' + k'|^2 that is expected; unit Gaussian q and k have 2·D·scale.
        s = c.sum_norm or 2 * math.sqrt(d)
        # The minimum of the second moment (1-4A)^d (1-8A)^(-d/2) exp(2(1-4A)s/(1-8A)).
        rho = (math.sqrt((d + 2 * s) ** 2 + 8 * d * s) - d - 2 * s) / (4 * s)
        a = (1 - 1 / rho) / 8
        square = a * (w * w).sum(-1)
        phi = lambda x: (1 - 4 * a) ** (d / 4) * torch.exp(square + math.sqrt(1 - 4 * a) * x @ w.T - half(x))
    else:
        phi = lambda x: torch.exp(x @ w.T - half(x))
    return weighted(phi(x) @ phi(y).T / c.features, v, end)


def rfa(q, k, v, end, c):
    """Peng et al. 2021, equations 4 and 5, with the sign of the normaliser kept."""
    w = c.projection[: c.features // 2] / c.sigma
    phi = lambda x: torch.cat([torch.sin(x @ w.T), torch.cos(x @ w.T)], -1) * math.sqrt(2 / c.features)
    weights = torch.where(seen(end, k.shape[0]), phi(normed(q)) @ phi(normed(k)).T, 0.0)
    total = weights.sum(-1, keepdim=True)
    sign = torch.where(total < 0, -1.0, 1.0).to(total.dtype)
    return (weights @ v) / (sign * total.abs().clamp(min=LEAST_SUM))


def cosformer(q, k, v, end, c):
    """Qin et al. 2022, equation 10; query i stands where the last key stands that it sees."""
    horizon = max(c.horizon, c.keys_of_history)
    apart = (end - 1)[:, None] - torch.arange(k.shape[0])[None, :]
    angle = (math.pi / 2) * apart.to(q.dtype) / horizon
    return weighted(q.relu() @ k.relu().T * torch.cos(angle), v, end)


def linrec(q, k, v, end, c):
    """Liu et al. 2023: per token as the public code, per feature over the history as the paper."""
    elu = lambda x: torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))
    key = elu(k)
    if c.normalisation == "paper":
        # Full masks alone: every query sees the same keys.
        n = int(end[0])
        key = key / (math.sqrt(n) * key[:n].norm(dim=0).clamp(min=1e-12))
    else:
        key = normed(key)
    weights = torch.where(seen(end, k.shape[0]), normed(elu(q)) @ key.T, 0.0)
    return c.scale * (weights @ v)


def based(q, k, v, end, c):
    """Arora et al. 2024, section 4: 1 + s + s²/2 far away, exp in a window of whole chunks of 64."""
    x, y = (q @ c.projection, k @ c.projection) if c.dim else (q, k)
    s = c.scale * x @ y.T
    weights = 1 + s + s * s / 2
    if c.window:
        near = torch.arange(k.shape[0])[None, :] // 64 > (end - 1)[:, None] // 64 - c.window // 64
        weights = torch.where(near, torch.exp(c.scale * q @ k.T), weights)
    return weighted(weights, v, end)


def rebased(q, k, v, end, c):
    """Aksenov et al. 2024, equation 8: the square of products of normalised projections."""

    def y(x):
        x = x @ c.projection if c.dim else x
        x = x - x.mean(-1, keepdim=True)
        x = x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5)
        return c.gamma * x + c.beta

    return weighted((y(q) @ y(k).T) ** 2, v, end)


def hedgehog(q, k, v, end, c):
    """Zhang et al. 2024, equation 6, with the softmax over features of their code."""
    phi = lambda x, w: torch.softmax(torch.cat([x @ w.T, -x @ w.T], -1), -1)
    return weighted(phi(q, c.query_map) @ phi(k, c.key_map).T, v, end)


# Low rank: every query sees the first n keys


def linformer(q, k, v, end, c):
    """Wang et al. 2020, equation 7."""
    n = int(end[0])
    keys, values = c.key_projection[:, :n] @ k[:n], c.value_projection[:, :n] @ v[:n]
    return torch.softmax(c.scale * q @ keys.T, -1) @ values


def nystrom(q, k, v, end, c):
    """Xiong et al. 2021, equations 13 and 14."""

    def landmarks(x):
        n = x.shape[0]
        m = min(c.landmarks, n)
        segment = torch.arange(n) * m // n
        return torch.stack([x[segment == s].mean(0) for s in range(m)])

    k, v = k[: int(end[0])], v[: int(end[0])]
    attend = lambda x, y: torch.softmax(c.scale * x @ y.T, -1)
    q_marks, k_marks = landmarks(q), landmarks(k)
    a = attend(q_marks, k_marks)
    eye = torch.eye(a.shape[0], dtype=a.dtype)
    z = a.T / (a.abs().sum(0).max() * a.abs().sum(1).max())
    for _ in range(c.iterations):
        az = a @ z
        z = z @ (13 * eye - az @ (15 * eye - az @ (7 * eye - az))) / 4
    return attend(q, k_marks) @ z @ (attend(q_marks, k) @ v)


def lightsans(q, k, v, end, c):
    """Fan et al. 2021, equations 4 and 5. The public code takes the softmax of the scores over the
    queries ("query"); "interest" reads that of the aggregation row by row."""
    k, v = k[: int(end[0])], v[: int(end[0])]
    axis = 1 if c.axis == "interest" else 0
    keys = torch.softmax(k @ c.key_interest, axis).T @ k
    values = torch.softmax(v @ c.value_interest, axis).T @ v
    return torch.softmax(c.scale * q @ keys.T, 0 if c.axis == "query" else 1) @ values


# Recurrences: a state after every key


def read(q, states, end, c):
    """Each query times the state after the keys that it sees; states[0] is empty."""
    return c.scale * torch.einsum("id,ide->ie", q, torch.stack(states)[end])


def retnet(q, k, v, end, c):
    """Sun et al. 2023, equation 6, without rotation and group norm."""
    decay = 1 - 2.0 ** (-5 - c.key_head)
    states = [q.new_zeros(k.shape[1], v.shape[1])]
    for t in range(k.shape[0]):
        states.append(decay * states[-1] + torch.outer(k[t], v[t]))
    return read(q, states, end, c)


def gla(q, k, v, end, c):
    """Yang et al. 2024, equation 3."""
    states = [q.new_zeros(k.shape[1], v.shape[1])]
    for t in range(k.shape[0]):
        states.append(torch.exp(c.log_decay[t])[:, None] * states[-1] + torch.outer(k[t], v[t]))
    return read(q, states, end, c)


def deltanet(q, k, v, end, c):
    """Yang et al. 2024 (DeltaNet), equation 1; gated as Yang et al. 2025, equation 10."""
    q, k = normed(q), normed(k)
    states = [q.new_zeros(k.shape[1], v.shape[1])]
    for t in range(k.shape[0]):
        state = states[-1]
        if c.gated:
            state = torch.exp(c.log_decay[t]) * state
        states.append(state + c.beta[t] * torch.outer(k[t], v[t] - k[t] @ state))
    return read(q, states, end, c)


def gated_deltanet(q, k, v, end, c):
    c.gated = True
    return deltanet(q, k, v, end, c)


def selective_scan(q, k, v, end, c):
    """Gu and Dao 2023, algorithm 2: B is k, C is scale·q, x is v, discretised as their code does."""
    rate = -torch.exp(c.log_rate)  # [Dv, D]
    state = q.new_zeros(v.shape[1], k.shape[1])
    states = [state]
    for t in range(k.shape[0]):
        step = c.step[t][:, None]
        state = torch.exp(step * rate) * state + step * torch.outer(v[t], k[t])
        states.append(state)
    o = c.scale * torch.einsum("in,icn->ic", q, torch.stack(states)[end])
    last = v[(end - 1).clamp(min=0)]
    return o + torch.where((end > 0)[:, None], c.skip * last, 0.0)
