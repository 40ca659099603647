"""SASRec in PyTorch, the peer of `cargo run --release -p benches --bin training`: torch_sasrec.py FORM.

The architecture is that of our SasRec with `norm = "original"`, as the authors' code has it: scaled item
vectors and learned places, two blocks (queries normalised, keys and values not), dropout of activations and
attention weights, a final layer norm, binary cross-entropy against one negative, Adam. Parameters are read
from a checkpoint of ours, so that both begin alike and their logits can be compared.

FORM is naive (products and softmax), sdpa (scaled_dot_product_attention) or sdpa-nodrop (the same without dropout
of the weights, which lets it use its flash kernel: another training).

One JSON request a line, one answer a line, {"ok": ...} or {"failed": "why"}:
{"do": "hello"} answers {"version": ..., "cpus": ...}
{"do": "train", "threads": 2, "dropout": 0.2, "parameters": FILE, "batches": [[history, ...], ...]}
{"do": "evaluate", "threads": 2, "parameters": FILE, "histories": [...], "targets": [...], "sorted": false}
{"do": "logits", "histories": [...]}: of every item behind each, without dropout
{"do": "run", "calls": 3, "warm": 1} answers {"seconds": [...], "losses": [...]}
{"do": "memory"}: bytes that one more step, the model and its optimiser took beyond the process before
{"do": "ranks"}: those of the last evaluation
"""

import json
import math
import os
import resource
import struct
import sys
import time

for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
    del os.environ[name]

# Before PyTorch's runtime binds this thread to one.
CPUS = len(os.sched_getaffinity(0))

import torch
import torch.nn as nn
import torch.nn.functional as F

FORM = sys.argv[1]


class Attention(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.dropout = dropout

    def forward(self, x, memory, future):
        q, k, v = (t.unsqueeze(1) for t in (self.query(x), self.key(memory), self.value(memory)))
        if FORM == "naive":
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            weights = scores.masked_fill(future, float("-inf")).softmax(-1)
            o = F.dropout(weights, self.dropout, self.training) @ v
        else:
            rate = self.dropout if FORM == "sdpa" and self.training else 0.0
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=rate)
        return self.output(o.squeeze(1))


class Block(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-8) for _ in range(2))
        self.attention = Attention(width, dropout)
        self.inner, self.outer = (nn.Linear(width, width) for _ in range(2))
        self.drop1, self.drop2 = (nn.Dropout(dropout) for _ in range(2))

    def forward(self, x, future):
        queries = self.norm1(x)
        x = queries + self.attention(queries, x, future)
        x = self.norm2(x)
        return x + self.drop2(self.outer(self.drop1(F.relu(self.inner(x)))))


class SasRec(nn.Module):
    def __init__(self, items, length, width, blocks, dropout):
        super().__init__()
        self.items, self.positions = nn.Embedding(items, width), nn.Embedding(length, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=1e-8)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, ids, places):
        scale = math.sqrt(self.items.embedding_dim)
        x = self.drop(self.items(ids) * scale + self.positions(places))
        future = self.future[: ids.shape[1], : ids.shape[1]]
        for block in self.blocks:
            x = block(x, future)
        return self.norm(x)


def load(path, dropout):
    """A model with the parameters of one of our checkpoints: a linear layer is [in + 1, out], a norm [2, D]."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), file.read()
    tensors = {}
    for name, entry in header.items():
        if name.startswith("model."):
            begin, end = entry["data_offsets"]
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
            tensors[name.removeprefix("model.")] = flat.reshape(entry["shape"])
    items, width = tensors["items"].shape
    blocks = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    model = SasRec(items, tensors["positions"].shape[0], width, blocks, dropout)
    state = {}
    for name, tensor in tensors.items():
        if name in ("items", "positions"):
            state[name + ".weight"] = tensor
        elif "norm" in name:
            state[name + ".weight"], state[name + ".bias"] = tensor[0], tensor[1]
        else:
            state[name + ".weight"], state[name + ".bias"] = tensor[:-1].T.contiguous(), tensor[-1]
    model.load_state_dict(state)
    return model


def padded(histories, longest):
    """Ids and places, padded behind the last event to the longest of them; the last event has the last place."""
    lengths = [min(len(history), longest) for history in histories]
    ids = torch.zeros(len(histories), max(lengths), dtype=torch.long)
    places = torch.zeros_like(ids)
    for row, (history, n) in enumerate(zip(histories, lengths)):
        ids[row, :n] = torch.tensor(history[len(history) - n :])
        places[row, :n] = torch.arange(longest - n, longest)
    return ids, places, torch.tensor(lengths)


def last_states(model, ids, places, lengths):
    states = model(ids, places)
    return states[torch.arange(len(lengths)), lengths - 1]


def trainer(model, batches):
    """A function that does one step on the next of the batches: seconds and loss."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    longest = model.positions.num_embeddings
    prepared = []
    for histories in batches:
        ids, places, lengths = padded([history[:-1] for history in histories], longest)
        targets, _, _ = padded([history[1:] for history in histories], longest)
        counts = (torch.arange(ids.shape[1]) < lengths[:, None]).float()
        whole = bool(counts.all())
        prepared.append((ids, places, targets, None if whole else counts / counts.sum()))
    model.train()
    turn = 0

    def step(again=False):
        nonlocal turn
        turn += not again
        ids, places, targets, weights = prepared[(turn - 1) % len(prepared)]
        negatives = torch.randint(model.items.num_embeddings, ids.shape)
        start = time.perf_counter()
        optimiser.zero_grad()
        states = model(ids, places)
        positive = (states * model.items(targets)).sum(-1)
        negative = (states * model.items(negatives)).sum(-1)
        loss = F.softplus(-positive) + F.softplus(negative)
        loss = loss.mean() if weights is None else (loss * weights).sum()
        loss.backward()
        optimiser.step()
        return time.perf_counter() - start, loss.item()

    return step


def evaluator(model, histories, targets, in_order, batch=256):
    """A function that ranks every target among all items: seconds, and the ranks."""
    longest = model.positions.num_embeddings
    order = list(range(len(histories)))
    if in_order:
        order.sort(key=lambda user: min(len(histories[user]), longest))
    parts = [order[n : n + batch] for n in range(0, len(order), batch)]
    prepared = [
        (torch.tensor(part), torch.tensor([targets[user] for user in part]))
        + padded([histories[user] for user in part], longest)
        for part in parts
    ]
    model.eval()

    @torch.no_grad()
    def evaluate():
        start = time.perf_counter()
        ranks = torch.empty(len(histories), dtype=torch.long)
        for users, targets, ids, places, lengths in prepared:
            logits = last_states(model, ids, places, lengths) @ model.items.weight.T
            own = logits.gather(1, targets[:, None])
            ranks[users] = 1 + (logits > own).sum(-1)
        return time.perf_counter() - start, ranks.tolist()

    return evaluate


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


model, work, ranks, before = None, None, None, 0


def answer(do, **request):
    global model, work, ranks, before
    if do == "hello":
        return {"version": torch.__version__, "cpus": CPUS}
    if do == "train":
        torch.set_num_threads(request["threads"])
        torch.manual_seed(0)
        # What PyTorch sets up once is not the step's: a small one comes before the count.
        trainer(SasRec(8, 4, 8, 1, 0.1), [[[1, 2, 3, 4, 5]]])()
        before = resident()
        model = load(request["parameters"], request["dropout"])
        work = trainer(model, request["batches"])
        return {}
    if do == "evaluate":
        torch.set_num_threads(request["threads"])
        model = load(request["parameters"], 0.0)
        evaluation = evaluator(model, request["histories"], request["targets"], request["sorted"])

        def work(again=False):
            global ranks
            seconds, ranks = evaluation()
            return seconds, 0.0

        return {}
    if do == "logits":
        training = model.training
        model.eval()
        with torch.no_grad():
            rows = padded(request["histories"], model.positions.num_embeddings)
            logits = last_states(model, *rows) @ model.items.weight.T
        model.train(training)
        return logits.tolist()
    if do == "run":
        for n in range(request["warm"]):
            work(again=n > 0)
        done = [work(again=n + request["warm"] > 0) for n in range(request["calls"])]
        return {"seconds": [s for s, _ in done], "losses": [loss for _, loss in done]}
    if do == "memory":
        work()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if do == "ranks":
        return ranks
    raise ValueError(f"there is no request `{do}`")


for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "bye":
        break
    try:
        reply = {"ok": answer(**request)}
    except Exception as fault:
        reply = {"failed": f"{type(fault).__name__}: {fault}"}
    print(json.dumps(reply), flush=True)
