"""Judges every raw picture of a data set, in one pass, and says all that is wrong with it in one go; writes nothing."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cyclegan import images
from cyclegan.config import Config, PreprocessConfig
from cyclegan.data import geometry, layout, leaks
from cyclegan.data.checks import Bad, Good, judge
from cyclegan.data.layout import DOMAINS, RAW_SETS, Division, Picture, Split
from cyclegan.data.leaks import Fingerprint, Twin
from cyclegan.data.problems import Kind, Problem
from cyclegan.errors import UserError

AHEAD = 4  # pictures a thread that are decoded before they are asked for
NARROW = 3.0  # a picture so many times longer than wide, or the other way round, is extreme


@dataclass
class SetReport:
    """One set as it will be used: pictures found, those that can be used, their original sizes, and their packed bytes."""

    pictures: int = 0
    usable: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    packed_bytes: int = 0


@dataclass(frozen=True)
class Report:
    """What there is to say about a data set.

    Attributes:
        sets: by name (trainA, valA, ...), those of domain A first.
        problems: every problem, the bad pictures first, then the leaks, then the notes.
        failures: what the stage preprocess cannot go on with; nothing if it can.
    """

    sets: dict[str, SetReport]
    problems: tuple[Problem, ...]
    failures: tuple[str, ...]

    @property
    def bad(self) -> list[Problem]:
        """The pictures that cannot be used."""
        return [problem for problem in self.problems if problem.problem == "bad"]


def inspect(
    raw: Path,
    config: Config,
    *,
    paired_test: bool,
    paired_val: bool = False,
    use: Callable[[Good], None] | None = None,
) -> Report:
    """Judge every picture below `raw` that the configuration takes, and compare them all.

    Args:
        raw: holds trainA, trainB and, where they exist, testA, testB, valA and valB.
        config: the sections dataset and preprocess say what counts as a mistake.
        paired_test, paired_val: files of equal name in testA and testB, or in valA and valB, are true pairs.
        use: is given each usable picture, scaled as its set wants it, in the order in which they are to be packed.
    """
    dataset = config.dataset
    division = Division(config.preprocess.direction, dataset.limit, dataset.test_fraction, dataset.val_fraction)
    skip, may_leak = dataset.on_bad_image == "skip", dataset.on_leak == "report"
    paired: dict[Split, bool] = {"val": paired_val, "test": paired_test}
    failures: list[str] = []
    bad: list[Bad] = []
    notes: list[Problem] = []
    known: list[tuple[Picture, Fingerprint]] = []
    pictures: list[Picture] = []
    try:
        notes += _left_out(raw)
        pictures = layout.find(
            raw,
            division,
            config.seed,
            usable=lambda picture: not skip or isinstance(_prepare(picture, config), Good),
        )
        for split in (split for split, pairs in paired.items() if pairs):
            layout.check_pairs(pictures, split)
    except UserError as error:
        failures.append(str(error))
    splits = [split for split in leaks.ORDER if split != "val" or any(picture.split == "val" for picture in pictures)]
    sets = {f"{split}{domain}": SetReport() for domain in DOMAINS for split in splits}
    for verdict in _verdicts(pictures, config, {split for split, pairs in paired.items() if pairs}):
        entry = sets[f"{verdict.picture.split}{verdict.picture.domain}"]
        entry.pictures += 1
        if isinstance(verdict, Bad):
            bad.append(verdict)
            continue
        entry.usable += 1
        entry.sizes[verdict.original.width, verdict.original.height] += 1
        entry.packed_bytes += verdict.pixels.size + (0 if verdict.square is None else verdict.square.size)
        known.append((verdict.picture, verdict.fingerprint))
        notes += [_problem("note", verdict.picture, raw, detail) for detail in _remarks(verdict, config)]
        if use:
            use(verdict)
    twins = leaks.find(known, paired_test=paired_test, paired_val=paired_val)
    found = {
        "bad": [_problem("bad", item.picture, raw, item.reason) for item in bad],
        "leak": [_twin(twin, raw) for twin in twins if twin.leak],
        "note": notes + [_twin(twin, raw) for twin in twins if not twin.leak],
    }
    if found["bad"] and not skip:
        failures.append(
            f"{len(bad)} of {len(pictures)} pictures cannot be used; mend or remove them at their source, or set "
            f"dataset.on_bad_image to skip in params.yaml"
        )
    if found["leak"] and not may_leak:
        failures.append(
            f"{len(found['leak'])} of {len(pictures)} pictures lie in another set, too; remove them at their source, or "
            f"set dataset.on_leak to report in params.yaml"
        )
    if not failures:
        failures += [f"no usable picture is left in {name}; add pictures to it" for name in sets if not sets[name].usable]
    problems = [row for kind in found.values() for row in sorted(kind, key=lambda row: (RAW_SETS.index(row.set), row.file))]
    return Report(sets, tuple(problems), tuple(failures))


def _verdicts(pictures: list[Picture], config: Config, paired: set[Split]) -> Iterator[Good | Bad]:
    """Verdicts in the order of `pictures`, good ones already resized; decoded on all cores, and never far ahead."""
    workers = config.runtime.workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        verdicts = _in_order(pool, partial(_prepare, config=config), pictures, workers * AHEAD)
        yield from _whole_pairs(verdicts, paired) if paired else verdicts


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Picture], Good | Bad], pictures: list[Picture], ahead: int
) -> Iterator[Good | Bad]:
    waiting: deque[Future[Good | Bad]] = deque()
    for picture in pictures:
        waiting.append(pool.submit(function, picture))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _prepare(picture: Picture, config: Config) -> Good | Bad:
    channels = {"A": config.model.input_nc, "B": config.model.output_nc}[picture.domain]
    verdict = judge(picture, channels, config.preprocess.background, config.preprocess.min_side)
    if isinstance(verdict, Bad):
        return verdict
    try:
        if picture.split != "train":
            return replace(verdict, pixels=geometry.for_scoring(verdict.pixels, config.preprocess))
        square = _square(verdict.pixels, config.preprocess)
        return replace(verdict, pixels=geometry.for_training(verdict.pixels, config.preprocess), square=square)
    except geometry.UnsuitableError as error:
        return Bad(picture, str(error))


def _square(pixels: images.Pixels, preprocess: PreprocessConfig) -> images.Pixels | None:
    """A training picture as one to be scored, if that is asked for, possible, and not what is packed for training."""
    if not preprocess.reference_set or geometry.training_is_scoring(preprocess):
        return None
    try:
        return geometry.for_scoring(pixels, preprocess)
    except geometry.UnsuitableError:  # too small to be scored, but not to be trained on
        return None


def _whole_pairs(verdicts: Iterator[Good | Bad], paired: set[Split]) -> Iterator[Good | Bad]:
    """Where one picture of a true pair is bad, so is the other: both sets must stay aligned."""
    held_out: list[Good | Bad] = []
    for verdict in verdicts:
        if verdict.picture.split in paired:
            held_out.append(verdict)
        else:
            yield verdict
    broken = {(verdict.picture.split, verdict.picture.pair) for verdict in held_out if isinstance(verdict, Bad)}
    held_out.sort(key=lambda one: (one.picture.domain, leaks.ORDER.index(one.picture.split), one.picture.pair))
    for verdict in held_out:
        if isinstance(verdict, Good) and (verdict.picture.split, verdict.picture.pair) in broken:
            yield Bad(verdict.picture, "its counterpart in the other domain is bad")
        else:
            yield verdict


def _remarks(good: Good, config: Config) -> Iterator[str]:
    """What was decided about a usable picture without asking."""
    original = good.original
    if original.frames > 1:
        yield f"{original.frames} frames or pages; the first is used"
    sides = sorted((original.width, original.height))
    if config.preprocess.mode == "resize_and_crop" and sides[1] > NARROW * sides[0]:
        yield f"{original.width} x {original.height} px, pressed into a square by preprocess.mode resize_and_crop"


def _left_out(raw: Path) -> list[Problem]:
    return [Problem("note", name, file, what) for name in RAW_SETS for file, what in images.left_out(raw / name).items()]


def _problem(kind: Kind, picture: Picture, raw: Path, detail: str, other: str = "") -> Problem:
    return Problem(kind, picture.path.relative_to(raw).parts[0], picture.name, detail, other)


def _twin(twin: Twin, raw: Path) -> Problem:
    """A leak, or a note of a picture that is twice in one set."""
    this, other = twin.picture, twin.other
    splits = sorted({this.split, other.split}, key=leaks.ORDER.index)
    where = {"train": "training", "val": "validation", "test": "test"}
    if len(splits) == 2:
        place = f"in {where[splits[0]]} and {where[splits[1]]}" + (
            ", of different domains" if this.domain != other.domain else ""
        )
    else:
        place = "in both domains" if twin.leak else "twice in its set"
    name = f"{other.path.relative_to(raw).parts[0]}/{other.name}"
    return _problem("leak" if twin.leak else "note", this, raw, f"{twin.how}, {place}", name)
