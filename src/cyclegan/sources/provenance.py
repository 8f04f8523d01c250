"""What a source says about its pictures; written beside them as source.json and quoted by the model card."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "source.json"


@dataclass(frozen=True)
class Provenance:
    """Where pictures came from and what may be done with them.

    Attributes:
        name: the source's name in params.yaml.
        domain_A: what the pictures of domain A show.
        domain_B: the same for B.
        licence: the pictures' licence, as far as the source states one.
        attribution: the line to print wherever the pictures appear.
        paired_test: files of equal name in testA/ and testB/ are true pairs.
        paired_val: the same of valA/ and valB/, which are validation pictures; False where there are none.
    """

    name: str
    domain_A: str
    domain_B: str
    licence: str
    attribution: str
    paired_test: bool
    paired_val: bool = False

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> "Provenance":
        return Provenance(**json.loads((folder / FILE).read_text(encoding="utf-8")))
