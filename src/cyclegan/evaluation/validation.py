"""The judge of validation: what generators make of pictures held out of training, scored as the evaluation scores.

Scores of sets are taken from all validation pictures at once, and nothing is drawn at random: the same pictures give the
same score whenever it is taken.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.evaluation import catalogue, metrics
from cyclegan.evaluation.features import Resizing, inception_2015
from cyclegan.levels import to_tensor, to_uint8

BATCH = 8  # pictures that are scored at once
FEWEST = 2  # pictures of each domain that a score of sets needs
# how pictures are resized for a score of sets
OF_SETS: dict[str, Resizing] = {"kid_x1000": "clean", "fid_clean": "clean", "fid_legacy": "legacy"}
OF_PICTURES: dict[str, Callable[[Tensor, Tensor], list[float]]] = {
    "l1": metrics.l1,
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
}

Estimate = tuple[float | None, float | None]  # a score and its standard error, None where undefined


class Judge:
    """Scores one direction after another by one metric, against the validation pictures.

    Args:
        wanted: `train.validate_metric`.
        real_A, real_B: the validation pictures, float32 [N, C, H, W] in [-1, 1].
        digest: tells them from others.
        paired: whether picture i of A and picture i of B are a true pair.
        device: where features are computed.

    Attributes:
        metric: the score's name in the catalogue.
        better: whether a lower or a higher one is.
        wants_cycle: whether it looks at reconstructions.
        about: metric and pictures; equal where scores can be compared.

    Raises:
        UserError: the metric cannot be taken of these pictures.
    """

    def __init__(
        self, wanted: str, real_A: Tensor, real_B: Tensor, digest: str, *, paired: bool, device: torch.device
    ) -> None:
        self.kind = ("pair_l1" if paired else "kid_x1000") if wanted == "auto" else wanted
        self.metric = f"{self.kind}_val" if self.kind in OF_SETS else self.kind
        self.about = f"{self.metric} on {digest}"
        better = catalogue.metric(self.metric).better
        assert better is not None
        self.better = better
        self.wants_cycle = self.kind.startswith("cycle")
        if self.kind.startswith("pair") and not paired:
            raise UserError(
                f"train.validate_metric is {wanted} in params.yaml, but the validation pictures are no true pairs; set it "
                f"to auto, kid_x1000 or cycle_l1"
            )
        source = {"A_to_B": real_A.cpu(), "B_to_A": real_B.cpu()}
        target = {"A_to_B": source["B_to_A"], "B_to_A": source["A_to_B"]}
        self.references = source if self.wants_cycle else target
        self.pairs = paired
        self.features: dict[str, Tensor] = {}
        if self.kind in OF_SETS:
            fewest = min(len(pictures) for pictures in source.values())
            if fewest < FEWEST:
                raise UserError(
                    f"train.validate_metric is {wanted} in params.yaml, and {self.kind} needs {FEWEST} validation pictures "
                    f"of each domain, but one has {fewest}; raise dataset.val_fraction or dataset.n_val, or set "
                    f"train.validate_every_epochs to 0"
                )
            self.network = inception_2015(device)
            self.features = {direction: self._features(pictures) for direction, pictures in target.items()}

    def score(self, direction: str, fake: Tensor, cycle: Tensor | None) -> Estimate:
        """The score of a direction, "A_to_B" or "B_to_A", and its standard error.

        Args:
            direction: of the translations.
            fake: those of all validation pictures, float32 [N, C, H, W] in [-1, 1], on the CPU; rounded to 8 bits first.
            cycle: their reconstructions, the same and not rounded, if `wants_cycle`.
        """
        looked_at = cycle if self.wants_cycle else fake
        assert looked_at is not None
        if not bool(torch.isfinite(looked_at).all()):
            return None, None
        if self.kind in OF_SETS:
            return self._distance(self.features[direction], self._features(fake))
        output = looked_at if self.wants_cycle else to_tensor(to_uint8(fake))
        pairs = zip(torch.split(output, BATCH), torch.split(self.references[direction], BATCH), strict=True)
        measure = OF_PICTURES[self.kind.partition("_")[2]]
        values = [value for one, two in pairs for value in measure(one, two)]
        return _finite(math.fsum(values) / len(values), _error(values))

    def _features(self, pictures: Tensor) -> Tensor:
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined] # else first passes may round otherwise
            return self.network.features(torch.split(to_uint8(pictures.cpu()), BATCH), OF_SETS[self.kind])

    def _distance(self, real: Tensor, fake: Tensor) -> Estimate:
        estimate = (metrics.kid_x1000 if self.kind == "kid_x1000" else metrics.fid)(real, fake, pairs=self.pairs)
        return _finite(estimate.value, estimate.se)


def _error(values: list[float]) -> float:
    """The standard error of the mean of independent values."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return math.nan
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def _finite(value: float, se: float = math.nan) -> Estimate:
    return (value if math.isfinite(value) else None), (se if math.isfinite(se) else None)
