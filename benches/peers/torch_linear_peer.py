"""Linear and recurrent attention in PyTorch, in the forms that are fastest there.

What is causal goes chunk by chunk, in batched products over the heads, so that a chunk and the state
stay in the cache: faster than all chunks at once, which writes every state to memory. Which chunk is
best depends on length and threads, and so does compiling: each cell is prepared with the candidates
below, a few calls of each are timed, and the fastest answers.
"""

import math
import time

from attnpeer import Unsupported, serve
from torch_peer import prepare

import torch
import torch.nn.functional as F

LEAST_SUM = 1e-10


def elu_full(q, k, v):
    """For gradients, and short histories: compiled."""
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return (q @ (k.transpose(1, 2) @ v)) / (q @ k.sum(1)[..., None]).clamp(min=LEAST_SUM)


def elu_full_in_blocks(block):
    def forward(q, k, v):
        o, state, total = torch.empty_like(v), 0, 0
        for x, y in zip(k.split(block, 1), v.split(block, 1)):
            x = F.elu(x).add_(1)
            state, total = state + torch.bmm(x.transpose(1, 2), y), total + x.sum(1)
        for x, out in zip(q.split(block, 1), o.split(block, 1)):
            x = F.elu(x).add_(1)
            torch.div(torch.bmm(x, state), torch.bmm(x, total[..., None]).clamp_(min=LEAST_SUM), out=out)
        return o

    return forward


def elu_causal(chunk):
    def forward(q, k, v):
        triangle = torch.ones(chunk, chunk).tril()
        o = torch.empty_like(v)
        state, total = empty(k, v), k.new_zeros(k.shape[0], k.shape[2], 1)
        for x, y, z, out in zip(*(t.split(chunk, 1) for t in (q, k, v, o))):
            x, y = F.elu(x).add_(1), F.elu(y).add_(1)
            read(x, y, z, state, total, triangle, out)
            state.baddbmm_(y.transpose(1, 2), z)
            total += y.sum(1)[..., None]
        return o

    return forward


def elu_causal_with_gradients(chunk):
    """The same without writing to anything twice, for autograd."""

    def forward(q, k, v):
        triangle = torch.ones(chunk, chunk).tril()
        state, total = empty(k, v), k.new_zeros(k.shape[0], k.shape[2], 1)
        parts = []
        for x, y, z in zip((F.elu(q) + 1).split(chunk, 1), (F.elu(k) + 1).split(chunk, 1), v.split(chunk, 1)):
            n = x.shape[1]
            weights = torch.bmm(x, y.transpose(1, 2)) * triangle[:n, :n]
            sums = torch.baddbmm(weights.sum(-1, keepdim=True), x, total)
            parts.append(torch.baddbmm(torch.bmm(weights, z), x, state) / sums.clamp(min=LEAST_SUM))
            state = torch.baddbmm(state, y.transpose(1, 2), z)
            total = total + y.sum(1)[..., None]
        return torch.cat(parts, 1)

    return forward


def favor_features(cell):
    """exp(w·x - |x|²/2) of keys and exp(w·x) of queries; what is left out cancels, and so does what
    is subtracted to keep exp in range."""
    projection = torch.from_numpy(cell.tensor("projection")).T
    root = math.sqrt(cell.scale)
    projection = (root * projection).expand(cell.b * cell.h, -1, -1).contiguous()
    half = 0.5 * cell.scale

    def queries(x):
        x = torch.bmm(x, projection)
        return x.sub_(x.amax(-1, keepdim=True)).exp_()

    def keys(x, state, total, top):
        """Features in units of the largest so far, to which the sums are brought."""
        x = torch.bmm(x, projection).sub_((x * x).sum(-1, keepdim=True), alpha=half)
        higher = torch.maximum(top, x.amax((1, 2), keepdim=True))
        shrink = torch.exp(top - higher)
        state *= shrink
        total *= shrink
        return x.sub_(higher).exp_(), higher

    features = projection.shape[2]
    sums = lambda v: (
        v.new_zeros(v.shape[0], features, v.shape[2]),
        v.new_zeros(v.shape[0], features, 1),
        v.new_full((v.shape[0], 1, 1), -math.inf),
    )
    return queries, keys, sums


def favor_full(cell, block):
    queries, keys, sums = favor_features(cell)

    def forward(q, k, v):
        o = torch.empty_like(v)
        state, total, top = sums(v)
        for y, z in zip(k.split(block, 1), v.split(block, 1)):
            y, top = keys(y, state, total, top)
            state.baddbmm_(y.transpose(1, 2), z)
            total += y.sum(1)[..., None]
        for x, out in zip(q.split(block, 1), o.split(block, 1)):
            x = queries(x)
            torch.div(torch.bmm(x, state), torch.bmm(x, total).clamp_(min=LEAST_SUM), out=out)
        return o

    return forward


def favor_causal(cell, chunk):
    queries, keys, sums = favor_features(cell)

    def forward(q, k, v):
        triangle = torch.ones(chunk, chunk).tril()
        o = torch.empty_like(v)
        state, total, top = sums(v)
        for x, y, z, out in zip(*(t.split(chunk, 1) for t in (q, k, v, o))):
            y, top = keys(y, state, total, top)
            read(queries(x), y, z, state, total, triangle, out)
            state.baddbmm_(y.transpose(1, 2), z)
            total += y.sum(1)[..., None]
        return o

    return forward


def deltanet(cell, chunk, invert):
    """Chunks in the WY form, prepared eight at a time (Yang et al. 2024, section 3.2)."""
    beta = torch.from_numpy(cell.tensor("beta")).reshape(cell.b * cell.hkv, cell.nk, 1)
    if cell.nk % chunk:
        raise Unsupported(f"DeltaNet of {cell.nk} keys, which {chunk} does not divide")
    span = chunk * next(g for g in (8, 4, 2, 1) if cell.nk // chunk % g == 0)
    lower, triangle = torch.ones(chunk, chunk).tril(-1), torch.ones(chunk, chunk).tril()

    def forward(q, k, v):
        o, state = torch.empty_like(v), empty(k, v)
        heads, width = q.shape[0], v.shape[2]
        for x, y, z, b, out in zip(*(t.split(span, 1) for t in (q, k, v, beta, o))):
            cut = lambda t: t.reshape(-1, chunk, t.shape[-1])
            x, y = cut(F.normalize(x, dim=-1, eps=1e-6) * cell.scale), cut(F.normalize(y, dim=-1, eps=1e-6))
            z, b = cut(z), cut(b)
            back = y.transpose(1, 2)
            # (I + tril(diag(b) y yᵀ, -1)) [u w] = diag(b) [z y]
            right = torch.cat([z, y], -1).mul_(b)
            solved = invert(torch.bmm(y * b, back).mul_(lower), right)
            inside = torch.bmm(x, back).mul_(triangle)
            apart = lambda t: t.reshape(heads, -1, *t.shape[1:]).unbind(1)
            parts = zip(*map(apart, (x, back, inside, solved)), out.split(chunk, 1))
            for x, back, inside, solved, out in parts:
                u = torch.baddbmm(solved[..., :width], solved[..., width:], state, alpha=-1)
                torch.baddbmm(torch.bmm(x, state), inside, u, out=out)
                state = torch.baddbmm(state, back, u)
        return o

    return forward


def by_doubling(a, right):
    """(I + A)⁻¹ = (I - A)(I + A²)(I + A⁴)…, since A is nilpotent."""
    power, inverse, known = a, torch.eye(a.shape[-1]) - a, 2
    while known < a.shape[-1]:
        power = torch.bmm(power, power)
        inverse = torch.baddbmm(inverse, inverse, power)
        known *= 2
    return torch.bmm(inverse, right)


def by_substitution(a, right):
    return torch.linalg.solve_triangular(a + torch.eye(a.shape[-1]), right, upper=False, unitriangular=True)


def empty(k, v):
    return k.new_zeros(k.shape[0], k.shape[2], v.shape[2])


def read(x, y, z, state, total, triangle, out):
    """What queries x make of the state and of the keys y and values z of their own chunk."""
    n = x.shape[1]
    weights = torch.bmm(x, y.transpose(1, 2)).mul_(triangle[:n, :n])
    sums = weights.sum(-1, keepdim=True).baddbmm_(x, total)
    torch.div(torch.bmm(weights, z).baddbmm_(x, state), sums.clamp_(min=LEAST_SUM), out=out)


def candidates(cell):
    training = cell.work == "training"
    if cell.attention == "linear-elu" and cell.causal:
        form = elu_causal_with_gradients if training else elu_causal
        return [form(chunk) for chunk in (32, 64, 128)]
    if cell.attention == "linear-elu":
        # PyTorch forgets what it has compiled for another length; eager where it cannot compile.
        torch.compiler.reset()
        return [torch.compile(elu_full), elu_full] + [elu_full_in_blocks(512)] * (not training)
    if training:
        raise Unsupported(f"gradients of {cell.attention}")
    if cell.attention == "favor":
        form = favor_causal if cell.causal else favor_full
        return [form(cell, chunk) for chunk in ((64, 128) if cell.causal else (256, 512))]
    if not cell.causal:
        raise Unsupported("DeltaNet with a full mask")
    return [deltanet(cell, 16, by_doubling), deltanet(cell, 32, by_doubling), deltanet(cell, 64, by_substitution)]


def seconds(form, tensors, d_o):
    """Of the better of two calls, after one that compiles and faults memory in."""

    def call():
        start = time.perf_counter()
        with torch.set_grad_enabled(d_o is not None):
            o = form(*tensors)
        if d_o is not None:
            o.backward(d_o)
        return time.perf_counter() - start

    call()
    return min(call(), call())


def fastest(cell):
    """The fastest of the candidates on this cell."""
    cell.only(kind=("full", "causal"))
    if cell.h != cell.hkv or cell.nq != cell.nk or cell.dtype != "f32":
        raise Unsupported("grouped heads, Nq other than Nk, other than f32")
    training = cell.work == "training"
    folded = lambda name: torch.from_numpy(cell.tensor(name)).flatten(0, 1).requires_grad_(training)
    tensors = [folded(name) for name in "qkv"]
    d_o = folded("do").detach() if training else None

    def timed(form):
        try:
            return seconds(form, tensors, d_o)
        except RuntimeError:  # no compiler
            return math.inf

    best = min(candidates(cell), key=timed)

    def forward(q, k, v):
        return best(*(t.flatten(0, 1) for t in (q, k, v))).unflatten(0, (cell.b, cell.h))

    return forward


if __name__ == "__main__":
    supports = {
        "attention": ["linear-elu", "favor", "deltanet"],
        "work": ["forward", "training"],
        "mask": ["full", "causal"],
        "dtype": ["f32"],
    }
    serve("torch-linear", torch.__version__, supports, prepare(fastest))
