"""SASRec's training step in PyTorch: torch_sasrec.py, the peer of `cargo run --release -p benches --bin training`.

The architecture is that of our SasRec with `norm = "original"`, as the authors' code has it: scaled item
vectors and learned places, two blocks (queries normalised, keys and values not), dropout of activations and
attention weights, a final layer norm, binary cross-entropy against one negative, Adam.

One JSON request a line, one answer a line:
{"do": "setup", "batch": 128, "length": 200, "width": 50, "items": 3416, "dropout": 0.2, "attention": "naive", "threads": 2}
{"do": "run", "steps": 3} answers {"seconds": [...], "loss": ...}
attention is naive (products and softmax), sdpa (scaled_dot_product_attention) or sdpa-nodrop (the same without
dropout of the weights, which lets it use its flash kernel).
"""

import json
import math
import os
import resource
import sys
import time

for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
    del os.environ[name]

import torch
import torch.nn as nn
import torch.nn.functional as F


class Attention(nn.Module):
    def __init__(self, width, dropout, form):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.dropout, self.form = dropout, form

    def forward(self, x, memory, future):
        q, k, v = (t.unsqueeze(1) for t in (self.query(x), self.key(memory), self.value(memory)))
        if self.form == "naive":
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            weights = scores.masked_fill(future, float("-inf")).softmax(-1)
            o = F.dropout(weights, self.dropout, self.training) @ v
        else:
            rate = self.dropout if self.form == "sdpa" else 0.0
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=rate)
        return self.output(o.squeeze(1))


class Block(nn.Module):
    def __init__(self, width, dropout, form):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-8) for _ in range(2))
        self.attention = Attention(width, dropout, form)
        self.inner, self.outer = (nn.Linear(width, width) for _ in range(2))
        self.drop1, self.drop2 = (nn.Dropout(dropout) for _ in range(2))

    def forward(self, x, future):
        queries = self.norm1(x)
        x = queries + self.attention(queries, x, future)
        x = self.norm2(x)
        return x + self.drop2(self.outer(self.drop1(F.relu(self.inner(x)))))


class SasRec(nn.Module):
    def __init__(self, items, length, width, dropout, form):
        super().__init__()
        self.items, self.places = nn.Embedding(items, width), nn.Embedding(length, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, dropout, form) for _ in range(2))
        self.norm = nn.LayerNorm(width, eps=1e-8)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, inputs, positives, negatives):
        x = self.drop(self.items(inputs) * math.sqrt(self.items.embedding_dim) + self.places.weight)
        for block in self.blocks:
            x = block(x, self.future)
        x = self.norm(x)
        return (x * self.items(positives)).sum(-1), (x * self.items(negatives)).sum(-1)


def setup(batch, length, width, items, dropout, attention, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = SasRec(items, length, width, dropout, attention)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))

    def step():
        histories = torch.randint(items, (batch, length + 1))
        negatives = torch.randint(items, (batch, length))
        start = time.perf_counter()
        optimiser.zero_grad()
        positive, negative = model(histories[:, :-1], histories[:, 1:], negatives)
        loss = F.softplus(-positive).mean() + F.softplus(negative).mean()
        loss.backward()
        optimiser.step()
        return time.perf_counter() - start, loss

    return step


step = None
for line in sys.stdin:
    request = json.loads(line)
    do = request.pop("do")
    if do == "setup":
        step = setup(**request)
        answer = {"version": torch.__version__}
    else:
        done = [step() for _ in range(request["steps"])]
        answer = {
            "seconds": [seconds for seconds, _ in done],
            "loss": done[-1][1].item(),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    print(json.dumps(answer), flush=True)
