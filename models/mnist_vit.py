"""A small vision transformer for 28x28 digits: patches of 4x4, a class token, pre-norm blocks.

Its exports are what npuc's operators for attention are tried on: LayerNormalization, products of
two activations, Softmax, Gelu, and the shape code that each of PyTorch's exporters writes.
"""

from __future__ import annotations

import torch
from mnist_data import CLASSES, SIDE
from torch import nn

PATCH = 4
WIDTH = 32
HEADS = 4
BLOCKS = 3
HIDDEN = 2 * WIDTH
TOKENS = (SIDE // PATCH) ** 2 + 1


class VisionTransformer(nn.Module):
    """Float ``[N, 1, 28, 28]`` to logits ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, TOKENS, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(_Block() for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        patches_NTC = self.patches(x_NCHW).flatten(2).transpose(1, 2)
        token_NTC = self.token.expand(x_NCHW.shape[0], -1, -1)
        x_NTC = torch.cat([token_NTC, patches_NTC], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x_NTC))[:, 0])


class _Block(nn.Module):
    """Attention and two linear layers, each normalised before and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x_NTC: torch.Tensor) -> torch.Tensor:
        x_NTC = x_NTC + self._attend(self.norm1(x_NTC))
        return x_NTC + self.mlp(self.norm2(x_NTC))

    def _attend(self, x_NTC: torch.Tensor) -> torch.Tensor:
        count, tokens, width = x_NTC.shape
        split = self.qkv(x_NTC).reshape(count, tokens, 3, HEADS, width // HEADS)
        q_NHTD, k_NHTD, v_NHTD = split.permute(2, 0, 3, 1, 4).unbind(0)
        y_NHTD = nn.functional.scaled_dot_product_attention(q_NHTD, k_NHTD, v_NHTD)
        return self.out(y_NHTD.transpose(1, 2).reshape(count, tokens, width))
