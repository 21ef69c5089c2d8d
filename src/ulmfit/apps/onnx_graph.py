"""A classifier of one direction as one ONNX graph: a chunk of documents and their state goes in.

::

    tokens     int64 (batch, time)     the next chunk of each document, padded on the right
    remaining  int64 (batch,)          tokens of each document from this chunk's first one on
    h0, c0, ...  float32 (batch, H)    state of each layer    | at the start of a document
    maximum    float32 (batch, E)      of the hidden states   | all are zeros; afterwards what the
    total      float32 (batch, E)      their sum              | graph gave out for the chunk before
    n_pooled   float32 (batch, 1)      how many               | as next_h0, next_c0, ...
    ->
    logits         float32 (batch, C)  of the documents up to here, before softmax or sigmoid
    probabilities  float32 (batch, C)  after it; before calibration
    next_h0, ...                       the state after the chunk

Rows whose document has ended (`remaining` at most 0) keep their state and their probabilities, so
that documents of different lengths may share a batch without any other care.

Time comes first inside, as in ONNX's LSTM. The head's batch norms, which are fixed after training,
are folded into the linear layers that follow them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.onnx_builder import MICROSOFT, Attribute, GraphBuilder
from ulmfit.apps.onnx_int8 import quantize_gates, quantize_rows
from ulmfit.config import ClassifierConfig

Precision = Literal["fp32", "int8"]
Weights = Mapping[str, NDArray[Any]]
FloatArray = NDArray[np.float32]

# No h = o * tanh(c) is smaller: a maximum can start from it, and all state from zeros.
_LEAST = -1.0
_NORM_EPS = 1e-5  # torch.nn.BatchNorm1d


def state_sizes(config: ClassifierConfig) -> dict[str, int]:
    """Names and widths of the state that goes from chunk to chunk."""
    sizes = {}
    for depth, (_, n_out) in enumerate(config.lm.layer_sizes()):
        sizes[f"h{depth}"] = sizes[f"c{depth}"] = n_out
    return {**sizes, "maximum": config.lm.emb_size, "total": config.lm.emb_size, "n_pooled": 1}


def classifier_graph(config: ClassifierConfig, weights: Weights, precision: Precision) -> bytes:
    """The graph as the content of an ``.onnx`` file.

    Args:
        config: sizes.
        weights: `TextClassifierModel` state as arrays.
        precision: fp32; or int8: embedding and LSTM weights in eight bits, and the products of the
            LSTMs too (`DynamicQuantizeLSTM`). The head, a thousandth of the work, stays fp32.
    """
    graph = GraphBuilder("ulmfit text classifier")
    graph.input("tokens", np.int64, ("batch", "time"))
    graph.input("remaining", np.int64, ("batch",))
    for name, size in state_sizes(config).items():
        graph.input(name, np.float32, ("batch", size))
    x = _embed(graph, weights["encoder.embedding.weight"], precision)
    _lengths(graph)
    for depth, (_, n_out) in enumerate(config.lm.layer_sizes()):
        x = _layer(graph, x, depth, n_out, weights, precision)
    _pool(graph, x, config.pool_tokens)
    _head(graph, config, weights)
    graph.output("logits", np.float32, ("batch", config.n_classes))
    graph.output("probabilities", np.float32, ("batch", config.n_classes))
    for name, size in state_sizes(config).items():
        graph.output(f"next_{name}", np.float32, ("batch", size))
    return graph.to_bytes()


def _embed(graph: GraphBuilder, embedding: FloatArray, precision: Precision) -> str:
    """(batch, time) ids -> (time, batch, E)."""
    ids = graph.node("Transpose", ["tokens"], ["ids"], {"perm": [1, 0]})
    if precision == "fp32":
        table = graph.weight("embedding", embedding)
        return graph.node("Gather", [table, ids], ["embedded"], {"axis": 0})
    rows = quantize_rows(embedding)
    values = graph.node("Gather", [graph.weight("embedding", rows.values), ids], ["rows"])
    scales = graph.node("Gather", [graph.weight("embedding_scale", rows.scale), ids], ["scales"])
    values = graph.node("Cast", [values], ["rows_float"], {"to": 1})  # TensorProto.FLOAT
    return graph.node("Mul", [values, scales], ["embedded"])


def _lengths(graph: GraphBuilder) -> None:
    """`lengths`: tokens of each row in this chunk, at least 1; `goes_on`: whether it has any."""
    graph.weight("zero", np.array(0, np.int64))
    graph.weight("one", np.array(1, np.int64))
    graph.weight("first_axis", np.array([0], np.int64))
    graph.weight("second_axis", np.array([1], np.int64))
    graph.weight("third_axis", np.array([2], np.int64))
    graph.node("Shape", ["tokens"], ["time_as_list"], {"start": 1, "end": 2})
    graph.node("Squeeze", ["time_as_list", "first_axis"], ["time"])
    at_least_one = graph.node("Max", ["remaining", "one"], ["remaining_or_one"])
    inside = graph.node("Min", [at_least_one, "time"], ["lengths_int64"])
    graph.node("Cast", [inside], ["lengths"], {"to": 6})  # TensorProto.INT32, as LSTM wants it
    alive = graph.node("Greater", ["remaining", "zero"], ["has_tokens"])
    graph.node("Unsqueeze", [alive, "second_axis"], ["goes_on"])


def _layer(
    graph: GraphBuilder, x: str, depth: int, n_out: int, weights: Weights, precision: Precision
) -> str:
    """One LSTM: (time, batch, I) -> (time, batch, O), zeros behind the end of a document."""
    rnn = f"encoder.rnns.{depth}"
    w = _in_gate_order(weights[f"{rnn}.weight_ih_l0"])
    r = _in_gate_order(weights[f"{rnn}.weight_hh_l0"])
    biases = [_in_gate_order(weights[f"{rnn}.bias_{kind}_l0"]) for kind in ("ih", "hh")]
    bias = graph.weight(f"bias{depth}", np.concatenate(biases)[None])
    state = [
        graph.node("Unsqueeze", [f"{kind}{depth}", "first_axis"], [f"{kind}{depth}_in"])
        for kind in "hc"
    ]
    outputs = [f"lstm{depth}", f"h{depth}_out", f"c{depth}_out"]
    hidden_size = {"hidden_size": n_out}
    if precision == "fp32":
        factors = [graph.weight(f"w{depth}", w[None]), graph.weight(f"r{depth}", r[None])]
        graph.node("LSTM", [x, *factors, bias, "lengths", *state], outputs, hidden_size)
    else:
        factors, scales = _int8_factors(graph, depth, w, r)
        inputs = [x, *factors, bias, "lengths", *state, "", *scales]
        graph.node("DynamicQuantizeLSTM", inputs, outputs, hidden_size, MICROSOFT)
    for kind in "hc":
        name = f"{kind}{depth}"
        after = graph.node("Squeeze", [f"{name}_out", "first_axis"], [f"{name}_after"])
        graph.node("Where", ["goes_on", after, name], [f"next_{name}"])
    return graph.node("Squeeze", [f"lstm{depth}", "second_axis"], [f"hidden{depth}"])


def _in_gate_order(weight: FloatArray) -> FloatArray:
    """From torch's order of the gates (input, forget, cell, output) to ONNX's (i, o, f, c)."""
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])


def _int8_factors(
    graph: GraphBuilder, depth: int, w: FloatArray, r: FloatArray
) -> tuple[list[str], list[str]]:
    """The two weights, each (1, K, 4H), and for each a scale and a zero point, each (1, 4H)."""
    factors, scales = [], []
    for name, weight in ((f"w{depth}", w), (f"r{depth}", r)):
        quantized = quantize_gates(weight.T)
        factors.append(graph.weight(name, quantized.values[None]))
        scale = quantized.scale[None]
        scales.append(graph.weight(f"{name}_scale", scale))
        scales.append(graph.weight(f"{name}_zero", np.zeros_like(scale, dtype=np.int8)))
    return factors, scales


def _pool(graph: GraphBuilder, hidden: str, pool_tokens: int | None) -> None:
    """Take the chunk's hidden states, (time, batch, E), into maximum, total and n_pooled."""
    steps = graph.node("Range", ["zero", "time", "one"], ["steps"])
    steps = graph.node("Unsqueeze", [steps, "second_axis"], ["steps_column"])
    counted = graph.node("Less", [steps, "remaining"], ["is_real"])  # (time, batch)
    if pool_tokens is not None:
        window = graph.weight("pool_tokens", np.array(pool_tokens, np.int64))
        pooled = graph.node("LessOrEqual", ["remaining", window], ["in_window"])
        counted = graph.node("And", [counted, pooled], ["is_counted"])
    mask = graph.node("Unsqueeze", [counted, "third_axis"], ["counted"])
    least = graph.weight("least", np.array(_LEAST, np.float32))
    nothing = graph.weight("nothing", np.array(0, np.float32))
    of_max = graph.node("Where", [mask, hidden, least], ["hidden_or_least"])
    of_sum = graph.node("Where", [mask, hidden, nothing], ["hidden_or_zero"])
    axes: dict[str, Attribute] = {"axes": [0], "keepdims": 0}
    chunk_max = graph.node("ReduceMax", [of_max], ["chunk_maximum"], axes)
    chunk_sum = graph.node("ReduceSum", [of_sum, "first_axis"], ["chunk_total"], {"keepdims": 0})
    ones = graph.node("Cast", [mask], ["counted_float"], {"to": 1})
    chunk_n = graph.node("ReduceSum", [ones, "first_axis"], ["chunk_n_pooled"], {"keepdims": 0})
    begun = graph.node("Greater", ["n_pooled", nothing], ["has_pooled"])
    before = graph.node("Where", [begun, "maximum", least], ["maximum_before"])
    graph.node("Max", [before, chunk_max], ["next_maximum"])
    graph.node("Add", ["total", chunk_sum], ["next_total"])
    graph.node("Add", ["n_pooled", chunk_n], ["next_n_pooled"])


def _head(graph: GraphBuilder, config: ClassifierConfig, weights: Weights) -> None:
    """Concat pooling and the two linear layers: `logits` and `probabilities`."""
    last = f"next_h{config.lm.n_layers - 1}"
    mean = graph.node("Div", ["next_total", "next_n_pooled"], ["mean"])
    x = graph.node("Concat", [last, "next_maximum", mean], ["pooled"], {"axis": 1})
    for number, name in ((1, "scores"), (2, "logits")):
        w, b = _folded(weights, number)
        factor, bias = graph.weight(f"linear{number}", w), graph.weight(f"linear{number}_bias", b)
        x = graph.node("Gemm", [x, factor, bias], [name], {"transB": 1})
        if number == 1:
            x = graph.node("Relu", [x], ["activated"])
    if config.multi_label:
        graph.node("Sigmoid", [x], ["probabilities"])
    else:
        graph.node("Softmax", [x], ["probabilities"], {"axis": 1})


def _folded(weights: Weights, number: int) -> tuple[FloatArray, FloatArray]:
    """Linear layer `number` of the head together with the batch norm before it.

    W (s (x - mean) + beta) + b = (W s) x + (W (beta - s mean) + b), s = gamma / sqrt(var + eps).
    """

    def of(name: str) -> NDArray[np.float64]:
        return np.asarray(weights[f"head.{name}"], dtype=np.float64)

    norm, linear = f"norm{number}", f"linear{number}"
    s = of(f"{norm}.weight") / np.sqrt(of(f"{norm}.running_var") + _NORM_EPS)
    w = of(f"{linear}.weight")
    b = w @ (of(f"{norm}.bias") - s * of(f"{norm}.running_mean")) + of(f"{linear}.bias")
    return (w * s).astype(np.float32), b.astype(np.float32)
