"""PyTorch: torch_peer.py flash | math | flex | masked

flash and math force that backend of `scaled_dot_product_attention`; masked gives it a boolean mask
and leaves the choice to it; flex is compiled FlexAttention with a BlockMask.
"""

import sys

from attnpeer import Unsupported, serve

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def flash(cell):
    return sdpa(cell, SDPBackend.FLASH_ATTENTION)


def math(cell):
    return sdpa(cell, SDPBackend.MATH)


def sdpa(cell, backend):
    cell.only(kind=("full", "causal"))

    def forward(q, k, v):
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(
                q, k, v, is_causal=cell.causal, scale=cell.scale, enable_gqa=cell.h != cell.hkv
            )

    return forward


def masked(cell):
    cell.only(kind=("lengths", "blocks"))
    visible = torch.from_numpy(cell.visible())

    def forward(q, k, v):
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=visible, scale=cell.scale, enable_gqa=cell.h != cell.hkv
        )

    return forward


def flex(cell):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    if cell.work == "training":
        raise Unsupported("FlexAttention has no backward on a CPU")
    if cell.kind == "full":
        block_mask = None
    else:
        batch, side = None, cell.mask.get("block", 128)
        if cell.kind == "causal":
            sees = lambda b, h, i, j: i >= j
        elif cell.kind == "lengths":
            lengths, batch = torch.tensor(cell.mask["lengths"]), cell.b
            sees = lambda b, h, i, j: j < lengths[b]
        else:
            kept = torch.from_numpy(cell.blocks())
            sees = lambda b, h, i, j: kept[i // side, j // side]
        block_mask = create_block_mask(sees, batch, None, cell.nq, cell.nk, device="cpu", BLOCK_SIZE=side)
    compiled = torch.compile(flex_attention)

    def forward(q, k, v):
        return compiled(
            q, k, v, block_mask=block_mask, scale=cell.scale, enable_gqa=cell.h != cell.hkv
        )

    return forward


FORMS = {
    "flash": (flash, ["forward", "training", "decode"], ["full", "causal"]),
    "math": (math, ["forward", "training", "decode"], ["full", "causal"]),
    "flex": (flex, ["forward"], ["full", "causal", "lengths", "blocks"]),
    "masked": (masked, ["forward", "training", "decode"], ["lengths", "blocks"]),
}


def prepare(form):
    def prepare(cell):
        torch.set_num_threads(cell.threads)
        dtype = DTYPES[cell.dtype]
        training = cell.work == "training"
        q, k, v = (torch.from_numpy(cell.tensor(t)).to(dtype).requires_grad_(training) for t in "qkv")
        if form is not math and cell.causal and cell.nq != cell.nk:
            raise Unsupported("causal with Nq other than Nk")
        forward = form(cell)
        if training:
            d_o = torch.from_numpy(cell.tensor("do")).to(dtype)

            def call():
                q.grad = k.grad = v.grad = None
                o = forward(q, k, v)
                o.backward(d_o)
                return o

            def outputs(o):
                tensors = {"o": o.detach(), "dq": q.grad, "dk": k.grad, "dv": v.grad}
                return {name: t.float().numpy() for name, t in tensors.items()}

        else:

            @torch.no_grad()
            def call():
                return forward(q, k, v)

            def outputs(o):
                return {"o": o.float().numpy()}

        return call, outputs

    return prepare


if __name__ == "__main__":
    name = sys.argv[1]
    form, works, masks = FORMS[name]
    supports = {"work": works, "mask": masks, "dtype": list(DTYPES)}
    serve("torch-" + name, torch.__version__, supports, prepare(form))
