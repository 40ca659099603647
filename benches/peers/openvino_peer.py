"""OpenVINO's scaled_dot_product_attention on its CPU plug-in."""

from attnpeer import Unsupported, serve

import numpy as np
import openvino as ov
from openvino import opset13 as ops

CORE = ov.Core()


def prepare(cell):
    if cell.h != cell.hkv:
        raise Unsupported("grouped heads")
    if cell.causal and cell.nq != cell.nk:
        raise Unsupported("causal with Nq other than Nk")
    tensors = [cell.tensor(t) for t in "qkv"]
    parameters = [ops.parameter(x.shape, np.float32) for x in tensors]
    mask = None
    if cell.kind in ("lengths", "blocks"):
        mask = np.where(cell.visible(), np.float32(0), np.float32("-inf"))
        mask = ops.constant(np.broadcast_to(mask, (mask.shape[0], 1, cell.nq, cell.nk)).copy())
    # A scale is an input after the mask: without a mask it would need one of zeros.
    if abs(cell.scale * cell.d**0.5 - 1) > 1e-6:
        raise Unsupported("a scale of its own")
    node = ops.scaled_dot_product_attention(*parameters, mask, causal=cell.causal)
    config = {
        "INFERENCE_NUM_THREADS": str(cell.threads),
        "INFERENCE_PRECISION_HINT": cell.dtype,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = CORE.compile_model(ov.Model([node], parameters), "CPU", config).create_infer_request()
    shared = [ov.Tensor(x, shared_memory=True) for x in tensors]
    for i, x in enumerate(shared):
        request.set_input_tensor(i, x)

    def call():
        request.infer()
        return tensors and request  # a shared tensor does not keep its array alive

    return call, lambda r: {"o": r.get_output_tensor(0).data}


if __name__ == "__main__":
    supports = {
        "work": ["forward", "decode"],
        "mask": ["full", "causal", "lengths", "blocks"],
        "dtype": ["f32", "bf16"],
    }
    serve("openvino", ov.get_version(), supports, prepare)
