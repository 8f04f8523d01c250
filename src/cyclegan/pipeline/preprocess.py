"""Stage preprocess: judge, decode and resize every raw picture once, and pack the pixels."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data import geometry
from cyclegan.data.checks import Bad, Good, judge
from cyclegan.data.layout import DOMAINS, Division, Picture, check_pairs, find
from cyclegan.data.store import Store, Writer
from cyclegan.errors import UserError
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import fresh_folder, put_in_place, write_json
from cyclegan.sources.provenance import Provenance

IN_MEMORY = 256  # pictures decoded ahead of the writer
PREVIEW_PICTURES, PREVIEW_COLUMNS = 40, 8


def preprocess(config: Config) -> None:
    """Turn data/raw into data/prepared, metrics/dataset.json and a preview a domain.

    Raises:
        UserError: bad pictures (all of them listed) unless they are to be skipped, sets that are empty, or pairs that
            do not match.
    """
    division = Division(
        config.preprocess.direction, config.dataset.limit, config.dataset.test_fraction, config.dataset.val_fraction
    )
    source = Provenance.load(paths.RAW)
    if division.direction == "BtoA":
        source = replace(source, domain_A=source.domain_B, domain_B=source.domain_A)
    skip = config.dataset.on_bad_image == "skip"
    pictures = find(
        paths.RAW,
        division,
        config.seed,
        usable=lambda picture: not skip or isinstance(_prepare(picture, config), Good),
    )
    if source.paired_test:
        check_pairs(pictures)
    folder = fresh_folder(paths.PREPARED)
    writer = Writer(folder)
    bad: list[Bad] = []
    for verdict in _verdicts(pictures, config, paired_test=source.paired_test):
        if isinstance(verdict, Bad):
            bad.append(verdict)
        else:
            writer.add(verdict)
    if bad and not skip:
        raise UserError(
            f"{len(bad)} of {len(pictures)} pictures cannot be used:\n"
            + "\n".join(f"  {item.picture.path}: {item.reason}" for item in bad)
            + "\nmend or remove them at their source, or set dataset.on_bad_image to skip in params.yaml"
        )
    for name in (f"{split}{domain}" for split in division.splits for domain in DOMAINS):
        if name not in writer.moments:
            raise UserError(f"no usable picture is left in {name}; add pictures to it")
    summary = writer.finish(vars(source), skipped=[(str(item.picture.path), item.reason) for item in bad])
    put_in_place(folder, paths.PREPARED)
    write_json(paths.DATASET_METRICS, _metrics(summary, pd.DataFrame(writer.rows)))
    _draw_previews(Store(paths.PREPARED, verify=False))
    counts = ", ".join(f"{entry['pictures']} in {name}" for name, entry in summary["sets"].items())
    print(f"prepared {counts}; {len(bad)} skipped; digest {summary['digest'][:12]}")
    for item in bad:
        print(f"  skipped {item.picture.path}: {item.reason}")


def _verdicts(pictures: list[Picture], config: Config, *, paired_test: bool) -> Iterator[Good | Bad]:
    """Verdicts in the order of `pictures`, good ones already resized; decoded on all cores."""
    prepare = partial(_prepare, config=config)
    with ThreadPoolExecutor(config.runtime.workers or os.cpu_count()) as pool:
        slices = (pictures[start : start + IN_MEMORY] for start in range(0, len(pictures), IN_MEMORY))
        verdicts = (verdict for part in slices for verdict in pool.map(prepare, part))
        yield from _whole_pairs(verdicts) if paired_test else verdicts


def _prepare(picture: Picture, config: Config) -> Good | Bad:
    channels = {"A": config.model.input_nc, "B": config.model.output_nc}[picture.domain]
    verdict = judge(picture, channels, config.preprocess.background, config.preprocess.min_side)
    if isinstance(verdict, Bad):
        return verdict
    scale = geometry.for_training if picture.split == "train" else geometry.for_scoring
    try:
        return replace(verdict, pixels=scale(verdict.pixels, config.preprocess))
    except geometry.UnsuitableError as error:
        return Bad(picture, str(error))


def _whole_pairs(verdicts: Iterator[Good | Bad]) -> Iterator[Good | Bad]:
    """Where one test picture of a true pair is bad, so is the other: both sets must stay aligned."""
    tests: list[Good | Bad] = []
    for verdict in verdicts:
        if verdict.picture.split == "test":
            tests.append(verdict)
        else:
            yield verdict
    broken = {verdict.picture.pair for verdict in tests if isinstance(verdict, Bad)}
    for verdict in sorted(tests, key=lambda verdict: (verdict.picture.domain, verdict.picture.pair)):
        if isinstance(verdict, Good) and verdict.picture.pair in broken:
            yield Bad(verdict.picture, "its counterpart in the other domain is bad")
        else:
            yield verdict


def _metrics(summary: dict[str, Any], manifest: pd.DataFrame) -> dict[str, Any]:
    sets = {}
    for (split, domain), rows in manifest.groupby(["split", "domain"], sort=False):
        entry = summary["sets"][f"{split}{domain}"]
        sizes = rows["original_width"].astype(str) + "x" + rows["original_height"].astype(str)
        sides = (rows["original_width"] * rows["original_height"]) ** 0.5
        sets[f"{split}{domain}"] = {
            "pictures": entry["pictures"],
            "original_sizes": int(sizes.nunique()),
            "original_side_median": round(float(sides.median()), 1),
            "channel_means": entry["mean"],
            "channel_stds": entry["std"],
        }
    return {"digest": summary["digest"], "skipped": len(summary["skipped"]), **sets}


def _draw_previews(store: Store) -> None:
    for domain, path in paths.PREVIEWS.items():
        pictures = store.open("train", domain)
        path.parent.mkdir(parents=True, exist_ok=True)
        first = [pictures[index] for index in range(min(PREVIEW_PICTURES, len(pictures)))]
        images.write(path, images.sheet(images.fit(first), PREVIEW_COLUMNS))
