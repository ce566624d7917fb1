"""The page of numerics: conversions, orders, algorithms and their errors."""

import inspect
from collections.abc import Callable

import numpy as np

from npuc.isa.manual.markdown import (
    code,
    filled,
    markdown,
    module_prose,
    page,
    source,
    table,
)
from npuc.isa.numerics import (
    compare,
    convert,
    elementary,
    integer,
    lookup,
    ordering,
    partial,
    random,
    reduction,
    requantize,
    trigonometric,
)
from npuc.isa.numerics.accuracy import BOUNDS_ULP, measured
from npuc.isa.numerics.arrays import (
    QUIET_NAN_BF16_BITS,
    QUIET_NAN_F16_BITS,
    QUIET_NAN_F32_BITS,
)

_FUNCTIONS: tuple[tuple[str, tuple[Callable[..., object], ...]], ...] = (
    ("exp2", (elementary.f32_exp2, elementary.power_of_two)),
    ("log2", (elementary.f32_log2, elementary.split_exponent, elementary.log2_of_irregular)),
    ("tanh", (elementary.f32_tanh, elementary.below)),
    ("erf", (elementary.f32_erf,)),
    (
        "sin and cos",
        (
            trigonometric.f32_sin,
            trigonometric.f32_cos,
            trigonometric.reduce_argument,
            trigonometric.quarter_turns,
            trigonometric.window,
            trigonometric.to_radians,
            trigonometric.sin_of_quadrant,
            trigonometric.sin_near_zero,
            trigonometric.cos_near_zero,
        ),
    ),
)


def numerics_page() -> str:
    """The page."""
    text = filled(
        "numerics",
        nans=f"`{QUIET_NAN_F32_BITS:#x}` in f32, `{QUIET_NAN_BF16_BITS:#x}` in bf16, "
        f"`{QUIET_NAN_F16_BITS:#x}` in f16",
        convert=module_prose(convert),
        convert_source=source(
            convert.f32_to_i32, convert.f32_to_bf16_bits, convert.f32_to_f16_bits
        ),
        integer_source=source(
            integer.i32_div, integer.fixed_point_multiply_shift, integer.round_shift
        ),
        roundings=", ".join(f"{i} `{mode}`" for i, mode in enumerate(lookup.ROUNDINGS)),
        requantize_source=source(requantize.requantize),
        compare=module_prose(compare),
        compare_source=source(compare.order_key, compare.or_nan, compare.f32_min, compare.f32_max),
        reduction=module_prose(reduction),
        reduction_source=source(
            reduction.PartialSum, reduction.reduce_argmin, reduction.first_true
        ),
        partial=module_prose(partial),
        partial_source=source(partial.fold_part, partial.finish_part),
        ordering=module_prose(ordering),
        ordering_source=source(ordering.scan, ordering.sorted_order),
        random_source=_philox(),
        polynomial_source=source(elementary.polynomial),
        constants=_constants(),
        functions="\n\n".join(_function(*entry) for entry in _FUNCTIONS),
        accuracy=_accuracy(),
    )
    return page("Numerics", [text])


def _function(title: str, functions: tuple[Callable[..., object], ...]) -> str:
    prose = markdown(inspect.getdoc(functions[0]) or "")
    return f"### {title}\n\n{prose}\n\n{source(*functions)}"


def _constants() -> str:
    """Every float constant of both modules, and the bits of 2/pi."""
    lines = []
    for module in (elementary, trigonometric):
        for name, value in vars(module).items():
            numbers = value if isinstance(value, tuple) else (value,)
            if name.isupper() and all(isinstance(x, float | np.floating) for x in numbers):
                shown = ", ".join(f"{x:.17g} ({_bits(x):#010x})" for x in numbers)
                lines.append(f"{name} = {shown}")
            elif name.isupper() and isinstance(value, np.integer):
                lines.append(f"{name} = {int(value):#010x}")
    lines.append(f"TWO_OVER_PI = {trigonometric.TWO_OVER_PI:#x}  # 200 fraction bits of 2/pi")
    lines.append(f"FRACTION_BITS = {trigonometric.FRACTION_BITS}")
    lines.append(f"GUARD_BITS = {trigonometric.GUARD_BITS}")
    first, last = trigonometric.FIRST_EXPONENT, trigonometric.LAST_EXPONENT
    lines.append(f"WINDOWS_E3[i] = window({first} + i), up to window({last})")
    return code("\n".join(lines)).replace("```python", "```")


def _bits(value: float | np.float32) -> int:
    return int(np.float32(value).view(np.uint32))


def _philox() -> str:
    """Its constants, then the function."""
    multipliers, steps = (
        ", ".join(f"{x:#010x}" for x in values) for values in (random.MULTIPLIERS, random.KEY_STEPS)
    )
    prose = f"{random.ROUNDS} rounds; multipliers {multipliers}; steps of the key {steps}."
    return f"{prose}\n\n{source(random.philox4x32)}"


def _accuracy() -> str:
    rows = []
    for name, found in measured().items():
        bound = BOUNDS_ULP[name]
        subnormal = f"{found.worst_subnormal_ulp:.4f}" if found.worst_subnormal_ulp else ""
        breaks = "" if found.order_breaks is None else f"{found.order_breaks:,}"
        rows.append(
            (f"`{name}`", f"{bound:g}", f"{found.worst_ulp:.4f}", f"`{found.worst_bits:#010x}`",
             subnormal, f"{found.not_nearest / found.arguments:.3%}", breaks)
        )  # fmt: skip
    head = ("micro-op", "bound", "largest", "at", "subnormal results", "not nearest", "falls back")
    return table(head, rows)
