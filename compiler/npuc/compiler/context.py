"""The context that every pass receives: target, constants, remarks, options, schedule."""

from dataclasses import dataclass, field

from npuc.compiler.consts import ConstStore
from npuc.compiler.options import CompileOptions
from npuc.compiler.remarks import Remarks
from npuc.compiler.schedule.policies import Policy
from npuc.compiler.xdsl_api import Context
from npuc.isa.target import Target, load_target, target_text


@dataclass
class NpuContext(Context):
    """xDSL's context with what npuc's passes need; passes get it as ``ctx``.

    ``target_toml`` is the text that ``target`` was read from and goes into the binary;
    ``schedule`` holds the decisions of the schedule stage, or those replayed from a file;
    ``policy`` says how what it leaves open is decided.
    """

    target: Target = field(kw_only=True)
    target_toml: str = field(kw_only=True)
    consts: ConstStore = field(default_factory=ConstStore, kw_only=True)
    remarks: Remarks = field(default_factory=Remarks, kw_only=True)
    options: CompileOptions = field(default_factory=CompileOptions, kw_only=True)
    schedule: object | None = field(default=None, kw_only=True)
    policy: Policy = field(default_factory=Policy, kw_only=True)

    def clone(self) -> "NpuContext":
        """A copy that registers dialects apart and shares everything else."""
        plain = super().clone()
        return NpuContext(
            plain.allow_unregistered,
            plain._loaded_dialects,
            plain._loaded_ops,
            plain._loaded_attrs,
            plain._loaded_types,
            plain._registered_dialects,
            target=self.target,
            target_toml=self.target_toml,
            consts=self.consts,
            remarks=self.remarks,
            options=self.options,
            schedule=self.schedule,
            policy=self.policy,
        )


def make_context(options: CompileOptions) -> NpuContext:
    """A context for ``options``, without dialects. Raises: TargetError for a broken target."""
    return NpuContext(
        target=load_target(options.target),
        target_toml=target_text(options.target),
        options=options,
    )


def npu_context(ctx: Context) -> NpuContext:
    """``ctx`` as ours: xDSL hands passes its base class."""
    assert isinstance(ctx, NpuContext), "npuc's passes run with npuc's context"
    return ctx
