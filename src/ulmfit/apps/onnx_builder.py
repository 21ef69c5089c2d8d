"""An ONNX graph, node by node: a thin layer over `onnx.helper`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import SettingsError

# Opset 17 of 2022 has all that is used here; later ones would only lock older runtimes out.
OPSET, IR_VERSION = 17, 8
# Protocol Buffers, in which a graph is written, hold no more.
MAX_BYTES = 2**31 - 1

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""

Attribute = int | float | str | Sequence[int]


def require_onnx() -> None:
    """Refuse to go on without the packages that an export needs.

    Raises:
        SettingsError: one of them is not installed.
    """
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        be = "is" if len(missing) == 1 else "are"
        raise SettingsError(
            f"an export needs {' and '.join(missing)}, which {be} not installed",
            hint="Install with: pip install 'ulmfit[onnx]'",
        )


class GraphBuilder:
    """Collects nodes and weights; values are referred to by name, as in ONNX itself.

    Example::

        graph = GraphBuilder("doubler")
        x = graph.input("x", np.float32, ("batch", 3))
        graph.output(graph.node("Add", [x, x], ["y"]), np.float32, ("batch", 3))
        content = graph.to_bytes()
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._weights: dict[str, NDArray[Any]] = {}

    def input(self, name: str, kind: type[np.generic], shape: Sequence[int | str]) -> str:
        """Declare an input; sizes that are names may be any."""
        self._inputs.append(_value(name, kind, shape))
        return name

    def output(self, name: str, kind: type[np.generic], shape: Sequence[int | str]) -> None:
        """Give a value out."""
        self._outputs.append(_value(name, kind, shape))

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """A constant; the same name again is the same constant."""
        self._weights.setdefault(name, np.ascontiguousarray(value))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Attribute] | None = None,
        domain: str = "",
    ) -> str:
        """Add an operator; returns the name of its first output.

        Args:
            operator: such as ``LSTM``.
            inputs: names of values; an optional one that is left out is an empty string.
            outputs: names of the results; the first one names the node too.
            attributes: of the operator.
            domain: of the operator; empty for ONNX's own.
        """
        from onnx import helper

        node = helper.make_node(operator, inputs, outputs, name=outputs[0], domain=domain)
        for key, value in (attributes or {}).items():
            node.attribute.append(helper.make_attribute(key, value))
        self._nodes.append(node)
        return outputs[0]

    def to_bytes(self) -> bytes:
        """The graph as a file, checked against the standard.

        Raises:
            SettingsError: it is larger than a file of ONNX may be.
        """
        from onnx import checker, helper, numpy_helper

        size = sum(value.nbytes for value in self._weights.values())
        if size > MAX_BYTES:
            raise SettingsError(
                f"the weights of {self.name} have {size:,} bytes",
                expected=f"at most {MAX_BYTES:,}, which is what one ONNX file holds",
                hint="Export with --int8, or train with a smaller vocabulary.",
            )
        weights = [numpy_helper.from_array(value, name) for name, value in self._weights.items()]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, weights)
        domains = {node.domain for node in self._nodes} - {""}
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ulmfit"
        )
        checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def _value(name: str, kind: type[np.generic], shape: Sequence[int | str]) -> Any:
    from onnx import helper

    number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return helper.make_tensor_value_info(name, number, shape)
