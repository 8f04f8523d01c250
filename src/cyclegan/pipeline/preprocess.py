"""Stage preprocess: judge, decode and resize every raw picture once, and pack the pixels."""

import sys
from dataclasses import replace
from typing import Any

import pandas as pd

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data.inspection import Report, inspect
from cyclegan.data.problems import as_csv, as_table
from cyclegan.data.store import Store, Writer
from cyclegan.errors import UserError
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import fresh_folder, put_in_place, write_json
from cyclegan.pipeline.guard import Unchanged
from cyclegan.sources.provenance import Provenance

PREVIEW_PICTURES, PREVIEW_COLUMNS = 40, 8


def preprocess(config: Config, unchanged: Unchanged) -> None:
    """Turn data/raw into data/prepared, reports/problems.csv, metrics/dataset.json and a preview a domain.

    Raises:
        UserError: bad pictures unless they are to be skipped, leaks if they are to be errors, sets that are empty, or pairs
            that do not match; reports/problems.csv is written before, and the screen shows it.
    """
    source = Provenance.load(paths.RAW)
    if config.preprocess.direction == "BtoA":
        source = replace(source, domain_A=source.domain_B, domain_B=source.domain_A)
    folder = fresh_folder(paths.PREPARED)
    writer = Writer(folder)
    report = inspect(paths.RAW, config, paired_test=source.paired_test, paired_val=source.paired_val, use=writer.add)
    _tell(report)
    if report.failures:
        raise UserError("\n".join(report.failures))
    skipped = [(str(paths.RAW / problem.set / problem.file), problem.detail) for problem in report.bad]
    summary = writer.finish(vars(source), skipped)
    unchanged()
    put_in_place(folder, paths.PREPARED)
    write_json(paths.DATASET_METRICS, _metrics(summary, pd.DataFrame(writer.rows)))
    _draw_previews(Store(paths.PREPARED, verify=False))
    counts = ", ".join(f"{entry['pictures']} in {name}" for name, entry in summary["sets"].items())
    print(f"prepared {counts}; {len(skipped)} skipped; digest {summary['digest'][:12]}")


def _tell(report: Report) -> None:
    """Write the problems to their file and show them on the screen, all of them."""
    paths.PROBLEMS.parent.mkdir(parents=True, exist_ok=True)
    paths.PROBLEMS.write_text(as_csv(report.problems), encoding="utf-8", newline="")
    if report.problems:
        text = f"{as_table(report.problems, paths.RAW)}: {paths.PROBLEMS}"
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding))  # names may hold what the screen cannot show


def _metrics(summary: dict[str, Any], manifest: pd.DataFrame) -> dict[str, Any]:
    sets = {}
    for (split, domain), rows in manifest[manifest["split"] != "reference"].groupby(["split", "domain"], sort=False):
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
