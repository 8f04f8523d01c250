"""Preprocessing and evaluation: pictures a second, and how many cores they keep busy."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
import torch
from common import Options, Row, Usage, run, usage
from PIL import Image
from subject import cases, generator
from workspace import workspace

from cyclegan import randomness
from cyclegan.config import Config
from cyclegan.data.layout import DOMAINS
from cyclegan.data.store import Store
from cyclegan.evaluation import protocol
from cyclegan.evaluation.features import inception_2015
from cyclegan.evaluation.sets import SetScorer
from cyclegan.pipeline import paths
from cyclegan.pipeline.domains import RealPictures
from cyclegan.pipeline.preprocess import preprocess
from cyclegan.sources.provenance import Provenance

SIDE = 256  # px of the raw JPEGs
COARSE = 24  # px: they are this many random colours each way, enlarged, and some noise: neither flat nor all noise
GRAIN = 12  # levels of that noise
SHARES = {"trainA": 3, "trainB": 3, "testA": 1, "testB": 1}


def measure(options: Options) -> list[Row]:
    """Preprocessing with one worker and with all, whose results must be equal, and each part of evaluation."""
    config = next(iter(cases(options).values()))
    runtime = {workers: config.runtime.model_copy(update={"workers": workers}) for workers in (1, 0)}
    with workspace(config), contextlib.redirect_stdout(io.StringIO()):
        pictures = _draw(8 if options.tiny else 400)
        digests, rows = set(), []
        for workers, own in runtime.items():
            with usage() as used:
                preprocess(config.model_copy(update={"runtime": own}), lambda: None)
            digests.add(Store(paths.PREPARED).digest)
            name = "preprocess, 1 worker" if workers == 1 else "preprocess, a worker a core"
            rows.append(_row(name, pictures, used))
        assert len(digests) == 1, "the prepared pictures depend on the number of workers"
        return [*rows, *_evaluation(config, options)]


def _row(what: str, pictures: int, used: Usage) -> Row:
    rate, cores = pictures / used.seconds, {"cores_busy": used.cores, "cores_at_most": used.most_cores}
    return {"what": what, "pictures": pictures, "seconds": used.seconds, "images_per_second": rate, **cores}


def _draw(count: int) -> int:
    """Raw JPEGs of all sets; how many."""
    drawn = 0
    for name, share in SHARES.items():
        (paths.RAW / name).mkdir(parents=True)
        for index in range(count * share // sum(SHARES.values())):
            rng = randomness.generator(0, f"benchmark/{name}", index)
            coarse = Image.fromarray(rng.integers(0, 256, (COARSE, COARSE, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int64)
            pixels = (smooth + rng.integers(-GRAIN, GRAIN + 1, smooth.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(paths.RAW / name / f"{index:05d}.jpg", quality=90)
            drawn += 1
    Provenance("folder", "random", "random", "none", "", paired_test=True).save(paths.RAW)
    return drawn


def _evaluation(config: Config, options: Options) -> Iterator[Row]:
    """One direction: features of both domains, translation, scores."""
    store, batch = Store(paths.PREPARED), config.evaluate.batch_size
    sets = SetScorer(config.evaluate.protocols, inception_2015(options.device))
    pictures = RealPictures(store, sets, batch, paths.FEATURES)
    with usage() as used:
        A, B = (pictures.domain(name, len(store.open("test", "A")), against_all=False) for name in DOMAINS)
    yield _row("evaluate: features of both domains, and as many of training", 4 * len(A.real), used)
    network = generator(config, options.device)
    with usage() as used:
        result = protocol.translate(network, network, A.real, options.device, batch)
    yield _row("evaluate: there and back", len(A.real), used)
    with usage() as used, torch.no_grad():
        settings = protocol.Settings(sets, batch, config.evaluate.bootstrap_samples, config.seed, paired=True)
        protocol.score(A, B, {"model": result}, settings)
    yield _row("evaluate: scores of a direction", len(A.real), used)


if __name__ == "__main__":
    run(measure)
