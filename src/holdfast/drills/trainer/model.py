"""The model of the drill's trainer: a pre-norm causal transformer over bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from holdfast.drills.trainer.layers import (
    AttentionCache,
    AttentionMatrices,
    Floats,
    Ints,
    MlpCache,
    MlpMatrices,
    NormCache,
    attention,
    attention_backward,
    causal_mask,
    cross_entropy,
    dropout_scale,
    mlp,
    mlp_backward,
    rms_norm,
    rms_norm_backward,
)
from holdfast.drills.trainer.parameters import Parameters

__all__ = ["Shape", "SHAPES", "Model"]


class Shape(NamedTuple):
    """Size of a model. `width` is a multiple of `heads`."""

    width: int
    layers: int
    heads: int
    context: int  # tokens that a position can see
    batch: int
    vocabulary: int = 256


SHAPES = {
    "small": Shape(width=256, layers=2, heads=4, context=64, batch=4),
    "medium": Shape(width=512, layers=6, heads=8, context=64, batch=6),
}

_DROPOUT = 0.05


class _BlockCache(NamedTuple):
    attention_norm: NormCache
    attention: AttentionCache
    attention_kept: Floats | None
    mlp_norm: NormCache
    mlp: MlpCache
    mlp_kept: Floats | None


class Model:
    """Weights, their gradients, and one method that fills the latter."""

    def __init__(self, shape: Shape, dtype: npt.DTypeLike = np.float32) -> None:
        self.shape = shape
        self.weights = Parameters(_parameter_shapes(shape), dtype)
        self.gradients = self.weights.like()
        self._mask = causal_mask(shape.context, dtype)

    def initialise(self, rng: np.random.Generator) -> None:
        """Gains 1; matrices normal, deviation 1/√inputs (embeddings 0.02), but zero where a branch or the model ends.

        With zero ends every block starts as the identity and the first loss is ln 256: nothing has to be tuned.
        """
        for name, view in self.weights.items():
            if name.endswith("norm.weight"):
                view[...] = 1.0
            elif name.endswith(("out.weight", "down.weight", "head.weight")):
                view[...] = 0.0
            else:
                deviation = 0.02 if name.startswith("embed") else view.shape[0] ** -0.5
                view[...] = rng.standard_normal(view.shape, dtype=np.float32) * deviation

    def loss_and_gradients(self, inputs: Ints, targets: Ints, rng: np.random.Generator | None) -> float:
        """Mean loss in nats over (B, T) tokens and their successors; sets `gradients`. Without `rng`, no dropout."""
        caches = []
        x = self._embed(inputs)
        for layer in range(self.shape.layers):
            x, cache = self._block(layer, x, len(inputs), rng)
            caches.append(cache)
        loss, d_x = self._head(x, targets.reshape(-1))
        for layer in reversed(range(self.shape.layers)):
            d_x = self._block_backward(layer, d_x, caches[layer])
        self._embed_backward(inputs, d_x)
        return loss

    def _embed(self, inputs: Ints) -> Floats:
        tokens, positions = self.weights["embed.tokens.weight"], self.weights["embed.positions.weight"]
        x: Floats = tokens[inputs] + positions
        return x.reshape(inputs.size, -1)

    def _embed_backward(self, inputs: Ints, d_x: Floats) -> None:
        d_tokens = self.gradients["embed.tokens.weight"]
        d_tokens.fill(0.0)
        np.add.at(d_tokens, inputs.reshape(-1), d_x)
        np.sum(d_x.reshape(*inputs.shape, -1), axis=0, out=self.gradients["embed.positions.weight"])

    def _head(self, x: Floats, targets: Ints) -> tuple[float, Floats]:
        gain, d_gain = self._pair("final_norm")
        head, d_head = self._pair("head")
        normed, cache = rms_norm(x, gain)
        loss, d_logits = cross_entropy(normed @ head, targets)
        np.matmul(normed.T, d_logits, out=d_head)
        return loss, rms_norm_backward(d_logits @ head.T, gain, cache, d_gain)

    def _block(self, layer: int, x: Floats, batch: int, rng: np.random.Generator | None) -> tuple[Floats, _BlockCache]:
        block = f"blocks.{layer}"
        normed, norm_1 = rms_norm(x, self._pair(f"{block}.attention_norm")[0])
        matrices, _ = self._attention_matrices(block)
        out, attended = attention(normed, matrices, self._mask, heads=self.shape.heads, batch=batch)
        out, kept_1 = _drop(out, rng)
        x = x + out
        normed, norm_2 = rms_norm(x, self._pair(f"{block}.mlp_norm")[0])
        out, hidden = mlp(normed, self._mlp_matrices(block)[0])
        out, kept_2 = _drop(out, rng)
        return x + out, _BlockCache(norm_1, attended, kept_1, norm_2, hidden, kept_2)

    def _block_backward(self, layer: int, d_x: Floats, cache: _BlockCache) -> Floats:
        block = f"blocks.{layer}"
        gain, d_gain = self._pair(f"{block}.mlp_norm")
        up_down, d_up_down = self._mlp_matrices(block)
        d_out = d_x if cache.mlp_kept is None else d_x * cache.mlp_kept
        d_out = mlp_backward(d_out, up_down, cache.mlp, d_up_down)
        d_x = d_x + rms_norm_backward(d_out, gain, cache.mlp_norm, d_gain)
        gain, d_gain = self._pair(f"{block}.attention_norm")
        matrices, d_matrices = self._attention_matrices(block)
        d_out = d_x if cache.attention_kept is None else d_x * cache.attention_kept
        d_out = attention_backward(d_out, matrices, cache.attention, d_matrices)
        return d_x + rms_norm_backward(d_out, gain, cache.attention_norm, d_gain)

    def _pair(self, name: str) -> tuple[Floats, Floats]:
        return self.weights[f"{name}.weight"], self.gradients[f"{name}.weight"]

    def _attention_matrices(self, block: str) -> tuple[AttentionMatrices, AttentionMatrices]:
        qkv, out = self._pair(f"{block}.attention.qkv"), self._pair(f"{block}.attention.out")
        return AttentionMatrices(qkv[0], out[0]), AttentionMatrices(qkv[1], out[1])

    def _mlp_matrices(self, block: str) -> tuple[MlpMatrices, MlpMatrices]:
        up, down = self._pair(f"{block}.mlp.up"), self._pair(f"{block}.mlp.down")
        return MlpMatrices(up[0], down[0]), MlpMatrices(up[1], down[1])


def _drop(out: Floats, rng: np.random.Generator | None) -> tuple[Floats, Floats | None]:
    if rng is None:
        return out, None
    kept = dropout_scale(out.shape, _DROPOUT, rng, out.dtype)
    return out * kept, kept


def _parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Matrices before gains: weight decay applies to the former, and the optimizer takes them as one slice."""
    width = shape.width
    matrices = {"embed.tokens.weight": (shape.vocabulary, width), "embed.positions.weight": (shape.context, width)}
    gains: dict[str, tuple[int, ...]] = {}
    for layer in range(shape.layers):
        block = f"blocks.{layer}"
        matrices[f"{block}.attention.qkv.weight"] = (width, 3 * width)
        matrices[f"{block}.attention.out.weight"] = (width, width)
        matrices[f"{block}.mlp.up.weight"] = (width, 4 * width)
        matrices[f"{block}.mlp.down.weight"] = (4 * width, width)
        gains[f"{block}.attention_norm.weight"] = (width,)
        gains[f"{block}.mlp_norm.weight"] = (width,)
    matrices["head.weight"] = (width, shape.vocabulary)
    gains["final_norm.weight"] = (width,)
    return {**matrices, **gains}
