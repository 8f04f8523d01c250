"""What evaluation takes from the prepared folder: both domains, with the features of their real pictures."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cyclegan.data import layout
from cyclegan.data.store import PixelSet, Store
from cyclegan.errors import UserError
from cyclegan.evaluation.cache import cached
from cyclegan.evaluation.features import Resizing
from cyclegan.evaluation.protocol import Domain
from cyclegan.evaluation.sets import Features, SetScorer
from cyclegan.levels import from_pixels, to_tensor


class RealPictures:
    """The real pictures of a prepared folder, and their features, which `cache` keeps for the next evaluation."""

    def __init__(self, store: Store, sets: SetScorer, batch_size: int, cache: Path) -> None:
        self.store, self.sets, self.batch_size, self.cache = store, sets, batch_size, cache

    def domain(self, name: layout.Domain, translated: int, *, against_all: bool) -> Domain:
        """One domain.

        Args:
            name: which.
            translated: how many pictures are translated to it: so many training pictures are the floor, or all there are.
            against_all: whether features of all its pictures are wanted.

        Raises:
            UserError: they are wanted, and training pictures were not kept as test pictures are.
        """
        test, reference = self.store.open("test", name), self.store.reference(name)
        mean_levels = self.store.summary["sets"][f"train{name}"]["mean"]
        domain = Domain(
            files=test.files,
            real=from_pixels(test.stack(0, len(test))),
            features=self.features(test, range(len(test))),
            mean_colour=torch.tensor(mean_levels).reshape(1, -1, 1, 1) / 127.5 - 1,
        )
        if reference is None:
            if against_all:
                raise UserError(
                    "evaluate.against_all is true in params.yaml, but training pictures were not kept as test pictures "
                    "are scored; set preprocess.reference_set to true, or evaluate.against_all to false"
                )
            return domain
        chosen = np.linspace(0, len(reference) - 1, min(translated, len(reference))).round().astype(int).tolist()
        domain.floor = to_tensor(torch.cat(list(self._batches(reference, chosen))))
        domain.floor_features = self.features(reference, chosen)
        if against_all:
            sets = [test, reference, *([self.store.open("val", name)] if self.store.has("val", name) else [])]
            parts = [self.features(pictures, range(len(pictures))) for pictures in sets]
            domain.all_features = {how: torch.cat([part[how] for part in parts]) for how in self.sets.resizings}
        return domain

    def features(self, pictures: PixelSet, chosen: Sequence[int]) -> Features:
        """Features of some of a set's pictures, all of one size."""
        network = self.sets.network
        pixels = hashlib.sha256()
        for batch in self._batches(pictures, chosen):
            pixels.update(f"{tuple(batch.shape)}".encode())
            pixels.update(batch.numpy().tobytes())
        what = {"pixels": pixels.hexdigest(), "network": f"{network.name} {network.digest}", "device": network.device.type}
        features: dict[Resizing, Tensor] = {}
        for how in self.sets.resizings:
            compute = partial(self._compute, pictures, chosen, how)
            features[how] = cached(self.cache, {**what, "resizing": how}, compute)
        return features

    def _compute(self, pictures: PixelSet, chosen: Sequence[int], how: Resizing) -> Tensor:
        return self.sets.network.features(self._batches(pictures, chosen), how)

    def _batches(self, pictures: PixelSet, chosen: Sequence[int]) -> Iterator[Tensor]:
        """uint8 [n, H, W, C]; the number, and so how features are rounded, is part of the shapes."""
        for start in range(0, len(chosen), self.batch_size):
            yield torch.from_numpy(np.stack([pictures[index] for index in chosen[start : start + self.batch_size]]))
