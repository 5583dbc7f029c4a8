"""A small GPT in torch that really learns: bytes of Python's own documentation. For benchmarks of the training loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from .workload.text import help_texts

__all__ = ["Size", "SIZES", "SmallGPT", "Training", "new_training"]


class Size(NamedTuple):
    layers: int
    width: int
    heads: int
    context: int
    batch: int


SIZES = {
    "tiny": Size(2, 128, 4, 64, 8),
    "small": Size(4, 384, 6, 128, 8),
    "middle": Size(8, 512, 8, 64, 2),  # 0.3 GB of full state
    "large": Size(12, 768, 12, 64, 2),  # 1 GB
}


class _Block(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.first, self.second = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.qkv = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Linear(size.width, size.width)
        self.up, self.down = nn.Linear(size.width, 4 * size.width), nn.Linear(4 * size.width, size.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.first(x)).view(batch, length, 3, self.heads, width // self.heads).unbind(2)
        query, key, value = (part.transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.second(x))))


class SmallGPT(nn.Module):
    """Bytes in, logits of the next byte out; the embedding is tied to the head."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(256, size.width), nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(_Block(size) for _ in range(size.layers))
        self.last = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, 256, bias=False)
        self.head.weight = self.tokens.weight
        self.apply(_initialise)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


class Training:
    """A model, its optimizer and its data; `step()` is one step, and returns the loss."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, size: Size, seed: int) -> None:
        self.model, self.optimizer, self._size = model, optimizer, size
        self._data = torch.frombuffer(bytearray(help_texts()), dtype=torch.uint8)
        self._random = torch.Generator().manual_seed(seed)
        self.steps = 0

    def step(self) -> float:
        context, batch = self._size.context, self._size.batch
        starts = torch.randint(len(self._data) - context - 1, (batch,), generator=self._random)
        text = torch.stack([self._data[at : at + context + 1] for at in starts.tolist()]).long()
        logits = self.model(text[:, :-1]).float()
        loss = nn.functional.cross_entropy(logits.reshape(-1, 256), text[:, 1:].reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.steps,
            "rng": torch.get_rng_state(),
        }


def new_training(size: Size, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Training:
    """Full training with AdamW, weights and moments of `dtype`."""
    torch.manual_seed(seed)
    model = SmallGPT(size).to(dtype)
    return Training(model, torch.optim.AdamW(model.parameters(), 3e-4, weight_decay=0.1), size, seed)
