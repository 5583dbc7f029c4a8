"""The layers of the drill's transformer: each forward returns (output, cache), each backward fills gradients.

Activations are (rows, width) with rows = batch × context. Shapes below: R rows, W width, B batch, H heads, T context,
D = W / H. Gradients were derived by hand and are checked against central differences in the tests.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Ints", "AttentionMatrices", "MlpMatrices", "NormCache", "AttentionCache", "MlpCache"]
__all__ += ["rms_norm", "rms_norm_backward", "attention", "attention_backward", "mlp", "mlp_backward"]
__all__ += ["causal_mask", "dropout_scale", "cross_entropy"]

Floats: TypeAlias = npt.NDArray[np.floating]
Ints: TypeAlias = npt.NDArray[np.int64]

_EPSILON = 1e-5


class AttentionMatrices(NamedTuple):
    """(W, 3W) for queries, keys and values, and (W, W) out of the heads; or their gradients."""

    qkv: Floats
    out: Floats


class MlpMatrices(NamedTuple):
    """(W, 4W) and (4W, W); or their gradients."""

    up: Floats
    down: Floats


class NormCache(NamedTuple):
    """Normalised input (R, W) and reciprocal root mean square (R, 1)."""

    normed: Floats
    inverse: Floats


class AttentionCache(NamedTuple):
    """Input (R, W); queries, keys and values (B, H, T, D); weights (B, H, T, T); mixed values (R, W)."""

    x: Floats
    query: Floats
    key: Floats
    value: Floats
    weights: Floats
    mixed: Floats


class MlpCache(NamedTuple):
    """Input (R, W), rectified hidden layer (R, 4W) and its square."""

    x: Floats
    rectified: Floats
    squared: Floats


def causal_mask(context: int, dtype: npt.DTypeLike) -> Floats:
    """(T, T): 0 where a position may look, -1e9 where it would see the future."""
    mask: Floats = np.triu(np.full((context, context), -1e9, dtype=dtype), k=1)
    return mask


def rms_norm(x: Floats, gain: Floats) -> tuple[Floats, NormCache]:
    """Root-mean-square norm (Zhang and Sennrich 2019): x / rms(x) · gain."""
    inverse: Floats = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + _EPSILON)
    normed = x * inverse
    return normed * gain, NormCache(normed, inverse)


def rms_norm_backward(d_out: Floats, gain: Floats, cache: NormCache, d_gain: Floats) -> Floats:
    """Gradient of the input; writes that of the gain into `d_gain`."""
    np.sum(d_out * cache.normed, axis=0, out=d_gain)
    d_normed = d_out * gain
    shared = np.mean(d_normed * cache.normed, axis=-1, keepdims=True)
    d_x: Floats = (d_normed - cache.normed * shared) * cache.inverse
    return d_x


def attention(
    x: Floats, matrices: AttentionMatrices, mask: Floats, *, heads: int, batch: int
) -> tuple[Floats, AttentionCache]:
    """Causal multi-head self-attention over `batch` texts of equal length."""
    width = x.shape[1]
    parts = (x @ matrices.qkv).reshape(batch, -1, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    query, key, value = parts[0], parts[1], parts[2]
    weights = _softmax(query @ key.swapaxes(-1, -2) * _scale(width // heads) + mask)
    mixed = (weights @ value).transpose(0, 2, 1, 3).reshape(-1, width)
    return mixed @ matrices.out, AttentionCache(x, query, key, value, weights, mixed)


def attention_backward(
    d_out: Floats, matrices: AttentionMatrices, cache: AttentionCache, gradients: AttentionMatrices
) -> Floats:
    """Gradient of the input; writes those of the matrices."""
    batch, heads, context, depth = cache.query.shape
    width = heads * depth
    np.matmul(cache.mixed.T, d_out, out=gradients.out)
    d_mixed = (d_out @ matrices.out.T).reshape(batch, context, heads, depth).transpose(0, 2, 1, 3)
    d_weights = d_mixed @ cache.value.swapaxes(-1, -2)
    d_scores = cache.weights * (d_weights - np.sum(d_weights * cache.weights, axis=-1, keepdims=True)) * _scale(depth)
    d_parts = np.empty((batch, context, 3, heads, depth), dtype=d_out.dtype)
    d_parts[:, :, 0] = (d_scores @ cache.key).transpose(0, 2, 1, 3)
    d_parts[:, :, 1] = (d_scores.swapaxes(-1, -2) @ cache.query).transpose(0, 2, 1, 3)
    d_parts[:, :, 2] = (cache.weights.swapaxes(-1, -2) @ d_mixed).transpose(0, 2, 1, 3)
    flat: Floats = d_parts.reshape(-1, 3 * width)
    np.matmul(cache.x.T, flat, out=gradients.qkv)
    d_x: Floats = flat @ matrices.qkv.T
    return d_x


def mlp(x: Floats, matrices: MlpMatrices) -> tuple[Floats, MlpCache]:
    """Two matrices around a squared ReLU (So et al. 2021): max(x · up, 0)² · down."""
    rectified: Floats = np.maximum(x @ matrices.up, 0.0)
    squared = rectified * rectified
    return squared @ matrices.down, MlpCache(x, rectified, squared)


def mlp_backward(d_out: Floats, matrices: MlpMatrices, cache: MlpCache, gradients: MlpMatrices) -> Floats:
    """Gradient of the input; writes those of the matrices."""
    np.matmul(cache.squared.T, d_out, out=gradients.down)
    d_hidden = (d_out @ matrices.down.T) * cache.rectified * 2.0
    np.matmul(cache.x.T, d_hidden, out=gradients.up)
    d_x: Floats = d_hidden @ matrices.up.T
    return d_x


def dropout_scale(shape: tuple[int, ...], rate: float, rng: np.random.Generator, dtype: npt.DTypeLike) -> Floats:
    """Inverted dropout: 0 with probability `rate`, else 1 / (1 - rate). Draws float32 numbers from `rng`."""
    kept: Floats = (rng.random(shape, dtype=np.float32) >= rate).astype(dtype)
    kept *= 1.0 / (1.0 - rate)
    return kept


def cross_entropy(logits: Floats, targets: Ints) -> tuple[float, Floats]:
    """Mean negative log likelihood in nats, and its gradient with respect to the logits (R, V)."""
    rows = np.arange(len(targets))
    probabilities = _softmax(logits)
    loss = -float(np.mean(np.log(probabilities[rows, targets] + 1e-12)))
    probabilities[rows, targets] -= 1.0
    probabilities /= len(targets)
    return loss, probabilities


def _softmax(scores: Floats) -> Floats:
    shifted: Floats = scores - np.max(scores, axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= np.sum(shifted, axis=-1, keepdims=True)
    return shifted


def _scale(depth: int) -> float:
    return 1.0 / math.sqrt(depth)
