"""The form of the repository itself: sizes, names and layout, read from the sources.

What ruff (length of lines, too), mypy and import-linter check is not repeated here.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOTS = ("isa", "compiler", "emulator", "runtime")

MAX_FILE_LINES = 500
MAX_TEST_FILE_LINES = 600
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 4
MAX_NESTING = 3
MAX_FILES_IN_FOLDER = 20
MAX_FOLDER_README_LINES = 60

BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
BANNED_AFFIXES = re.compile(r"^(old|new)_|_(old|new|v?2)$|_(utils|helpers|manager|misc)$")
# Character classes keep these patterns from finding themselves.
MACHINE_PATHS = re.compile(r"(?<![\w.}])/(work|home|root|Users|tmp|opt)/\w")
REGISTRY_HOSTS = re.compile(r"[f]iles\.pythonhosted|[p]ypi\.org|[i]ndex-url|[r]egistry\.npmjs")
UNFINISHED_MARKS = re.compile(r"#.*\b([T]ODO|[F]IXME|[X]XX)\b")
TEXT_SUFFIXES = {".py", ".toml", ".md", ".lark", ".cfg", ".ini", ".yml", ".yaml", ".mlir", ".s", ""}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that belongs to the repository: what git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        output = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(sorted(_walk(REPOSITORY)))
    names = (name for name in output.decode().split("\0") if name)
    return tuple(sorted({p for p in (REPOSITORY / name for name in names) if p.is_file()}))


def _walk(folder: Path) -> Iterator[Path]:
    """The files below ``folder`` when there is no git: hidden and rendered folders left out."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in {"__pycache__", "build", "dist"}:
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def python_files() -> tuple[Path, ...]:
    return tuple(path for path in tracked_files() if path.suffix == ".py")


def source_files() -> tuple[Path, ...]:
    return tuple(path for path in python_files() if shown(path).split("/")[0] in ROOTS)


def shown(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions_in(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """Lines from ``def`` to the end, docstring included, decorators left out."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: Function) -> int:
    """Parameters that a caller passes: neither ``self`` and ``cls`` nor star parameters."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    if named and named[0].arg in {"self", "cls"}:
        named = named[1:]
    return len(named) + len(arguments.kwonlyargs)


def is_pure_table(tree: ast.Module) -> bool:
    """A module of a docstring, imports and assignments alone is a table, free of the file limit."""
    data = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    return all(isinstance(statement, data) for statement in tree.body)


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def nesting_of(node: ast.AST) -> int:
    """How deep blocks stand in one another below ``node``; ``elif`` counts as its ``if``."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        is_elif = field == "orelse" and len(children) == 1 and isinstance(children[0], ast.If)
        for child in children:
            if not isinstance(child, ast.AST) or isinstance(child, (*_SCOPES, ast.expr)):
                continue
            opens_block = isinstance(child, _BLOCKS) and not (is_elif and isinstance(node, ast.If))
            deepest = max(deepest, nesting_of(child) + opens_block)
    return deepest


def none_of(offences: list[str], rule: str) -> None:
    if offences:
        pytest.fail(f"{rule}:\n  " + "\n  ".join(offences), pytrace=False)


def test_there_are_sources_to_check() -> None:
    found = {shown(path).split("/")[0] for path in source_files()}
    assert found == set(ROOTS)


def test_roots_form_one_namespace_package() -> None:
    offences = [
        f"{root}/npuc/__init__.py"
        for root in ROOTS
        if (REPOSITORY / root / "npuc" / "__init__.py").exists()
    ]
    none_of(offences, "a package npuc in one root hides the other three roots")


def test_files_are_short() -> None:
    offences = []
    for path in python_files():
        limit = MAX_TEST_FILE_LINES if shown(path).startswith("tests/") else MAX_FILE_LINES
        count = path.read_text(encoding="utf-8").count("\n")
        if count > limit and not is_pure_table(tree_of(path)):
            offences.append(f"{shown(path)}: {count} lines, limit {limit}")
    none_of(offences, "split these files by subject")


def test_functions_are_short() -> None:
    offences = [
        f"{shown(path)}:{function.lineno} {function.name}: {lines_of(function)} lines"
        for path in python_files()
        for function in functions_in(path)
        if lines_of(function) > MAX_FUNCTION_LINES
    ]
    none_of(offences, f"a function has at most {MAX_FUNCTION_LINES} lines")


def test_functions_are_flat() -> None:
    offences = [
        f"{shown(path)}:{function.lineno} {function.name}: {nesting_of(function)} levels"
        for path in source_files()
        for function in functions_in(path)
        if nesting_of(function) > MAX_NESTING
    ]
    none_of(
        offences, f"blocks nest at most {MAX_NESTING} deep; guard first, or name the inner part"
    )


def test_parameters_are_few() -> None:
    offences = [
        f"{shown(path)}:{function.lineno} {function.name}: {parameters_of(function)} parameters"
        for path in source_files()
        for function in functions_in(path)
        if parameters_of(function) > MAX_PARAMETERS
        and not _is_free_of_parameter_limit(path, function)
    ]
    none_of(offences, f"above {MAX_PARAMETERS} parameters use a frozen dataclass")


def _is_free_of_parameter_limit(path: Path, function: Function) -> bool:
    """Commands of the CLI declare one parameter per option; numba kernels take plain arrays."""
    if "/cli" in shown(path) or shown(path).endswith("/cli.py"):
        return True
    decorators = {ast.unparse(decorator).split("(")[0] for decorator in function.decorator_list}
    return any(name.split(".")[-1] in {"njit", "leaf", "vectorize"} for name in decorators)


def test_folders_are_small() -> None:
    count = Counter(path.parent for path in tracked_files() if "vectors" not in path.parts)
    offences = [
        f"{shown(folder)}: {files} files"
        for folder, files in sorted(count.items())
        if files > MAX_FILES_IN_FOLDER and "golden" not in folder.parts
    ]
    none_of(offences, f"a folder holds at most {MAX_FILES_IN_FOLDER} files")


def test_names_say_something() -> None:
    offences = [
        f"{shown(path)}: {part}"
        for path in python_files()
        for part in path.relative_to(REPOSITORY).with_suffix("").parts
        if part in BANNED_NAMES or BANNED_AFFIXES.search(part)
    ]
    none_of(offences, "a module is named after its subject")


def test_modules_say_what_they_are() -> None:
    offences = [shown(path) for path in python_files() if not ast.get_docstring(tree_of(path))]
    none_of(offences, "a module opens with a docstring: what it is and where it stands")


def test_sources_hold_no_unfinished_marks() -> None:
    none_of(_matches(UNFINISHED_MARKS, python_files()), "finish it, or delete it")


def test_sources_name_no_machine() -> None:
    text_files = tuple(path for path in tracked_files() if path.suffix in TEXT_SUFFIXES)
    none_of(_matches(MACHINE_PATHS, text_files), "no path of one machine")
    none_of(_matches(REGISTRY_HOSTS, text_files), "no host of a package registry")


def _matches(pattern: re.Pattern[str], paths: tuple[Path, ...]) -> list[str]:
    found = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{shown(path)}:{i}: {line.strip()[:80]}"
            for i, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    return found


@pytest.mark.parametrize("root", ROOTS)
def test_folder_readme_fits_a_page(root: str) -> None:
    lines = (REPOSITORY / root / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_FOLDER_README_LINES


@pytest.mark.parametrize("root", ROOTS)
def test_folder_readme_names_every_module(root: str) -> None:
    package = REPOSITORY / root / "npuc" / root
    text = (REPOSITORY / root / "README.md").read_text(encoding="utf-8")
    below = [path.relative_to(package) for path in tracked_files() if package in path.parents]
    entries = {path.name if len(path.parts) == 1 else path.parts[0] + "/" for path in below}
    named_by_nobody = {"__init__.py", "py.typed"}
    missing = [name for name in sorted(entries - named_by_nobody) if f"`{name}`" not in text]
    none_of(missing, f"{root}/README.md has no line for")


def test_typed_marker_is_in_each_package() -> None:
    missing = [
        root for root in ROOTS if not (REPOSITORY / root / "npuc" / root / "py.typed").exists()
    ]
    assert missing == []


# --- the measures themselves, on known text ---


def _only_function(text: str) -> Function:
    return next(node for node in ast.walk(ast.parse(text)) if isinstance(node, Function))


@pytest.mark.parametrize(
    ("body", "levels"),
    [
        ("return 1", 0),
        ("if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass", 1),
        ("for i in a:\n  if i:\n   while i:\n    pass", 3),
        ("if a:\n  pass\n else:\n  if b:\n   pass\n  x = 1", 2),
        ("def g():\n  for i in a:\n   pass", 0),
        ("try:\n  pass\n except E:\n  for i in a:\n   pass", 2),
        ("match a:\n  case 1:\n   if b:\n    pass", 2),
    ],
)
def test_nesting_measure(body: str, levels: int) -> None:
    assert nesting_of(_only_function(f"def f():\n {body}")) == levels


def test_function_measures() -> None:
    function = _only_function('@d\ndef f(self, a, b, *c, e, **g):\n  """One.\n\n  Two."""\n')
    assert lines_of(function) == 4
    assert parameters_of(function) == 3


def test_name_measure() -> None:
    banned = [
        name
        for name in ("old_x", "x_new", "x2", "conv2", "x_utils", "pool_2", "newton")
        if BANNED_AFFIXES.search(name)
    ]
    assert banned == ["old_x", "x_new", "x_utils", "pool_2"]
