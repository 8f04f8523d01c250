"""CelebA, faces with 40 attributes each: the user's copy, or torchvision's download; one attribute divides them."""

from dataclasses import replace
from pathlib import Path

from cyclegan.errors import UserError
from cyclegan.sources import table
from cyclegan.sources.provenance import Provenance

TABLE = "list_attr_celeba.txt"
PICTURES = "img_align_celeba"
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def make(out: Path, path: Path, downloads: Path, labels: table.Labels, *, paired_test: bool) -> Provenance:
    """Copy the pictures that an attribute assigns to a domain; see `table.divide`.

    CelebA is taken from `path`, else from an earlier download in `downloads`, else torchvision fetches it (1.4 GB)
    to there.

    Raises:
        UserError: the download fails, or whatever `table.divide` objects to.
    """
    root = find(path) or find(downloads) or fetch(path, downloads)
    provenance = table.divide(out, root / PICTURES, root / TABLE, labels, paired_test=paired_test)
    return replace(
        provenance,
        name="celeba",
        licence="non-commercial research only; see the data set's authors",
        attribution="CelebA (Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015)",
    )


def find(path: Path) -> Path | None:
    """`path` or its folder celeba/, as torchvision names it: the one that holds both table and pictures, if any."""
    for root in (path, path / "celeba"):
        if (root / TABLE).is_file() and (root / PICTURES).is_dir():
            return root
    return None


def fetch(path: Path, downloads: Path) -> Path:
    """Let torchvision download CelebA to downloads/celeba.

    Raises:
        UserError: it fails, for whatever reason (no gdown, no network, Google Drive's quota); says what to put into
            `path` by hand.
    """
    from torchvision.datasets import CelebA

    try:
        CelebA(root=downloads, split="all", download=True)
        reason = f"torchvision left no {TABLE} with {PICTURES} in {downloads}"
    except Exception as error:  # torchvision, gdown and requests each raise their own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
    else:
        if root := find(downloads):
            return root
    raise UserError(
        f"dataset.name is celeba in params.yaml, but there is no {TABLE} with {PICTURES}/ in {path}, and the download to "
        f"{downloads} failed: {reason}; mend that and run again, or fetch two files from {PAGE} by hand: unpack "
        f"{PICTURES}.zip so that {path / PICTURES}/000001.jpg is there, and put {TABLE} beside that folder as "
        f"{path / TABLE} (another folder: set dataset.path)"
    )
