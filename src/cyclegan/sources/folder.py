"""The user's own pictures: a folder with trainA/ and trainB/, and testA/ and testB/ where they exist."""

import shutil
from pathlib import Path

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources.provenance import Provenance

SETS = ("trainA", "trainB", "testA", "testB")


def make(out: Path, path: Path, *, paired_test: bool) -> Provenance:
    """Copy the pictures of `path`, nested folders and all, so that a run's data is kept under its digest.

    Raises:
        UserError: no such folder, no pictures in trainA/ or trainB/, one test set without the other where pairs are
            asked for, or an unreadable file.
    """
    if not path.is_dir():
        raise UserError(f"dataset.path is {path} in params.yaml; there is no such folder: put trainA/ and trainB/ into it")
    found = {name: images.below(path / name) for name in SETS}
    empty = [name for name in ("trainA", "trainB") if not found[name]]
    if empty:
        raise UserError(
            f"dataset.path is {path} in params.yaml, but there are no pictures in its {' and '.join(empty)}; put each "
            f"domain's training pictures ({', '.join(sorted(images.SUFFIXES))}) into {path}/trainA and {path}/trainB"
        )
    if paired_test and not (found["testA"] and found["testB"]):
        raise UserError(
            f"dataset.paired_test is true in params.yaml, but {path} has no pictures in testA or in testB; add the "
            f"pairs there, or set dataset.paired_test to false"
        )
    for name, pictures in found.items():
        for picture in pictures:
            copy(picture, out / name / picture.relative_to(path / name))
    return Provenance(
        name="folder",
        domain_A="pictures of trainA",
        domain_B="pictures of trainB",
        licence="not stated",
        attribution="The user's own pictures",
        paired_test=paired_test,
    )


def copy(picture: Path, target: Path) -> None:
    """Copy a file, or what a link leads to, byte by byte; makes the folders of `target`.

    Raises:
        UserError: it cannot be read, or the copy not be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(picture, target)
    except OSError as error:
        raise UserError(f"cannot copy {picture}: {error.strerror}; mend that and run again") from None
