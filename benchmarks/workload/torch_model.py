"""A small model of the Llama kind in PyTorch: pre-norm, rotary positions, gated feed-forward, tied embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .optimizer import BETAS, CLIP_NORM, DECAY, EPSILON, Floats, learning_rate
from .plan import Plan
from .text import Tokens

__all__ = ["TorchModel"]


class _Attention(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.heads = plan.heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(plan.width, plan.width, bias=False))

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        batch, length, width = x.shape

        def split(projection: Any) -> Tensor:
            return projection(x).view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = rotate(split(self.q_proj), rotation), rotate(split(self.k_proj), rotation), split(self.v_proj)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class _FeedForward(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(plan.width, plan.feed_forward, bias=False)
        self.up_proj = nn.Linear(plan.width, plan.feed_forward, bias=False)
        self.down_proj = nn.Linear(plan.feed_forward, plan.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class _Layer(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(plan.width)
        self.self_attn = _Attention(plan)
        self.post_attention_layernorm = nn.RMSNorm(plan.width)
        self.mlp = _FeedForward(plan)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation)
        return x + self.mlp(self.post_attention_layernorm(x))


class _Network(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(256, plan.width)
        self.layers = nn.ModuleList(_Layer(plan) for _ in range(plan.layers))
        self.norm = nn.RMSNorm(plan.width)
        half = plan.width // plan.heads // 2
        angles = torch.outer(torch.arange(plan.context), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("rotation", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, self.rotation)
        return functional.linear(self.norm(x), self.embed_tokens.weight)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotary positions: pairs of values of (batch, heads, length, size) as complex numbers times `rotation`."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotation).flatten(-2)


class TorchModel:
    """See `models.Model`. The arrays of `weights` share memory with the network's parameters."""

    def __init__(self, plan: Plan, seed: int) -> None:
        torch.manual_seed(seed)
        self._network = _Network(plan)
        for parameter in self._network.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        self._named = dict(self._network.named_parameters())
        self.weights: dict[str, Floats] = {name: p.detach().numpy() for name, p in self._named.items()}

    def loss_and_gradients(self, inputs: Tokens, targets: Tokens) -> tuple[float, dict[str, Floats]]:
        self._network.zero_grad(set_to_none=True)
        logits = self._network(torch.from_numpy(inputs))
        loss = functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
        loss.backward()
        return loss.item(), {name: p.grad.numpy() for name, p in self._named.items() if p.grad is not None}

    def optimizer(self, warm_up: int) -> TorchOptimizer:
        return TorchOptimizer(self._named, warm_up)


class TorchOptimizer:
    """`torch.optim.AdamW` over the parameters whose gradients `loss_and_gradients` left in place."""

    def __init__(self, named: dict[str, nn.Parameter], warm_up: int) -> None:
        self._named, self._warm_up, self._number = named, warm_up, 0
        matrices = [p for p in named.values() if p.dim() > 1]
        vectors = [p for p in named.values() if p.dim() <= 1]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=1.0, betas=BETAS, eps=EPSILON, weight_decay=DECAY)

    def step(self, _gradients: dict[str, Floats]) -> None:
        nn.utils.clip_grad_norm_(self._named.values(), CLIP_NORM)
        self._number += 1
        for group in self._adam.param_groups:
            group["lr"] = learning_rate(self._number, self._warm_up)
        self._adam.step()

    @property
    def exp_avg(self) -> dict[str, Floats]:
        return self._moment("exp_avg")

    @property
    def exp_avg_sq(self) -> dict[str, Floats]:
        return self._moment("exp_avg_sq")

    def _moment(self, which: str) -> dict[str, Floats]:
        return {name: self._adam.state[p][which].numpy() for name, p in self._named.items()}
