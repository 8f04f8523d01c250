"""The user's own pictures: a folder with trainA/ and trainB/, and testA/, testB/, valA/ and valB/ where they exist."""

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources.provenance import Provenance

SETS = ("trainA", "trainB", "valA", "valB", "testA", "testB")


def make(out: Path, path: Path, *, paired_test: bool) -> Provenance:
    """Copy the pictures of `path`, nested folders and all, so that a run's data is kept under its digest.

    Raises:
        UserError: no such folder, no pictures in trainA/ or trainB/, one test set without the other where pairs are
            asked for, a folder that cannot be listed, or files that cannot be copied (all of them named).
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
    copy(
        (picture, out / name / picture.relative_to(path / name)) for name, pictures in found.items() for picture in pictures
    )
    for name in SETS:
        for file, what in images.left_out(path / name).items():
            print(f"{images.printable(str(path))}/{name}/{file}: {what}")
    return Provenance(
        name="folder",
        domain_A="pictures of trainA",
        domain_B="pictures of trainB",
        licence="not stated",
        attribution="The user's own pictures",
        paired_test=paired_test,
        paired_val=paired_test and bool(found["valA"] and found["valB"]),
    )


def copy(files: Iterable[tuple[Path, Path]]) -> None:
    """Copy files, or what links to files lead to, byte by byte, each to its target, whose folders are made.

    Raises:
        UserError: files that cannot be copied, all of them named; or the copies cannot be written.
    """
    failed = []
    for picture, target in files:
        try:
            str(target).encode()
            images.check(picture)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, target)
        except UnicodeEncodeError:
            failed.append((picture, "its name is not UTF-8; rename it"))
        except images.BadImageError as error:
            failed.append((picture, str(error)))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise UserError(f"cannot write {target}: {error.strerror}; make room and run again") from None
            failed.append((picture, f"cannot be read: {error.strerror}"))
    if failed:
        what = "1 picture" if len(failed) == 1 else f"{len(failed)} pictures"
        raise UserError(
            f"{what} cannot be copied:\n"
            + "\n".join(f"  {images.printable(str(picture))}: {reason}" for picture, reason in failed)
            + "\nmend or remove them and run again"
        )
