"""Scores of sets of pictures: the protocols by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from cyclegan.evaluation import metrics
from cyclegan.evaluation.estimate import Estimate
from cyclegan.evaluation.features import FeatureNetwork, Resizing

Features = Mapping[Resizing, Tensor]  # of one set of pictures, [N, D] for each way of resizing that is asked for
Against = Literal["test", "all", "val"]


class Distance(Protocol):
    """The arithmetic of a protocol."""

    def __call__(self, real: Tensor, fake: Tensor, *, pairs: bool) -> Estimate:
        """The distance of features [N, D] and [M, D]; `pairs`: the i-th of both show the same, N >= M."""


PROTOCOLS: dict[str, tuple[str, Resizing, Distance]] = {
    "fid_legacy": ("fid_legacy", "legacy", metrics.fid),
    "fid_clean": ("fid_clean", "clean", metrics.fid),
    "kid": ("kid_x1000", "clean", metrics.kid_x1000),
}
"""By their names in params.yaml: the score's name, the resizing, the arithmetic."""


@dataclass(frozen=True)
class SetScorer:
    """Compares sets of pictures by the features that a network has of them.

    Attributes:
        protocols: names in PROTOCOLS.
        network: whose features.
    """

    protocols: Sequence[str]
    network: FeatureNetwork

    @property
    def resizings(self) -> list[Resizing]:
        """The ways of resizing that the protocols need."""
        return sorted({PROTOCOLS[name][1] for name in self.protocols})

    def features(self, batches: Callable[[], Iterable[Tensor]]) -> Features:
        """Features of the pictures that `batches` gives anew at each call, uint8 [n, H, W, C]."""
        return {how: self.network.features(batches(), how) for how in self.resizings}

    def scores(self, real: Features, fake: Features, against: Against, *, pairs: bool = False) -> dict[str, Estimate]:
        """Each protocol's score, by its full name; `pairs`: the first real pictures are the fakes' true counterparts."""
        network = f"_{self.network.name}" if self.network.name else ""
        return {
            f"{name}{network}_{against}": arithmetic(real[how], fake[how], pairs=pairs)
            for name, how, arithmetic in (PROTOCOLS[protocol] for protocol in self.protocols)
        }
