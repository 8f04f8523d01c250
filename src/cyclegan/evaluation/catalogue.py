"""What each score is called, and what it says: for tables, reports and comparisons.

A score of sets is named PROTOCOL_SET, or PROTOCOL_NETWORK_SET where its features are not those of the published scores:
fid_clean_test, kid_x1000_val, fid_clean_resnet50_all. Every other score is a mean over pictures, but for `diversity`.
"""

import re
from dataclasses import dataclass
from typing import Literal

SUBJECTS = {
    "model": "the generators that are exported",
    "best": "the best generators by validation",
    "last": "the generators as the training left them",
    "last_ema": "moving averages of these",
    "copy_input": "the input, unchanged",
    "mean_colour": "one colour: the mean of the domain asked for",
    "real_train": "as many real training pictures of the domain asked for: the floor",
}
"""Who is scored; the last three are trivial answers and real pictures. `best`, `last` and `last_ema` stand where `model` is
another."""

SETS = {
    "test": "the real test pictures of the domain asked for",
    "all": "all real pictures of the domain asked for, those of training included",
    "val": "real pictures of the domain asked for, held out of training for validation",
}


@dataclass(frozen=True)
class Metric:
    """One score.

    Attributes:
        title: for people, short.
        better: whether a lower or a higher one is; None where neither is by itself.
        meaning: one sentence.
    """

    title: str
    better: Literal["lower", "higher"] | None
    meaning: str


_PROTOCOLS = {
    "fid_legacy": Metric("FID (legacy)", "lower", "Frechet distance of features, pictures resized as by pytorch-fid"),
    "fid_clean": Metric("FID (clean)", "lower", "Frechet distance of features, pictures resized as by clean-fid"),
    "kid_x1000": Metric("KID x 1000", "lower", "squared kernel distance of features, pictures resized as by clean-fid"),
}
_OTHERS = {
    "cycle_l1": Metric("cycle L1", "lower", "mean absolute difference of G_back(G(x)) from x, both in [-1, 1]"),
    "cycle_psnr": Metric("cycle PSNR, dB", "higher", "peak signal-to-noise ratio of G_back(G(x)) against x"),
    "cycle_ssim": Metric("cycle SSIM", "higher", "structural similarity of G_back(G(x)) and x"),
    "structure": Metric("structure", "higher", "whether edges stay in place: correlation of edge strength in G(x) and x"),
    "copy_l1": Metric("distance from input", None, "mean absolute difference of G(x) from x; 0 is a copy of the input"),
    "diversity": Metric("diversity", None, "mean absolute difference between outputs; to be compared with real pictures'"),
    "pair_l1": Metric("pair L1", "lower", "mean absolute difference of G(x) from its true counterpart, both in [-1, 1]"),
    "pair_psnr": Metric("pair PSNR, dB", "higher", "peak signal-to-noise ratio of G(x) against its true counterpart"),
    "pair_ssim": Metric("pair SSIM", "higher", "structural similarity of G(x) and its true counterpart"),
}
_OF_SETS = re.compile(rf"(?P<protocol>{'|'.join(_PROTOCOLS)})(_(?P<network>\w+))?_(?P<against>{'|'.join(SETS)})")


def explained(name: str) -> str:
    """What a score says, and which way is better; errors as `metric`."""
    found = metric(name)
    return f"{found.meaning} ({found.better} is better)" if found.better else found.meaning


def metric(name: str) -> Metric:
    """What a score is.

    Raises:
        KeyError: there is none of this name.
    """
    named = _OF_SETS.fullmatch(name)
    if named is None:
        return _OTHERS[name]
    protocol = _PROTOCOLS[named["protocol"]]
    network = f", {named['network']}" if named["network"] else ""
    title = f"{protocol.title}{network}, {named['against']}"
    return Metric(title, protocol.better, f"{protocol.meaning}; against {SETS[named['against']]}")
