"""The tool behind `make docs` and `make docs-check`."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_on_disk_are_fresh(render: ModuleType) -> None:
    assert render.stale() == []


def test_each_kind_of_staleness_is_named(render: ModuleType, tmp_path: Path) -> None:
    pages = render.rendered(tmp_path)
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert render.stale(tmp_path) == []
    changed, missing, *_ = sorted(pages)
    changed.write_text("edited by hand", encoding="utf-8")
    missing.unlink()
    extra = changed.parent / "extra.md"
    extra.write_text("", encoding="utf-8")
    assert render.stale(tmp_path) == sorted([
        f"{changed}: not that of this source",
        f"{missing}: missing",
        f"{extra}: not rendered from anything; delete it",
    ])  # fmt: skip
