"""A trained network from a pip package: is a line of text upright or turned by 180 degrees?

The file is ``ch_ppocr_mobile_v2.0_cls_infer.onnx`` of the wheel rapidocr-onnxruntime 1.4.4
(Apache-2.0; 0.59 MB). The wheel is only read: install it with ``--no-deps``, none of its
dependencies is needed. Lines to try it on are rendered with Pillow and Pillow's own font.

    python -m models.text_direction --out lines.npz [--int8 cls_int8.onnx]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

PACKAGE = "rapidocr_onnxruntime"
FILE = "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
HEIGHT, WIDTH = 48, 192
SHAPE = (1, 3, HEIGHT, WIDTH)
UPRIGHT, TURNED = 0, 1
COUNT = 40
WORDS = (
    "amber", "bridge", "Copper", "delta", "engine", "Forest", "granite", "Harbour", "island",
    "Journey", "kettle", "Lantern", "meadow", "Number", "orchard", "Pepper", "quarry", "River",
    "silver", "Tunnel", "umbrella", "Valley", "window", "Yellow", "zebra", "2026", "17:45", "No. 8",
)  # fmt: skip

Floats = NDArray[np.float32]


def model_path() -> Path | None:
    """The file of the installed package, without importing it; None where it is absent."""
    spec = find_spec(PACKAGE)
    folders = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or ()]
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def rendered_lines(count: int = COUNT, seed: int = 0) -> tuple[list[Floats], NDArray[np.int64]]:
    """``count`` inputs [1, 3, 48, 192] and their classes; every second line is turned.

    Text, size, margins, ink and paper are drawn from ``seed``. Needs Pillow.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return [_as_input(_line(rng), bool(label)) for label in labels], labels


def _line(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One rendered line as HWC, cut or padded to the network's width at its height."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    text = " ".join(rng.choice(WORDS, int(rng.integers(2, 4)), replace=False))
    font = ImageFont.load_default(size=int(rng.integers(24, 34)))
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    x, y = (int(margin) for margin in rng.integers(3, 9, 2))
    paper, ink = (tuple(int(c) for c in rng.integers(*r, 3)) for r in ((200, 256), (0, 70)))
    image = Image.new("RGB", (right - left + 2 * x, bottom - top + 2 * y), paper)
    ImageDraw.Draw(image).text((x - left, y - top), text, fill=ink, font=font)
    width = min(WIDTH, round(image.width * HEIGHT / image.height))
    return np.asarray(image.resize((width, HEIGHT), Image.Resampling.BILINEAR))


def _as_input(line_HWC: NDArray[np.uint8], turned: bool) -> Floats:
    """Blue, green, red from -1 to 1; the rest of the width is 0."""
    pixels = line_HWC[::-1, ::-1] if turned else line_HWC
    x_NCHW = np.zeros(SHAPE, np.float32)
    scaled = (pixels[..., ::-1].astype(np.float32) / np.float32(255) - np.float32(0.5)) * 2
    x_NCHW[0, :, :, : pixels.shape[1]] = scaled.transpose(2, 0, 1)
    return x_NCHW


def quantised_classifier(model: onnx.ModelProto, calibration: list[Floats]) -> onnx.ModelProto:
    """The network in int8 at its one shape, calibrated on ``calibration``. Needs onnxruntime."""
    from models.zoo.quantise import quantised  # noqa: PLC0415

    fixed = with_fixed_shape(model)
    (name,) = (value.name for value in fixed.graph.input)
    return quantised(fixed, inputs=[{name: x} for x in calibration])


def with_fixed_shape(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose input has the shape of one line."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for size, dim in zip(SHAPE, fixed.graph.input[0].type.tensor_type.shape.dim, strict=True):
        dim.dim_value = size
    return fixed


def _written(out: Path, int8: Path | None) -> Iterator[str]:
    lines, labels = rendered_lines()
    np.savez_compressed(out, lines=np.concatenate(lines), turned=labels)
    yield f"{out}: {len(lines)} lines"
    path = model_path()
    if int8 is not None and path is not None:
        calibration, _ = rendered_lines(count=16, seed=1)
        onnx.save_model(quantised_classifier(onnx.load(path), calibration), int8)
        yield f"{int8}: the classifier in int8"


def main() -> None:
    """Write the rendered lines and, where asked for, the int8 network."""
    parser = argparse.ArgumentParser(prog="python -m models.text_direction", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the npz file to write")
    parser.add_argument("--int8", type=Path, help="the int8 ONNX file to write")
    given = parser.parse_args()
    if given.int8 is not None and model_path() is None:
        parser.error(f"{PACKAGE} is absent: pip install --no-deps rapidocr-onnxruntime==1.4.4")
    for line in _written(given.out, given.int8):
        print(line)


if __name__ == "__main__":
    main()
