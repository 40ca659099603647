"""ONNX Runtime on its CPU provider: onnxruntime_peer.py mha | attention

mha is com.microsoft's MultiHeadAttention, attention the operator of opset 23. Inputs and output are
bound once, so that a call copies and allocates nothing.
"""

import sys

from attnpeer import Unsupported, serve

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT


def mha(cell):
    if cell.h != cell.hkv:
        raise Unsupported("grouped heads")

    def packed(x):  # [B, H, N, D] -> [B, N, H D]
        b, h, n, d = x.shape
        return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(b, n, h * d)

    def unpacked(o):
        return o.reshape(cell.b, cell.nq, cell.h, cell.dv).transpose(0, 2, 1, 3)

    inputs = {t: packed(cell.tensor(t)) for t in "qkv"}
    names = ["q", "k", "v"]
    if cell.kind == "lengths":
        inputs["lengths"] = np.array(cell.mask["lengths"], np.int32)
        names += ["", "lengths"]
    node = helper.make_node(
        "MultiHeadAttention",
        names,
        ["o"],
        domain="com.microsoft",
        num_heads=cell.h,
        scale=cell.scale,
        unidirectional=int(cell.causal),
    )
    return node, inputs, (cell.b, cell.nq, cell.h * cell.dv), unpacked


def attention(cell):
    inputs = {t: cell.tensor(t) for t in "qkv"}
    names = ["q", "k", "v"]
    if cell.kind in ("lengths", "blocks"):
        inputs["mask"] = np.broadcast_to(cell.visible(), (cell.b, 1, cell.nq, cell.nk)).copy()
        names.append("mask")
    node = helper.make_node("Attention", names, ["o"], is_causal=int(cell.causal), scale=cell.scale)
    return node, inputs, (cell.b, cell.h, cell.nq, cell.dv), lambda o: o


FORMS = {"mha": (mha, ["full", "causal", "lengths"]), "attention": (attention, ["full", "causal", "lengths", "blocks"])}


def session(cell, node, inputs, output):
    types = {np.dtype("f4"): FLOAT, np.dtype("i4"): TensorProto.INT32, np.dtype("?"): TensorProto.BOOL}
    graph = helper.make_graph(
        [node],
        "attention",
        [helper.make_tensor_value_info(n, types[x.dtype], x.shape) for n, x in inputs.items()],
        [helper.make_tensor_value_info("o", FLOAT, output)],
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = cell.threads
    options.inter_op_num_threads = 1
    # Its threads spin for the fastest start, but within a call alone: others are timed in between.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def prepare(form):
    def prepare(cell):
        if cell.causal and cell.nq != cell.nk:
            raise Unsupported("causal with Nq other than Nk")
        node, inputs, shape, unpacked = form(cell)
        run = session(cell, node, inputs, shape)
        output = np.full(shape, np.nan, np.float32)
        binding = run.io_binding()
        values = {n: ort.OrtValue.ortvalue_from_numpy(x) for n, x in inputs.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        answer = ort.OrtValue.ortvalue_from_numpy(output)
        binding.bind_ortvalue_output("o", answer)

        def call():
            run.run_with_iobinding(binding)
            return answer

        return call, lambda o: {"o": unpacked(o.numpy())}

    return prepare


if __name__ == "__main__":
    name = sys.argv[1]
    form, masks = FORMS[name]
    supports = {"work": ["forward", "decode"], "mask": masks, "dtype": ["f32"]}
    serve("onnxruntime-" + name, ort.__version__, supports, prepare(form))
