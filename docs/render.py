"""Write the pages that come from the source, or check that they are fresh.

python docs/render.py            write them
python docs/render.py --check    exit 1 and name each page that differs
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from npuc.isa import manual

DOCS = Path(__file__).parent
# folder below docs -> file name to text of each page in it
RENDERERS: dict[str, Callable[[], dict[str, str]]] = {"isa": manual.pages}
FIGURES = ("validation", "programs")  # folders with a render.py that makes the page NAME.md


def rendered(docs: Path = DOCS) -> dict[Path, str]:
    """Path to text of every rendered page."""
    pages = {
        docs / folder / name: text
        for folder, pages in RENDERERS.items()
        for name, text in pages().items()
    }
    return {**pages, **{docs / f"{name}.md": _page_of_figures(name) for name in FIGURES}}


def _page_of_figures(name: str) -> str:
    spec = importlib.util.spec_from_file_location(f"{name}_page", DOCS / name / "render.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.page())


def stale(docs: Path = DOCS) -> list[str]:
    """What is wrong with the pages on disk, one line each."""
    wanted = rendered(docs)
    found = {path for folder in RENDERERS for path in (docs / folder).glob("*.md")}
    found |= {path for name in FIGURES if (path := docs / f"{name}.md").exists()}
    lines = [f"{path}: not rendered from anything; delete it" for path in found - wanted.keys()]
    for path, text in wanted.items():
        if path not in found:
            lines.append(f"{path}: missing")
        elif path.read_text(encoding="utf-8") != text:
            lines.append(f"{path}: not that of this source")
    return sorted(lines)


def main() -> int:
    """Exit code: 0 fine, 1 a page is stale."""
    parser = argparse.ArgumentParser(description="render the pages that come from the source")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if parser.parse_args().check:
        lines = stale()
        print("\n".join([*lines, "`make docs` writes them"]) if lines else "rendered pages: fresh")
        return 1 if lines else 0
    for path, text in rendered().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
