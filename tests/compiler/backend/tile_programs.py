"""Random legal tile programs, for properties of lowering: rings, loops, engines, held slots."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

WIDTH = 16  # bytes of a slot
VIEW = "#tile.view<i8 spm 0 extents [1, 1, 1, 16, 1, 1, 1] strides [0, 0, 0, 1, 0, 0, 0]>"
KERNEL = "kernel <in [i, i] body [addi(0, 1)] epilogue [] out [16]>"
TENSOR = "!tile.dram<[8, 16] i8>"
MAP = "map <i8 0 extents [8, 16] strides [16, 1] box [1, 16] spm [16, 1]>"
HEADER = f"""tile.program {{
  %x = tile.tensor "x" input : {TENSOR}
  %m = tile.tensor "m" scratch : {TENSOR}
  %y = tile.tensor "y" output : {TENSOR}
  tile.core 0 {{
"""


@dataclass
class Writer:
    """Writes one group; knows which slots are written and held, so that programs are legal."""

    draw: st.DrawFn
    depths: list[int]
    lines: list[str] = field(default_factory=list)
    names: int = 0
    indices: list[str] = field(default_factory=lambda: ["%zero"])

    def name(self, prefix: str) -> str:
        """A fresh value name."""
        self.names += 1
        return f"%{prefix}{self.names}"

    def add(self, text: str) -> None:
        """Append a line."""
        self.lines.append(text)

    def block(self, depth: int) -> None:
        """Some steps, each of which leaves the rings as it found them, and loops of steps."""
        for _ in range(self.draw(st.integers(1, 3))):
            if depth < 3 and self.draw(st.booleans()):
                self.loop(depth)
            else:
                self.step()

    def loop(self, depth: int) -> None:
        """A loop around a block."""
        index = self.name("i")
        self.add(f"tile.for {index} = 0 to {self.draw(st.integers(1, 4))} step 1 {{")
        self.indices.append(index)
        self.block(depth + 1)
        self.indices.pop()
        self.add("}")

    def step(self) -> None:
        """Fill a slot, or compute one from two others, or move on a ring; then maybe store it."""
        ring = self.draw(st.integers(0, len(self.depths) - 1))
        kind = self.draw(st.sampled_from(["load", "add", "add", "copy"]))
        slot = self.acquire(ring)
        if kind == "load":
            self.load(slot)
        else:
            others = [r for r in range(len(self.depths)) if r != ring]
            sources = [self.held(self.draw(st.sampled_from(others))) for _ in range(2)]
            self.add(
                f"tile.vexec {KERNEL} ins({sources[0]}, {sources[1]}) outs({slot})"
                f" views [{VIEW}, {VIEW}, {VIEW}]"
            )
        if kind == "copy":
            self.store(self.held(ring))

    def acquire(self, ring: int) -> str:
        """Release the oldest slot of the ring, acquire the next."""
        slot, kind = self.name("s"), f"!tile.buffer<spm {WIDTH} x {self.depths[ring]}>"
        self.add(f"tile.release %b{ring} : {kind}")
        self.add(f"{slot} = tile.acquire %b{ring} : {kind}")
        return slot

    def held(self, ring: int) -> str:
        """Any slot that the ring holds: rings are full between steps."""
        slot, depth = self.name("h"), self.depths[ring]
        age = self.draw(st.integers(0, depth - 1))
        self.add(f"{slot} = tile.held %b{ring}[{age}] : !tile.buffer<spm {WIDTH} x {depth}>")
        return slot

    def load(self, slot: str) -> None:
        """Load a row of x or m on one of the two queues."""
        tensor, queue = self.draw(st.sampled_from(["x", "m"])), self.draw(st.integers(0, 1))
        index = self.draw(st.sampled_from(self.indices))
        self.add(
            f"tile.load {slot}, %{tensor}a dynamic({index}) {MAP} at <[0 ?1, 0]>"
            f" on ld{queue} : {TENSOR}"
        )

    def shares(self) -> None:
        """A ring of its own whose slots two loads fill, each its bytes or some of the other's."""
        depth, name = self.draw(st.integers(1, 3)), self.name("c")
        kind, index = f"!tile.buffer<spm {WIDTH} x {depth}>", self.name("i")
        self.add(f'{name} = tile.buffer "shared" : {kind}')
        self.add(f"tile.for {index} = 0 to {self.draw(st.integers(1, 6))} step 1 {{")
        slot = self.name("s")
        self.add(f"{slot} = tile.acquire {name} : {kind}")
        end = self.draw(st.integers(1, WIDTH - 1))
        begin = self.draw(st.one_of(st.just(end), st.integers(0, end)))
        parts = self.draw(st.permutations([(0, end), (begin, WIDTH)]))
        self.indices.append(index)
        for low, high in parts:
            self.load_part(slot, low, high)
        self.store(slot)
        self.indices.pop()
        self.lines += [f"tile.release {name} : {kind}", "}"]

    def load_part(self, slot: str, low: int, high: int) -> None:
        """Load some columns of a row of x or m to where they are in the row."""
        tensor, queue = self.draw(st.sampled_from(["x", "m"])), self.draw(st.integers(0, 1))
        index = self.draw(st.sampled_from(self.indices))
        self.add(
            f"tile.load {slot}, %{tensor}a dynamic({index}) map <i8 0 extents [8, 16] strides"
            f" [16, 1] box [1, {high - low}] spm [16, 1]> at <[0 ?1, {low}] offset {low}>"
            f" on ld{queue} : {TENSOR}"
        )

    def store(self, slot: str) -> None:
        """Store a row of m or y."""
        tensor, index = self.draw(st.sampled_from("my")), self.draw(st.sampled_from(self.indices))
        self.add(f"tile.store {slot}, %{tensor}a dynamic({index}) {MAP} at <[1 ?1, 0]> : {TENSOR}")


@st.composite
def tile_programs(draw: st.DrawFn) -> str:
    """The text of a program of one to three groups on one core."""
    groups = [_group(draw, number) for number in range(draw(st.integers(1, 3)))]
    return HEADER + "\n".join(groups) + "\n}\n}\n"


def _group(draw: st.DrawFn, number: int) -> str:
    writer = Writer(draw, draw(st.lists(st.integers(1, 4), min_size=2, max_size=3)))
    kinds = [f"!tile.buffer<spm {WIDTH} x {depth}>" for depth in writer.depths]
    writer.add(
        f'tile.group "g{number}" (%xa = %x : {TENSOR}, %ma = %m : {TENSOR}, %ya = %y : {TENSOR}) {{'
    )
    writer.add("%zero = tile.affine [], 0 ()")
    for ring, kind in enumerate(kinds):
        writer.add(f'%b{ring} = tile.buffer "b{ring}" : {kind}')
    writer.add("tile.for %f = 0 to 8 step 1 {")  # m is written before anything reads it
    writer.add(f"%e = tile.acquire %b0 : {kinds[0]}")
    writer.add(f"tile.load %e, %xa dynamic(%f) {MAP} at <[0 ?1, 0]> on ld0 : {TENSOR}")
    writer.add(f"tile.store %e, %ma dynamic(%f) {MAP} at <[0 ?1, 0]> : {TENSOR}")
    writer.lines += [f"tile.release %b0 : {kinds[0]}", "}"]
    for ring, kind in enumerate(kinds):
        for _ in range(writer.depths[ring]):
            slot = writer.name("p")
            writer.add(f"{slot} = tile.acquire %b{ring} : {kind}")
            writer.load(slot)
    writer.block(0)
    if draw(st.booleans()):
        writer.shares()
    for ring, kind in enumerate(kinds):
        writer.lines += [f"tile.release %b{ring} : {kind}"] * writer.depths[ring]
    return "\n".join([*writer.lines, "}"])
