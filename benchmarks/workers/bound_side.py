"""What no implementation can do without, measured: matrix products and memory traffic.

    python -m benchmarks.workers.bound_side FOLDER [DEVICE]

A product of (m, k) and (k, n) is 2 m k n floating-point operations, a fused multiply-add being two.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.workers.wire import serve

DEVICE = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu")
STREAM_BYTES = 1 << 28  # far more than any cache holds
LEAST_SECONDS = 0.15  # of a timed repetition of products


def products(shapes: list[list[int]]) -> dict[str, Any]:
    """Run `[m, k, n, times]` products, one after another, as a step would.

    Products by a vector (m = 1) go through `torch.mv`, which reads the matrix once.
    """
    work = [prepared(*shape[:3]) for shape in shapes]
    started = time.perf_counter()
    for call, shape in zip(work, shapes, strict=True):
        for _ in range(shape[3]):
            call()
    return {"seconds": time.perf_counter() - started}


PREPARED: dict[tuple[int, int, int], Callable[[], object]] = {}


def prepared(m: int, k: int, n: int) -> Callable[[], object]:
    """A product whose operands stay in place from call to call."""
    if (m, k, n) not in PREPARED:
        a, b = torch.randn(m, k), torch.randn(n, k)
        out = torch.empty(m, n) if m > 1 else torch.empty(n)
        if m == 1:
            PREPARED[m, k, n] = lambda: torch.mv(b, a[0], out=out)
        else:
            PREPARED[m, k, n] = lambda: torch.mm(a, b.T, out=out)
        PREPARED[m, k, n]()
    return PREPARED[m, k, n]


def rates(m: int, k: int, n: int) -> dict[str, Any]:
    """GFLOP/s of one product by each library at hand, in fp32 and, by torch, in bf16."""
    a, b = torch.randn(m, k), torch.randn(k, n)
    a16, b16 = a.bfloat16(), b.bfloat16()
    x, y = a.numpy(), b.numpy()
    ways: dict[str, Callable[[], object]] = {
        "torch fp32": lambda: torch.mm(a, b),
        "torch bf16": lambda: torch.mm(a16, b16),
        "numpy fp32": lambda: x @ y,
    }
    session = onnx_product(m, k, n)
    if session is not None:
        ways["onnxruntime fp32"] = lambda: session.run(None, {"a": x, "b": y})
    return {name: 2e-9 * m * k * n / seconds_of(way) for name, way in ways.items()}


def onnx_product(m: int, k: int, n: int) -> Any:
    """ONNX Runtime on a graph of one product; None where it is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return None
    shapes = {"a": [m, k], "b": [k, n], "c": [m, n]}
    a, b, c = (helper.make_tensor_value_info(x, TensorProto.FLOAT, s) for x, s in shapes.items())
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "mm", [a, b], [c])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Median time of one call over three repetitions, each of many calls."""
    work()
    found = []
    for _ in range(3):
        calls, started = 0, time.perf_counter()
        while time.perf_counter() - started < LEAST_SECONDS:
            work()
            calls += 1
        found.append((time.perf_counter() - started) / calls)
    return statistics.median(found)


def memory() -> dict[str, Any]:
    """GB/s of reading an array that no cache holds, and of copying one (read and written)."""
    source = torch.ones(STREAM_BYTES // 4)
    target = torch.empty_like(source)
    return {
        "read": STREAM_BYTES / seconds_of(source.sum) / 1e9,
        "copy": 2 * STREAM_BYTES / seconds_of(lambda: target.copy_(source)) / 1e9,
    }


def lstm(layers: list[list[int]], rows: int, steps: int, times: int, kind: str) -> dict[str, Any]:
    """Bare LSTM layers of torch (on a GPU: cuDNN's), forward and backward, in tokens."""
    dtype = getattr(torch, kind)
    stack = [torch.nn.LSTM(n_in, n_out, batch_first=True) for n_in, n_out in layers]
    stack = [layer.to(DEVICE, dtype) for layer in stack]
    first = torch.randn(rows, steps, layers[0][0], device=DEVICE, dtype=dtype)

    def step() -> None:
        x = first
        for layer in stack:
            x, _ = layer(x)
        torch.autograd.backward(x.float().sum())

    step()
    started = now()
    for _ in range(times):
        step()
    return {"seconds": now() - started, "items": times * rows * steps}


def now() -> float:
    """Wall time, the device having finished."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def versions() -> dict[str, Any]:
    """What runs here."""
    return {"torch": torch.__version__, "numpy": np.__version__}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    jobs = {"products": products, "rates": rates, "memory": memory, "lstm": lstm}
    serve({**jobs, "versions": versions})
