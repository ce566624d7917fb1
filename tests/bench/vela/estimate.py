"""Vela as a command: its configurations that equal machines of ours, and what it says."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.bench.vela.network import Network

SYMMETRIC_INT8 = (-127, 128)


@dataclass(frozen=True)
class Configuration:
    """One of Vela's machines, and ours of the same MACs, SRAM bytes and DRAM bandwidth.

    All names are those of ``Arm/vela.ini`` in Vela's package: 1 GHz, 12 GB/s of DRAM with reads of
    500 cycles, 384 KiB of SRAM for the NPU alone.
    """

    target: str
    accelerator: str
    system: str
    memory: str = "Dedicated_Sram_384KB"


CONFIGURATIONS = (
    Configuration("ref-2048", "ethos-u85-2048", "Ethos_U85_SYS_DRAM_Mid"),
    Configuration("ref-512", "ethos-u65-512", "Ethos_U65_Client_Server"),
    Configuration("ref-512", "ethos-u85-512", "Ethos_U85_SYS_DRAM_Mid"),
)


@dataclass(frozen=True)
class Estimate:
    """Cycles and DRAM bytes of one inference."""

    cycles: int
    dram_bytes: int


def command(configuration: Configuration, network: Path, folder: Path) -> list[str]:
    """The command line; Vela's default core and options otherwise."""
    return [
        *executable(),
        str(network),
        "--config=Arm/vela.ini",
        f"--accelerator-config={configuration.accelerator}",
        f"--system-config={configuration.system}",
        f"--memory-mode={configuration.memory}",
        f"--output-dir={folder}",
    ]


def executable() -> list[str]:
    """Vela of this environment."""
    return [sys.executable, "-c", "from ethosu.vela.vela import main; main()"]


def summary(folder: Path) -> Estimate:
    """What the run left behind in ``folder``."""
    (path,) = folder.glob("*_summary_*.csv")
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return Estimate(int(float(row["cycles_total"])), int(float(row["dram_total_bytes"])))


def with_incompressible_weights(network: Network) -> Network:
    """The same network with weights of uniform random integers, which Vela cannot make smaller."""
    generator = np.random.default_rng(0)
    tensors = [
        replace(tensor, data=generator.integers(*SYMMETRIC_INT8, tensor.shape).astype(np.int8))
        if tensor.data is not None and tensor.dtype == "int8"
        else tensor
        for tensor in network.tensors
    ]
    return replace(network, tensors=tensors)
