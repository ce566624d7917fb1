"""Index maps as linear forms: which element of an operand a point of an iteration space names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from npuc.compiler.xdsl_api import AffineExpr, AffineMap


@dataclass(frozen=True)
class IndexForm:
    """constant + sum(coefficients[d] * index of dimension d): the index along one operand axis."""

    coefficients: tuple[int, ...]
    constant: int = 0

    def bounds(self, extents: Sequence[int]) -> tuple[int, int]:
        """Lowest and highest value over the space; all extents are at least 1."""
        spans = [c * (n - 1) for c, n in zip(self.coefficients, extents, strict=True)]
        low = self.constant + sum(span for span in spans if span < 0)
        high = self.constant + sum(span for span in spans if span > 0)
        return low, high

    @property
    def dims(self) -> frozenset[int]:
        """Dimensions that the form depends on."""
        return frozenset(d for d, c in enumerate(self.coefficients) if c)

    @property
    def single_dim(self) -> int | None:
        """The dimension d when the form is just the index of d, else None."""
        dims = self.dims
        if self.constant or len(dims) != 1:
            return None
        (dim,) = dims
        return dim if self.coefficients[dim] == 1 else None


def dim_form(rank: int, dim: int, step: int = 1, constant: int = 0) -> IndexForm:
    """The form step * index of ``dim`` + constant over a space of ``rank`` dimensions."""
    return IndexForm(tuple(step if d == dim else 0 for d in range(rank)), constant)


def constant_form(rank: int, constant: int = 0) -> IndexForm:
    """The form that is ``constant`` everywhere."""
    return IndexForm((0,) * rank, constant)


@lru_cache(maxsize=4096)
def forms_of(index_map: AffineMap) -> tuple[IndexForm, ...]:
    """One form for each result of a pure affine map without division.

    Raises: ValueError for maps that are not linear.
    """
    rank = index_map.num_dims
    zero = [0] * rank
    points = [[int(d == e) for e in range(rank)] for d in range(rank)]
    base = index_map.eval(zero, [])
    steps = [index_map.eval(point, []) for point in points]
    far = index_map.eval([7 + 3 * d for d in range(rank)], [])
    forms = []
    for axis, constant in enumerate(base):
        form = IndexForm(tuple(step[axis] - constant for step in steps), constant)
        expected = constant + sum(c * (7 + 3 * d) for d, c in enumerate(form.coefficients))
        if far[axis] != expected or not _has_no_division(index_map.results[axis]):
            raise ValueError(f"{index_map} is not linear")
        forms.append(form)
    return tuple(forms)


def map_of(rank: int, forms: Sequence[IndexForm]) -> AffineMap:
    """The affine map of ``forms`` over a space of ``rank`` dimensions."""
    return AffineMap(rank, 0, tuple(_expression(form) for form in forms))


def _expression(form: IndexForm) -> AffineExpr:
    terms = [
        AffineExpr.dimension(d) * c if c != 1 else AffineExpr.dimension(d)
        for d, c in enumerate(form.coefficients)
        if c
    ]
    if form.constant or not terms:
        terms.append(AffineExpr.constant(form.constant))
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _has_no_division(expression: AffineExpr) -> bool:
    return not any(word in str(expression) for word in ("div", "mod"))
