"""Public network architectures with seeded random weights, made on demand: ``build(name)``.

The graphs and shapes are those of the named networks, the weights are not: they serve to test and
to measure, not to classify. ``python -m models.zoo NAME --out FILE`` writes one.
"""

from models.zoo.batches import with_batch
from models.zoo.catalogue import NAMES, build
from models.zoo.quantise import quantised

__all__ = ["NAMES", "build", "quantised", "with_batch"]
