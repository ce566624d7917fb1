"""Instructions from the tree of a core's text: operands by slot, bodies by braces, labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lark import Token, Tree

from npuc.isa.assembly.operands import (
    NONE,
    TABLES,
    Slot,
    form,
)
from npuc.isa.assembly.reading import (
    Node,
    fail,
    located,
    present,
    register_sum,
    signed,
    subtree,
    token,
    uint,
)
from npuc.isa.assembly.text import MAX_BRACES
from npuc.isa.encoding import encode_one
from npuc.isa.instructions import (
    BY_MNEMONIC,
    NO_INDEX,
    Command,
    Counter,
    Engine,
    Instruction,
    Kind,
    Wait,
)

Names = Mapping[str, Mapping[str, int]]  # table -> descriptor's name -> index


@dataclass
class CoreReader:
    """Reads the instructions of one core."""

    core: int
    names: Names
    rows: list[tuple[type[Instruction], dict[str, object], Tree[Token]]] = field(
        default_factory=list
    )
    labels: dict[str, int] = field(default_factory=dict)

    def read(self, lines: Sequence[Node]) -> list[Instruction]:
        """The instructions. Raises: AssemblyError with line and column."""
        self._lines(lines, 0)
        return [self._finished(position) for position in range(len(self.rows))]

    def _lines(self, lines: Sequence[Node], depth: int) -> None:
        for node in lines:
            line = subtree(node)
            if line.data == "instruction":
                self._instruction(line, depth)
                continue
            name = token(line.children[0])
            if str(name) in self.labels:
                raise fail(name, "a label is defined twice", name)
            self.labels[str(name)] = len(self.rows)

    def _instruction(self, tree: Tree[Token], depth: int) -> None:
        mnemonic = token(tree.children[0])
        cls = BY_MNEMONIC.get(str(mnemonic))
        if cls is None:
            raise fail(mnemonic, "unknown instruction", mnemonic, ", ".join(BY_MNEMONIC))
        values: dict[str, object] = {}
        self._operands(cls, tree, values)
        clauses = [subtree(child) for child in present(tree)[1:]]
        self._order(cls, [c for c in clauses if c.data in ("wait", "increment")], values)
        self.rows.append((cls, values, tree))
        block = next((c for c in clauses if c.data == "block"), None)
        if block is not None:
            self._block(cls, values, block, depth + 1)

    def _block(
        self, cls: type[Instruction], values: dict[str, object], block: Tree[Token], depth: int
    ) -> None:
        body = form(cls).body
        if not body or body in values:
            raise fail(block, "this instruction takes no body in braces", cls.mnemonic)
        if depth > MAX_BRACES:
            raise fail(block, "bodies nest too deep", depth, f"at most {MAX_BRACES}")
        start = len(self.rows)
        self._lines(block.children, depth)
        values[body] = len(self.rows) - start

    def _operands(
        self, cls: type[Instruction], tree: Tree[Token], values: dict[str, object]
    ) -> None:
        written = [
            subtree(o) for w in tree.children[1:2] if isinstance(w, Tree) for o in w.children
        ]
        ordered = [s for s in form(cls).slots if not s.spec.named and not s.is_word]
        missing = list(ordered)
        for operand in written:
            name, value = operand.children
            if isinstance(name, Token):
                self._named(cls, name, value, values)
            elif not self._word(cls, value, values):
                if not missing:
                    allowed = ", ".join(s.name for s in ordered) or "no operands in order"
                    raise fail(operand, f"too many operands for {cls.mnemonic}",
                               len(ordered) + 1, allowed)  # fmt: skip
                self._set(missing.pop(0), value, values)
        if missing:
            raise fail(tree, f"too few operands for {cls.mnemonic}",
                       len(ordered) - len(missing), ", ".join(s.name for s in ordered))  # fmt: skip

    def _named(
        self, cls: type[Instruction], name: Token, value: Node, values: dict[str, object]
    ) -> None:
        by_name = {s.name: s for s in form(cls).slots if s.spec.named}
        if str(name) in values:
            raise fail(name, "an operand is given twice", name)
        if str(name) == form(cls).body:
            values[str(name)] = self._number(value)
        elif str(name) in by_name:
            self._set(by_name[str(name)], value, values)
        else:
            raise fail(name, f"unknown operand of {cls.mnemonic}", name,
                       ", ".join(by_name) or "no named operands")  # fmt: skip

    def _word(self, cls: type[Instruction], node: Node, values: dict[str, object]) -> bool:
        """Whether ``node`` is a flag or choice of ``cls``; then its field is set."""
        if not isinstance(node, Token):
            return False
        for slot in form(cls).slots:
            if slot.spec.kind is Kind.flag and node == slot.name:
                values[slot.name] = 1
                return True
            if slot.spec.kind is Kind.choice and str(node) in slot.spec.choices:
                values[slot.name] = slot.spec.choices.index(str(node))
                return True
        return False

    def _set(self, slot: Slot, node: Node, values: dict[str, object]) -> None:
        kind = slot.spec.kind
        if kind is Kind.offset and isinstance(node, Token):
            values[slot.name] = node  # a label: its place is known at the end
        elif kind in TABLES:
            values[slot.name] = self._index(TABLES[kind], node)
        elif slot.register:
            if isinstance(node, Token):
                raise fail(node, "not a register and a number", node, "such as r4, -2 or r4 - 2")
            values[slot.register], values[slot.name] = register_sum(node)
        elif kind is Kind.reg:
            values[slot.name] = self._register(node)
        else:
            values[slot.name] = self._number(node)

    def _index(self, table: str, node: Node) -> int:
        if not isinstance(node, Token):
            return self._number(node)
        if node == NONE:
            return NO_INDEX
        if str(node) not in self.names[table]:
            known = ", ".join(self.names[table]) or "none is defined"
            raise fail(node, f"unknown name among the {table}", node, known)
        return self.names[table][str(node)]

    def _register(self, node: Node) -> int:
        if isinstance(node, Token):
            raise fail(node, "not a register", node, "r0 to r31")
        number, immediate = register_sum(node)
        if immediate or not isinstance(node.children[0], Token):
            raise fail(node, "not a register", immediate, "r0 to r31")
        return number

    def _number(self, node: Node) -> int:
        if isinstance(node, Token) or len(node.children) > 1 or isinstance(node.children[0], Token):
            raise fail(node, "not a number", node if isinstance(node, Token) else "a register")
        return signed(node.children[0])

    def _order(
        self, cls: type[Instruction], clauses: list[Tree[Token]], values: dict[str, object]
    ) -> None:
        if clauses and not issubclass(cls, Command):
            raise fail(clauses[0], f"{cls.mnemonic} cannot wait or increment: it is no command")
        waits = [self._wait(clause) for clause in clauses if clause.data == "wait"]
        if waits:
            values["waits"] = tuple(waits)
        increments = [clause for clause in clauses if clause.data == "increment"]
        if len(increments) > 1:
            raise fail(increments[1], "a command increments one counter")
        if increments:
            values["increment"] = uint(increments[0].children[0])

    def _wait(self, clause: Tree[Token]) -> Wait:
        counter, threshold = clause.children
        text = str(token(counter))
        prefix, _, rest = text.rpartition(".")
        engine, _, index = rest.rstrip("]").partition("[")
        if engine not in Engine.__members__:
            raise fail(token(counter), "unknown engine", engine, ", ".join(Engine.__members__))
        core = int(prefix.removeprefix("core")) if prefix else self.core
        return Wait(Counter(core, Engine[engine], int(index)), *register_sum(threshold))

    def _finished(self, position: int) -> Instruction:
        cls, values, tree = self.rows[position]
        offset = form(cls).offset
        label = values.get(offset)
        if isinstance(label, Token):
            if str(label) not in self.labels:
                raise fail(label, "unknown label", label, ", ".join(self.labels) or "none defined")
            values[offset] = self.labels[str(label)] - position
        with located(tree):
            instruction = cls(**values)
            encode_one(instruction)
        return instruction
