"""The weights of a BERT become a graph that onnxruntime runs: tensors -> bytes of a model.

The graph begins at the sum of word, position and type vectors and ends at the vectors of the
tokens; looking rows up and averaging them is numpy's part, so that the table of words, half
of the weights, is in no session. Its operators are those of onnxruntime that take a whole
step of BERT each, so that a session has nothing to optimise and is ready in .02 s.

In int8 each column of a weight matrix becomes whole numbers and one scale; the scale of what
it is multiplied with is taken anew at every run, from one text, so that a row depends on
nothing beside it. Weights reach from -64 to 64, seven bits: processors without VNNI (most
made before 2020) add two products of an unsigned and a signed byte in 16 bits, and
2 * 255 * 64 = 32,640 is the most that fits, while with eight bits they saturate silently.

A model is a message of protocol buffers, and the few fields that one needs are written here:
the package onnx would be 30 MB, and .3 s at the start of every command.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.types import Matrix

Precision = Literal["int8", "fp32"]
Tensors = Mapping[str, NDArray[np.float32]]

_LARGEST_WEIGHT = 64
_EPSILON = 1e-12
"""Of BERT's layer normalisation."""
_CONTRIBUTED = "com.microsoft"
"""The domain of onnxruntime's own operators; version 1 is the only one there is."""
_IR_VERSION, _OPSET_VERSION = 8, 17
"""The first with LayerNormalization; onnxruntime reads them since 1.13."""
_ELEMENT_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int8): 3}


def bert(tensors: Tensors, *, heads: int, precision: Precision) -> bytes:
    """Write the encoder of a BERT as an ONNX model.

    Parameters
    ----------
    tensors : by the names that transformers gives them.
    heads : of attention.
    precision : "int8" multiplies whole numbers where a matrix of weights is involved; all
        else is in fp32.

    Returns
    -------
    bytes
        Input ``embedded``, (1, n, d), the sum of the three embeddings before their
        normalisation; output ``tokens``, (1, n, d).

    References
    ----------
    .. [1] Devlin et al. (2019), NAACL, doi:10.18653/v1/N19-1423
    """
    graph = _Graph(tensors, precision)
    current = graph.add(
        "LayerNormalization",
        ["embedded", *graph.normalisation("embeddings.LayerNorm")],
        "embedded.normal",
        epsilon=_EPSILON,
    )
    n_layers = sum(name.endswith("attention.output.dense.weight") for name in tensors)
    for layer in range(n_layers):
        name = f"encoder.layer.{layer}"
        attended = graph.attention(current, f"{name}.attention.self", heads=heads)
        projected = graph.product(attended, f"{name}.attention.output.dense")
        middle = graph.sum_normalised(projected, current, f"{name}.attention.output")
        widened = graph.product(middle, f"{name}.intermediate.dense")
        bias = graph.constant(f"{name}.intermediate.dense.bias")
        active = graph.add("BiasGelu", [widened, bias], f"{name}.active", _CONTRIBUTED)
        narrowed = graph.product(active, f"{name}.output.dense")
        current = graph.sum_normalised(narrowed, middle, f"{name}.output")
    return graph.model(current, dimension=len(tensors["embeddings.LayerNorm.weight"]))


class _Graph:
    """A graph as it grows; each method adds to it and gives the name of its result."""

    def __init__(self, tensors: Tensors, precision: Precision) -> None:
        self._tensors = tensors
        self._precision = precision
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}

    def constant(self, name: str, values: NDArray[np.generic] | None = None) -> str:
        """Put a tensor of the weights, or one made from them, into the graph."""
        values = self._tensors[name] if values is None else values
        self._constants[name] = _tensor(name, values)
        return name

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        domain: str = "",
        **attributes: float,
    ) -> str:
        """Add an operator with one output; an input "" is left out."""
        self._nodes.append(_operation(operator, inputs, [output], domain, attributes))
        return output

    def normalisation(self, name: str) -> list[str]:
        return [self.constant(f"{name}.weight"), self.constant(f"{name}.bias")]

    def attention(self, x: str, name: str, *, heads: int) -> str:
        """Attend: queries, keys and values by one product, then the heads in fp32."""
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self._tensors[f"{p}.weight"] for p in parts]).T  # (d, 3 d)
        merged = np.concatenate([self._tensors[f"{part}.bias"] for part in parts])  # (3 d,)
        bias = self.constant(f"{name}.bias", merged)
        if self._precision == "fp32":
            inputs = [x, self.constant(f"{name}.weight", weight), bias]
            return self.add("Attention", inputs, name, _CONTRIBUTED, num_heads=heads)
        whole, scale, zero = f"{name}.whole", f"{name}.scale", f"{name}.zero"
        self._nodes.append(_operation("DynamicQuantizeLinear", [x], [whole, scale, zero], "", {}))
        quantised, scales = self._quantised(name, weight)
        zeros = self.constant(f"{name}.weight.zero", np.zeros(weight.shape[1], np.int8))
        inputs = [whole, quantised, bias, scale, scales, "", zero, zeros]
        return self.add("QAttention", inputs, name, _CONTRIBUTED, num_heads=heads)

    def product(self, x: str, name: str) -> str:
        """Multiply with a matrix of weights; the bias is left to the operator that follows."""
        weight = self._tensors[f"{name}.weight"].T
        if self._precision == "fp32":
            return self.add("MatMul", [x, self.constant(f"{name}.weight", weight)], name)
        return self.add(
            "DynamicQuantizeMatMul", [x, *self._quantised(name, weight)], name, _CONTRIBUTED
        )

    def sum_normalised(self, x: str, skipped: str, name: str) -> str:
        """Add the bias and what went past the layer, then normalise."""
        bias = self.constant(f"{name}.dense.bias")
        inputs = [x, skipped, *self.normalisation(f"{name}.LayerNorm"), bias]
        return self.add(
            "SkipLayerNormalization", inputs, f"{name}.normal", _CONTRIBUTED, epsilon=_EPSILON
        )

    def model(self, output: str, *, dimension: int) -> bytes:
        """Write the whole model."""
        self.add("Identity", [output], "tokens")
        shape: list[int | str] = [1, "n", dimension]
        graph = b"".join(
            [
                *(_field(1, node) for node in self._nodes),
                _field(2, b"bert"),
                *(_field(5, constant) for constant in self._constants.values()),
                _field(11, _value("embedded", shape)),
                _field(12, _value("tokens", shape)),
            ]
        )
        opsets = [
            _field(8, _field(1, domain.encode()) + _number(2, version))
            for domain, version in (("", _OPSET_VERSION), (_CONTRIBUTED, 1))
        ]
        return b"".join([_number(1, _IR_VERSION), *opsets, _field(7, graph)])

    def _quantised(self, name: str, weight: Matrix) -> list[str]:
        """Put a matrix into the graph as whole numbers, with a scale for each column."""
        largest = np.abs(weight).max(axis=0)  # (columns,)
        scales = np.where(largest > 0, largest, 1).astype(np.float32) / _LARGEST_WEIGHT
        whole = np.rint(weight / scales).astype(np.int8)
        return [
            self.constant(f"{name}.weight.whole", whole),
            self.constant(f"{name}.weight.scales", scales.astype(np.float32)),
        ]


# ---- the messages of onnx.proto3 ---------------------------------------------------------


def _operation(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    domain: str,
    attributes: Mapping[str, float],
) -> bytes:
    """NodeProto."""
    return b"".join(
        [
            *(_field(1, name.encode()) for name in inputs),
            *(_field(2, name.encode()) for name in outputs),
            _field(4, operator.encode()),
            *(_field(5, _attribute(name, value)) for name, value in attributes.items()),
            _field(7, domain.encode()),
        ]
    )


def _attribute(name: str, value: float) -> bytes:
    """AttributeProto of a whole number or of one with a point."""
    if isinstance(value, int):
        return _field(1, name.encode()) + _number(3, value) + _number(20, 2)
    return _field(1, name.encode()) + b"\x15" + struct.pack("<f", value) + _number(20, 1)


def _tensor(name: str, values: NDArray[np.generic]) -> bytes:
    """TensorProto, its numbers as they lie in memory (little-endian wherever this runs)."""
    sizes = b"".join(_number(1, size) for size in values.shape)
    kind = _number(2, _ELEMENT_TYPES[values.dtype])
    return sizes + kind + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    """ValueInfoProto of a float tensor; a size that is a name may be any."""
    sizes = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode()))
        for size in shape
    )
    tensor = _number(1, _ELEMENT_TYPES[np.dtype(np.float32)]) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, content: bytes) -> bytes:
    """Write a field of bytes: its number and kind, its length, the bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    """Write a field that is a whole number."""
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Write a number in groups of seven bits, the lowest first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
