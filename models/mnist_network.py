"""The small depthwise CNN for 28x28 digits: definition and training.

Second step of ``train_mnist.py``; needs torch. Single thread, seeded: the same torch build
on the same kind of CPU gives the same weights; another build may differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from mnist_data import SIDE, Digits, to_input
from torch import nn

MAX_SHIFT = 2


@dataclass(frozen=True)
class TrainingPlan:
    """How to train; the defaults made the committed files."""

    epochs: int = 8
    batch: int = 100
    max_learning_rate: float = 4e-3
    weight_decay: float = 0.02
    seed: int = 0


def build_network() -> nn.Sequential:
    """Float ``[N, 1, 28, 28]`` to logits ``[N, 10]``; 10,474 parameters, 9 convolutions."""
    return nn.Sequential(
        *_convolution(1, 16, kernel=3),
        *_separable(16, 32, stride=2),
        *_separable(32, 32),
        *_separable(32, 64, stride=2),
        *_separable(64, 64),
        _SpatialMean(),
        nn.Linear(64, 10),
    )


def train_network(build: Callable[[], nn.Module], digits: Digits, plan: TrainingPlan) -> nn.Module:
    """A trained network in evaluation mode: AdamW, one cycle, images shifted by up to 2 pixels."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(plan.seed)
    network = build()
    x_NCHW, labels_N = torch.from_numpy(to_input(digits.images)), torch.from_numpy(digits.labels)
    steps = plan.epochs * (len(digits) // plan.batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=plan.max_learning_rate, total_steps=steps
    )
    for epoch in range(plan.epochs):
        for rows in torch.randperm(len(digits)).split(plan.batch):
            logits = network(_shift_randomly(x_NCHW[rows]))
            loss = nn.functional.cross_entropy(logits, labels_N[rows].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{plan.epochs}: last loss {loss.item():.4f}", flush=True)
    return network.eval()


class _SpatialMean(nn.Module):
    """Mean over height and width: ``[N, C, H, W]`` to ``[N, C]``."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW.mean(dim=(2, 3))


def _convolution(
    c_in: int, c_out: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution with 'same' padding, BatchNorm, ReLU6."""
    convolution = nn.Conv2d(
        c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(c_out), nn.ReLU6()]


def _separable(c_in: int, c_out: int, *, stride: int = 1) -> list[nn.Module]:
    """Depthwise 3x3, then pointwise 1x1."""
    depthwise = _convolution(c_in, c_in, kernel=3, stride=stride, groups=c_in)
    return [*depthwise, *_convolution(c_in, c_out, kernel=1)]


def _shift_randomly(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to ``MAX_SHIFT`` pixels along both axes; paper enters at the edge."""
    count = len(x_NCHW)
    padded_NHW = nn.functional.pad(x_NCHW[:, 0], [MAX_SHIFT] * 4)
    offsets = torch.randint(2 * MAX_SHIFT + 1, (2, count, 1))
    rows, columns = offsets + torch.arange(SIDE)
    images = torch.arange(count)[:, None, None]
    return padded_NHW[images, rows[:, :, None], columns[:, None, :]][:, None]
