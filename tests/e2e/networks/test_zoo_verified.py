"""``verify`` passes on the zoo: every level of a compilation, and ONNX Runtime link by link."""

from __future__ import annotations

import pytest

from models.zoo import NAMES, build, quantised
from npuc.compiler.options import CompileOptions
from npuc.runtime.verification import verify_model
from tests.e2e.networks.test_zoo_models import LARGE

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra 'verify'")

CASES = [(name, "fp32") for name in NAMES] + [(n, "int8") for n in NAMES if n not in LARGE]
SMALL = ("mobilenet_v2", "light_squeezenet", "light_shufflenet")
TARGETS = [(*case, "edge") for case in CASES]
TARGETS += [(*case[:2], "ref-2048") for case in CASES if case[0] in SMALL or case[1] == "int8"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision", "target"), TARGETS)
def test_every_level_is_verified(name: str, precision: str, target: str) -> None:
    made = build(name)
    model = quantised(made) if precision == "int8" else made
    report = verify_model(model.SerializeToString(), CompileOptions(target=target))
    assert report.passed, report.first_failure
