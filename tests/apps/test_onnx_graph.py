from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from tests.apps.tiny_classifiers import member
from ulmfit.apps.onnx_graph import classifier_graph, state_sizes
from ulmfit.model.bpt3c import encode_documents
from ulmfit.stages.classifier_folder import TrainedClassifier

DRAW = np.random.default_rng(1)
State = dict[str, NDArray[np.float32]]


class Graph:
    """A graph that runs; `chunks` goes through documents as the README says."""

    def __init__(self, model: TrainedClassifier, precision: Any = "fp32") -> None:
        self.sizes = state_sizes(model.config)
        weights = {name: value.numpy() for name, value in model.weights.items()}
        self.content = classifier_graph(model.config, weights, precision)
        self.session = onnxruntime.InferenceSession(
            self.content, providers=["CPUExecutionProvider"]
        )

    def zeros(self, rows: int) -> State:
        return {name: np.zeros((rows, size), np.float32) for name, size in self.sizes.items()}

    def step(
        self, tokens: NDArray[np.int64], remaining: NDArray[np.int64], state: State
    ) -> tuple[NDArray[np.float32], State]:
        names = [value.name for value in self.session.get_outputs()]
        found = dict(
            zip(
                names,
                self.session.run(None, {"tokens": tokens, "remaining": remaining, **state}),
                strict=True,
            )
        )
        answer, _ = found.pop("probabilities"), found.pop("logits")
        return answer, {name.removeprefix("next_"): value for name, value in found.items()}

    def chunks(
        self, tokens: NDArray[np.int64], lengths: NDArray[np.int64], chunk: int
    ) -> NDArray[np.float32]:
        state, remaining = self.zeros(len(tokens)), lengths
        answer = np.zeros((len(tokens), 0), np.float32)
        for start in range(0, tokens.shape[1], chunk):
            answer, state = self.step(tokens[:, start : start + chunk], remaining, state)
            remaining = remaining - chunk
        return answer


def documents(model: TrainedClassifier, lengths: list[int]) -> NDArray[np.int64]:
    """Random words, and behind the end of a document random words too."""
    return DRAW.integers(0, model.config.lm.vocab_size, (len(lengths), max(lengths)))


@torch.no_grad()
def in_torch(
    model: TrainedClassifier, tokens: NDArray[np.int64], lengths: list[int]
) -> NDArray[np.float32]:
    module = model.model()
    output = module(torch.from_numpy(tokens), torch.tensor(lengths))
    if model.config.multi_label:
        return np.asarray(output.logits.sigmoid())
    return np.asarray(output.logits.softmax(dim=1))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("pool_tokens", [None, 14])
def test_it_answers_as_torch_does(multi_label: bool, pool_tokens: int | None) -> None:
    model = member(multi_label=multi_label, pool_tokens=pool_tokens)
    lengths = [30, 1, 7, 8, 14, 15, 29]
    tokens = documents(model, lengths)
    expected = in_torch(model, tokens, lengths)
    assert np.ptp(expected, axis=0).max() > 0.05, "the documents are told apart"
    found = Graph(model).chunks(tokens, np.array(lengths), model.config.chunk)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 30])
def test_chunks_may_be_of_any_size(chunk: int) -> None:
    model = member()
    lengths = [30, 1, 11]
    tokens = documents(model, lengths)
    found = Graph(model).chunks(tokens, np.array(lengths), chunk)
    np.testing.assert_allclose(found, in_torch(model, tokens, lengths), atol=1e-6)


def test_state_is_that_of_the_encoder() -> None:
    model = member()
    tokens = documents(model, [9])
    _, state = Graph(model).step(tokens, np.array([9]), Graph(model).zeros(1))
    module = model.model()
    hidden, _, expected = module.encoder(torch.from_numpy(tokens), module.encoder.initial_state(1))
    for depth, (h, c) in enumerate(expected):
        np.testing.assert_allclose(state[f"h{depth}"], h, atol=1e-6)
        np.testing.assert_allclose(state[f"c{depth}"], c, atol=1e-6)
    pooled = encode_documents(
        module.encoder, torch.from_numpy(tokens), torch.tensor([9]), chunk=4
    ).pooled
    parts = [state["h2"], state["maximum"], state["total"] / state["n_pooled"]]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), pooled, atol=1e-6)
    np.testing.assert_allclose(state["total"][0], hidden[0].sum(0), atol=1e-5)
    assert state["n_pooled"].tolist() == [[9]]


def test_a_document_that_has_ended_keeps_state_and_answer() -> None:
    model = member()
    graph = Graph(model)
    tokens = documents(model, [5, 12])
    first, state = graph.step(tokens[:, :7], np.array([5, 12]), graph.zeros(2))
    second, after = graph.step(tokens[:, 7:], np.array([-2, 5]), state)
    np.testing.assert_array_equal(first[0], second[0])
    assert abs(first[1] - second[1]).max() > 1e-6
    for name, value in after.items():
        np.testing.assert_array_equal(value[0], state[name][0])
        assert abs(value[1] - state[name][1]).max() > 0
    _, still = graph.step(tokens[:, 7:], np.array([0, 5]), state)
    np.testing.assert_array_equal(still["h0"], after["h0"])


def test_features_that_are_never_positive_have_their_own_maximum() -> None:
    model = member()
    bias = model.weights["encoder.rnns.2.bias_ih_l0"]
    bias[12:18] = -3.0  # the cell's input in torch's order of gates: h stays below zero
    tokens = documents(model, [6])
    expected = in_torch(model, tokens, [6])
    found, state = Graph(model).step(tokens, np.array([6]), Graph(model).zeros(1))
    assert (state["maximum"] < 0).all()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_eight_bits_are_near_and_small() -> None:
    model = member()
    lengths = [30, 1, 7, 8]
    tokens = documents(model, lengths)
    expected = in_torch(model, tokens, lengths)
    found = Graph(model, "int8").chunks(tokens, np.array(lengths), 7)
    assert 0 < abs(found - expected).max() < 0.02


def operators(content: bytes) -> dict[str, int]:
    kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
    return {kind: kinds.count(kind) for kind in kinds}


def test_the_graph_is_clean() -> None:
    exact, small = operators(Graph(member()).content), operators(Graph(member(), "int8").content)
    assert (exact["LSTM"], exact["Gather"], exact["Gemm"]) == (3, 1, 2)
    assert (small["DynamicQuantizeLSTM"], small["Gather"], small["Gemm"]) == (3, 2, 2)
    assert "LSTM" not in small
    assert "BatchNormalization" not in exact
    weights = onnx.load_from_string(Graph(member()).content).graph.initializer
    assert {tensor.name for tensor in weights} >= {"embedding", "w0", "r0", "bias0", "linear2"}
