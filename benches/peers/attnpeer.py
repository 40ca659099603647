"""The peer's side of the protocol (README.md): requests in, answers out, calls timed.

A peer script gives `serve` its name, its version, what it supports and a function that prepares a
cell: `prepare(cell) -> (call, outputs)`. `call()` is what is timed, with everything resident that
it needs; `outputs(answer)` turns its last answer into float32 arrays by name: o, and dq, dk, dv
where the cell asks for training.
"""

import os

# CPUs allowed at the start: a library that binds threads changes it when it is imported.
CPUS = len(os.sched_getaffinity(0))
# Leftovers of another program's tuning; no peer is measured with them.
for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
    del os.environ[name]

import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np

PROTOCOL = 1


class Unsupported(Exception):
    """The peer cannot answer such a cell; the message says why."""


@dataclass
class Cell:
    """One cell, in the letters of the README."""

    b: int
    h: int
    hkv: int
    nq: int
    nk: int
    d: int
    dv: int
    work: str
    dtype: str
    mask: dict
    scale: float
    threads: int
    folder: str
    attention: str = "softmax"
    tensors: dict = field(default_factory=dict)

    @property
    def kind(self):
        return self.mask["kind"]

    @property
    def causal(self):
        return self.kind == "causal"

    def tensor(self, name):
        """A tensor as float32: q, k, v, do where the cell asks for training, or one of `tensors`."""
        shape = {
            "q": (self.b, self.h, self.nq, self.d),
            "k": (self.b, self.hkv, self.nk, self.d),
            "v": (self.b, self.hkv, self.nk, self.dv),
            "do": (self.b, self.h, self.nq, self.dv),
            **self.tensors,
        }[name]
        path = os.path.join(self.folder, name + ".f32")
        return np.fromfile(path, "<f4").reshape(shape)

    def blocks(self):
        """The kept tiles of a block mask, as booleans."""
        side = self.mask["block"]
        shape = (-(-self.nq // side), -(-self.nk // side))
        path = os.path.join(self.folder, "blocks.u8")
        return np.fromfile(path, "u1").reshape(shape).astype(bool)

    def visible(self):
        """The mask as booleans, True where a query sees a key: [1 or B, 1, 1 or Nq, Nk]."""
        keys = np.arange(self.nk)
        if self.kind == "lengths":
            lengths = np.array(self.mask["lengths"])
            return (keys < lengths[:, None])[:, None, None, :]
        if self.kind == "blocks":
            side = self.mask["block"]
            whole = self.blocks().repeat(side, 0).repeat(side, 1)
            return whole[None, None, : self.nq, : self.nk]
        if self.causal:
            return (keys <= np.arange(self.nq)[:, None])[None, None]
        return np.ones((1, 1, 1, self.nk), bool)

    def only(self, **allowed):
        """Raises `Unsupported` where an attribute is not among the allowed ones."""
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise Unsupported(f"{name} {getattr(self, name)}")


def serve(name, version, supports, prepare):
    """Answers requests until `bye` or the end of the input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    hello = {"protocol": PROTOCOL, "name": name, "version": version, "cpus": CPUS, "supports": supports}
    call = outputs = last = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        try:
            ok = {}
            if do == "bye":
                return
            if do == "hello":
                ok = hello
            elif do == "cell":
                call = outputs = last = None  # room for the next one first
                call, outputs = prepare(Cell(**request))
            elif do == "run":
                for _ in range(request["warm"]):
                    last = call()
                seconds = []
                for _ in range(request["calls"]):
                    start = time.perf_counter()
                    last = call()
                    seconds.append(time.perf_counter() - start)
                ok = {"seconds": seconds}
            elif do == "output":
                for tensor, values in outputs(last).items():
                    path = os.path.join(request["folder"], tensor + ".f32")
                    np.ascontiguousarray(values, "<f4").tofile(path)
            else:
                raise ValueError(f"unknown request {do}")
            answer = {"ok": ok}
        except Unsupported as reason:
            answer = {"unsupported": str(reason)}
        except Exception as fault:
            answer = {"failed": f"{type(fault).__name__}: {fault}"}
        print(json.dumps(answer), file=answers)
