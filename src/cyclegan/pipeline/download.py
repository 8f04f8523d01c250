"""Stage download: bring raw pictures of both domains to data/raw, from whichever source params.yaml names."""

from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cyclegan import lineage
from cyclegan.config import Config, DatasetConfig
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import fresh_folder, put_in_place
from cyclegan.pipeline.guard import Unchanged
from cyclegan.sources import archives, celeba, earth, folder, openmoji, shapes, table
from cyclegan.sources.provenance import Provenance

DRAWN = {"openmoji": openmoji.make, "shapes": shapes.make, "earth": earth.make}


def download(config: Config, unchanged: Unchanged) -> None:
    """Fill data/raw, whole or not at all.

    Raises:
        UserError: the source cannot give what was asked of it, or params, pictures or code changed meanwhile.
    """
    partial = fresh_folder(paths.RAW)
    provenance = _make(partial, config.dataset, config.seed)
    provenance.save(partial)
    unchanged()
    put_in_place(partial, paths.RAW)
    counts = {name: sum(1 for file in (paths.RAW / name).rglob("*") if file.is_file()) for name in folder.SETS}
    print(f"{provenance.name}: " + ", ".join(f"{count} in {name}" for name, count in counts.items() if count))


def _make(out: Path, dataset: DatasetConfig, seed: int) -> Provenance:
    if dataset.name in DRAWN:
        return DRAWN[dataset.name](out, dataset.image_size, dataset.n_train, dataset.n_test, seed, dataset.n_val)
    if dataset.name == "folder":
        return folder.make(out, Path(dataset.path), paired_test=dataset.paired_test)
    if dataset.name in ("table", "celeba"):
        return _by_labels(out, dataset)
    columns = (TextColumn(dataset.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("download", total=None)
        return archives.make(
            out,
            dataset.name,
            dataset.url,
            dataset.sha256,
            lineage.project_root() / paths.DOWNLOADS,
            lambda done, total: bar.update(task, completed=done, total=total),
        )


def _by_labels(out: Path, dataset: DatasetConfig) -> Provenance:
    path, own_table = Path(dataset.path), dataset.name == "table"
    file_column = dataset.table_file_column if own_table else None
    labels = table.Labels(dataset.table_column, dataset.table_A, dataset.table_B, file_column)
    if own_table:
        return table.make(out, path, dataset.table, labels, paired_test=dataset.paired_test)
    return celeba.make(out, path, lineage.project_root() / paths.DOWNLOADS, labels, paired_test=dataset.paired_test)
