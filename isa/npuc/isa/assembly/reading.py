"""Parsing assembly text, and what every reader of its tree needs: places, numbers, names."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import TypeAlias

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.lexer import PatternStr

from npuc.isa.errors import AssemblyError, EncodingError

Node: TypeAlias = Tree[Token] | Token
NEXT = "npuc disasm shows the form of every statement"
_WORDS = {
    "UINT": "a number", "REAL": "a real number", "NAME": "a name", "STRING": "a string",
    "REG": "a register", "COUNTER": "a counter such as st[0]", "VALUE": "a value such as %0",
    "_NL": "the end of the line", "HEX": "pairs of hexadecimal digits", "$END": "the end",
    "SIGN": "+ or -", "ROLE": ".input, .output or .state",
}  # fmt: skip


@cache
def _parser() -> Lark:
    grammar = resources.files("npuc.isa.assembly").joinpath("assembly.lark")
    return Lark(grammar.read_text(encoding="utf-8"), parser="lalr", propagate_positions=True)


def parse(text: str) -> Tree[Token]:
    """The tree of ``text``. Raises: AssemblyError with line, column and what was expected."""
    try:
        return _parser().parse(text + "\n")
    except UnexpectedInput as error:
        raise AssemblyError(
            "the assembly text does not parse", f"line {error.line}, column {error.column}",
            _found(error), _expected(error), NEXT,
        ) from error  # fmt: skip


def _found(error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedToken):
        token = error.token
        return (
            "the end of the line"
            if token.type == "_NL"
            else repr(str(token))
            if token
            else "the end"
        )
    return repr(error.char) if isinstance(error, UnexpectedCharacters) else "?"


def _expected(error: UnexpectedInput) -> str:
    names: set[str] = set()
    if isinstance(error, UnexpectedToken):
        names = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        names = set(error.allowed or ())
    return ", ".join(sorted(_word(name) for name in names if name not in ("COMMENT", "__IGNORE_0")))


def _word(terminal: str) -> str:
    if terminal in _WORDS:
        return _WORDS[terminal]
    pattern = next((t.pattern for t in _parser().terminals if t.name == terminal), None)
    return f"'{pattern.value}'" if isinstance(pattern, PatternStr) else terminal


def place(node: Node) -> str:
    """Line and column where ``node`` begins."""
    if isinstance(node, Token):
        return f"line {node.line}, column {node.column}"
    return "the text" if node.meta.empty else f"line {node.meta.line}, column {node.meta.column}"


def fail(node: Node, what: str, given: object = "", allowed: object = "") -> AssemblyError:
    """The error at ``node``."""
    return AssemblyError(what, place(node), str(given), str(allowed), "mend this line")


@contextmanager
def located(node: Node) -> Iterator[None]:
    """Turn what the instruction set refuses into an error of this line."""
    try:
        yield
    except EncodingError as error:
        given = "; ".join(part for part in (error.where, error.given) if part)
        raise fail(node, error.what, given, error.allowed) from error


def subtree(node: object) -> Tree[Token]:
    """``node`` as the tree that the grammar puts there."""
    assert isinstance(node, Tree)
    return node


def token(node: object) -> Token:
    """``node`` as the token that the grammar puts there."""
    assert isinstance(node, Token)
    return node


def present(node: Tree[Token]) -> list[Node]:
    """The children that were written."""
    return [child for child in node.children if child is not None]


def uint(node: object) -> int:
    """An unsigned number, decimal or 0x."""
    text = str(token(node))
    return int(text, 16 if text.startswith("0x") else 10)


def register(node: object) -> int:
    """The number of a register."""
    return int(str(token(node))[1:])


def signed(node: object) -> int:
    """A number with or without a minus."""
    tree = subtree(node)
    value = uint(tree.children[-1])
    return (
        -value if tree.meta.end_pos - tree.meta.start_pos > len(token(tree.children[-1])) else value
    )


def register_sum(node: object) -> tuple[int, int]:
    """Register and immediate of ``r4``, ``-2`` or ``r4 - 2``."""
    parts = subtree(node).children
    if len(parts) == 3:
        value = uint(parts[2])
        return register(parts[0]), -value if parts[1] == "-" else value
    first = parts[0]
    return (register(first), 0) if isinstance(first, Token) else (0, signed(first))
