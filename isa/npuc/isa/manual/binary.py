"""The page of the program file, to the byte."""

from npuc.isa.container import CONTENTS, VERSION, schema_hash, schema_text
from npuc.isa.container.elf import DIGEST_BYTES, EM_NPUC, MAX_SECTIONS
from npuc.isa.container.files import CONST_ALIGN, NOTE_TYPE
from npuc.isa.container.schema import HASH_BYTES
from npuc.isa.instructions import NO_INDEX, Kind
from npuc.isa.manual.definition import SCHEMA
from npuc.isa.manual.markdown import filled, page, table


def binary_page() -> str:
    """The page."""
    rows = [(f"`{name}`", what) for name, what in CONTENTS.items()]
    text = filled(
        "binary",
        machine=f"{EM_NPUC:#x}",
        version=f"{VERSION[0]}.{VERSION[1]}",
        max_sections=str(MAX_SECTIONS),
        digest=str(DIGEST_BYTES),
        sections=table(("section", "holds"), rows),
        const_align=str(CONST_ALIGN),
        note_type=str(NOTE_TYPE),
        hash=str(HASH_BYTES),
        lines=str(len(schema_text().splitlines())),
        fingerprint=schema_hash().hex(),
        most_rows=str(NO_INDEX),
    )
    return page("Program file", [text])


def conformance_page() -> str:
    """The page of the conformance vectors."""
    return page("Conformance", [filled("conformance")])


def json_page() -> str:
    """The page of ``npuc isa --json``."""
    schema = f"{SCHEMA[0]}.{SCHEMA[1]}"
    kinds = ", ".join(f"`{kind.name}`" for kind in Kind)
    return page("The definition as data", [filled("json", schema=schema, kinds=kinds)])
