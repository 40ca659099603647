"""AMD's zentorch: its own attention kernel, forward only, called as its compiler would."""

from importlib.metadata import version

from attnpeer import Unsupported, serve

import torch
import zentorch  # registers torch.ops.zentorch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def prepare(cell):
    torch.set_num_threads(cell.threads)
    if cell.h != cell.hkv:
        raise Unsupported("grouped heads")
    q, k, v = (torch.from_numpy(cell.tensor(t)).to(DTYPES[cell.dtype]) for t in "qkv")
    mask = None
    if cell.kind in ("lengths", "blocks"):
        visible = torch.from_numpy(cell.visible())
        mask = torch.zeros(visible.shape).masked_fill(~visible, float("-inf"))
        mask = mask.to(q.dtype).expand(-1, -1, cell.nq, -1)

    @torch.no_grad()
    def call():
        return torch.ops.zentorch.zentorch_sdpa(
            q, k, v, 0.0, cell.causal, attn_mask=mask, scale=cell.scale
        )[0]

    return call, lambda o: {"o": o.float().numpy()}


if __name__ == "__main__":
    supports = {
        "work": ["forward", "decode"],
        "mask": ["full", "causal", "lengths", "blocks"],
        "dtype": list(DTYPES),
    }
    serve("zentorch", version("zentorch"), supports, prepare)
