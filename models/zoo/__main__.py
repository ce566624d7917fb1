"""``python -m models.zoo NAME --out FILE``: write one network of the zoo."""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

from models.zoo import NAMES, build, quantised, with_batch


def main() -> None:
    """Parse the command line, make the model, write it."""
    parser = argparse.ArgumentParser(prog="python -m models.zoo", description=__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--int8", action="store_true", help="quantise (needs onnxruntime)")
    parser.add_argument("--fold-norm", action="store_true", help="fold BatchNormalization")
    parser.add_argument("--batch", type=int, default=1, help="images at once")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    given = parser.parse_args()
    model = build(given.name, seed=given.seed, fold_norm=given.fold_norm)
    model = quantised(model) if given.int8 else model
    model = with_batch(model, given.batch) if given.batch > 1 else model
    onnx.save_model(model, given.out)
    print(f"{given.out}: {given.name}, {given.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
