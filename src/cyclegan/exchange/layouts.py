"""The layouts in which other projects keep weights: which network a file holds, and its tensors by our names and theirs.

The reference PyTorch implementation numbers the layers of one flat sequence (`model.4.weight`), pads and activations among
them; the 2017 walkthrough does the same, and vintagify too, but for one word. A file shows neither strides nor activations:
they are those of the reference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import cast, get_args

import torch
from torch import Tensor

from cyclegan.config import ModelConfig
from cyclegan.config.values import WIDEST
from cyclegan.errors import UserError
from cyclegan.exchange.tensors import shown
from cyclegan.models.networks import BASIC_LAYERS, RESNET_BLOCKS, UNET_LEVELS
from cyclegan.models.specs import DiscriminatorSpec, GeneratorSpec

AnySpec = GeneratorSpec | DiscriminatorSpec

LAYOUTS = {"conv_block": "reference or walkthrough layout", "block": "vintagify layout"}  # by their word for a block
KNOWN = (
    f"known are {', '.join([*RESNET_BLOCKS, *UNET_LEVELS])} and discriminators of 1 to 6 layers or of single pixels, as "
    f"the reference PyTorch implementation, the 2017 walkthrough and vintagify keep them"
)
NORMS: tuple[str, ...] = get_args(ModelConfig.model_fields["norm"].annotation)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTER = "num_batches_tracked"  # of a BatchNorm; PyTorch before 0.4.1 did not count
STATISTICS = ("running_mean", "running_var", COUNTER)  # which it also kept, unused, under an InstanceNorm
SHOWN = 10  # keys that an error lists


@dataclass(frozen=True)
class Network:
    """What a file holds.

    Attributes:
        spec: the architecture; its direction or domain, size and train_key are placeholders, as no file shows them.
        tensors: the weights by our names, float32.
        layout: whose layout it was in.
    """

    spec: AnySpec
    tensors: dict[str, Tensor]
    layout: str


def read(tensors: Mapping[str, Tensor], file: str, *, unet_dropout: bool = False) -> Network:
    """Recognise a network by its keys and shapes: every tensor is used, and every one that the network needs is there.

    Args:
        tensors: by their names, without a common prefix `module.`.
        file: for messages.
        unet_dropout: what to say of a U-Net's dropout, which leaves no trace in its keys.

    Raises:
        UserError: not a known network, of channels that pictures do not have, or with values that are not finite.
    """
    block = "block" if any(".block." in key for key in tensors) else "conv_block"
    misfits = {spec: _misfits(spec, block, tensors) for spec in _candidates(tensors, unet_dropout)}
    if not misfits:
        found = [f"{shown(key)} {_sides(tensor)}" for key, tensor in tensors.items()]
        raise UserError(f"{file} holds no network that can be recognised: {_listed(found)}; {KNOWN}")
    spec = min(misfits, key=lambda candidate: len(misfits[candidate]))
    if misfits[spec]:
        raise UserError(
            f"{file} holds no network that can be read; it comes closest to {describe(spec)}, but "
            f"{_listed(misfits[spec])}; {KNOWN}"
        )
    channels = {spec.channels_in, spec.channels_out} if isinstance(spec, GeneratorSpec) else {spec.channels_in}
    if not channels <= {1, 3}:
        raise UserError(
            f"{file} holds {describe(spec)}, but pictures here have 1 or 3 channels (a pix2pix discriminator, which "
            f"judges two pictures at once, has no place in a CycleGAN)"
        )
    ours = {}
    for (key, meta), theirs in zip(_shapes(spec).items(), _keys(spec, block).values(), strict=True):
        tensor = tensors[theirs] if theirs in tensors else torch.zeros(())  # a counter that was not kept
        if meta.dtype.is_floating_point and tensor.dtype not in FLOATS:
            raise UserError(
                f"{file} has {theirs} in {str(tensor.dtype).removeprefix('torch.')}, such as quantised networks have it; "
                f"save the weights in float32, float16 or bfloat16"
            )
        ours[key] = tensor.to(meta.dtype)
        if not bool(torch.isfinite(ours[key]).all()):
            raise UserError(f"{file} has values in {theirs} that are not finite in float32; it is of no use")
    return Network(spec, ours, LAYOUTS[block])


def write(spec: AnySpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors by the reference's names.

    Raises:
        UserError: the reference has no such network.
    """
    if isinstance(spec, DiscriminatorSpec) and spec.netD == "same_size":
        raise UserError(
            f"D_{spec.domain} has model.netD same_size, which the reference layout does not know; export the generators "
            f"alone, one `cyclegan export-weights MODEL/G_AB FILE.pth` each"
        )
    return {theirs: tensors[ours] for ours, theirs in _keys(spec, "conv_block").items()}


def describe(spec: AnySpec) -> str:
    """An architecture in a line: `resnet_9blocks, ngf 64, instance, 3 -> 3 channels`."""
    if isinstance(spec, GeneratorSpec):
        dropout = ", dropout" if spec.dropout else ""
        return f"{spec.netG}, ngf {spec.ngf}, {spec.norm}{dropout}, {spec.channels_in} -> {spec.channels_out} channels"
    layers = f" {spec.n_layers}" if spec.netD == "n_layers" else ""
    plural = "" if spec.channels_in == 1 else "s"
    return f"{spec.netD}{layers}, ndf {spec.ndf}, {spec.norm}, {spec.channels_in} channel{plural}"


def _candidates(tensors: Mapping[str, Tensor], unet_dropout: bool) -> Iterator[AnySpec]:
    """The networks that a file may hold, going by its first and last convolutions."""

    def generator(net: str, width: int, norm: str, dropout: bool, channels_in: int, channels_out: int) -> GeneratorSpec:
        return GeneratorSpec("G_AB", net, width, norm, dropout, channels_in, channels_out, 0, "", "raw")

    if first := _convolution(tensors, "model.1"):
        for net, dropout, norm in product(RESNET_BLOCKS, (False, True), NORMS):
            last = _convolution(tensors, f"model.{RESNET_BLOCKS[net] + 17}")
            yield generator(net, first[0], norm, dropout, first[1], last[0] if last else first[1])
    if first := _convolution(tensors, "model.model.0"):
        last = _convolution(tensors, "model.model.3")  # a transposed one: the axes of its channels are exchanged
        for net, norm in product(UNET_LEVELS, NORMS):
            yield generator(net, first[0], norm, unet_dropout, first[1], last[1] if last else first[1])
    if first := _convolution(tensors, "model.0"):
        for layers, norm in product(range(1, 7), NORMS):
            net = "basic" if layers == BASIC_LAYERS else "n_layers"
            yield DiscriminatorSpec("A", net, first[0], layers, norm, first[1], "")
    if first := _convolution(tensors, "net.0"):
        for norm in NORMS:
            yield DiscriminatorSpec("A", "pixel", first[0], BASIC_LAYERS, norm, first[1], "")


def _convolution(tensors: Mapping[str, Tensor], place: str) -> tuple[int, int] | None:
    """Channels of the convolution at `place`, in the order of the weight's axes; None if there is none."""
    tensor = tensors.get(f"{place}.weight")
    if tensor is None or tensor.ndim != 4 or tensor.numel() == 0 or max(tensor.shape) > WIDEST:
        return None
    return tensor.shape[0], tensor.shape[1]


def _misfits(spec: AnySpec, block: str, tensors: Mapping[str, Tensor]) -> list[str]:
    """What keeps these tensors from being this network; empty if nothing does."""
    shapes, keys = _shapes(spec), _keys(spec, block)
    blocks = len({key.split(".")[1] for key in tensors if f".{block}." in key})
    wrong_depth = isinstance(spec, GeneratorSpec) and blocks != RESNET_BLOCKS.get(spec.netG, 0)
    found = [f"it has {blocks} residual blocks"] if wrong_depth else []
    for ours, theirs in keys.items():
        if theirs not in tensors:
            found += [] if theirs.endswith(COUNTER) else [f"{theirs} is missing"]
        elif tensors[theirs].shape != shapes[ours].shape:
            found.append(f"{theirs} is {_sides(tensors[theirs])}, not {_sides(shapes[ours])}")
    layers = set(_places(spec, block).values()) if spec.norm.startswith("instance") else set()
    known = {*keys.values(), *(f"{layer}.{leaf}" for layer, leaf in product(layers, STATISTICS))}
    return found + [f"{shown(key)} is not part of it" for key in tensors if key not in known]


def _shapes(spec: AnySpec) -> dict[str, Tensor]:
    """Our state_dict, without the numbers."""
    with torch.device("meta"):
        return cast(dict[str, Tensor], spec.build().state_dict())


def _keys(spec: AnySpec, block: str) -> dict[str, str]:
    """{our key: their key} of every tensor."""
    places = _places(spec, block)
    split = ((key, *key.rpartition(".")[::2]) for key in _shapes(spec))
    return {key: f"{places[layer]}.{leaf}" for key, layer, leaf in split}


def _places(spec: AnySpec, block: str) -> dict[str, str]:
    """{our name: their name} of every convolution and of every place for a norm."""
    if isinstance(spec, DiscriminatorSpec):
        root = "net" if spec.netD == "pixel" else "model"
        return {f"layers.{index}": f"{root}.{index}" for index in range(3 * spec.n_layers + 3)}
    if spec.netG in UNET_LEVELS:
        return dict(_unet_places(UNET_LEVELS[spec.netG]))
    return dict(_resnet_places(RESNET_BLOCKS[spec.netG], spec.dropout, block))


def _resnet_places(blocks: int, dropout: bool, block: str) -> Iterator[tuple[str, str]]:
    yield from (("stem.0.conv", "model.1"), ("stem.1", "model.2"))
    yield from ((f"down.{index}", f"model.{4 + index}") for index in (0, 1, 3, 4))
    for index in range(blocks):
        ours, theirs = f"blocks.{index}.body", f"model.{10 + index}.{block}"
        yield from ((f"{ours}.0.conv", f"{theirs}.1"), (f"{ours}.1", f"{theirs}.2"))
        yield f"{ours}.{3 + dropout}.conv", f"{theirs}.{5 + dropout}"
        yield f"{ours}.{4 + dropout}", f"{theirs}.{6 + dropout}"
    yield from ((f"up.{index}", f"model.{10 + blocks + index}") for index in (0, 1, 3, 4))
    yield "head.0.conv", f"model.{17 + blocks}"


def _unet_places(levels: int) -> Iterator[tuple[str, str]]:
    """A level is a sequence with the next level among its layers: [activation, down, norm, level, activation, up, norm]."""
    yield from (("down.0.0", "model.model.0"), ("up.0.1", "model.model.3"))
    theirs = "model.model.1.model"
    for level in range(1, levels):
        norm, up = (2, 5) if level < levels - 1 else (None, 3)  # the innermost one has no norm and no deeper level
        yield f"down.{level}.1", f"{theirs}.1"
        if norm:
            yield f"down.{level}.2", f"{theirs}.{norm}"
        yield from ((f"up.{level}.1", f"{theirs}.{up}"), (f"up.{level}.2", f"{theirs}.{up + 1}"))
        theirs += ".3.model"


def _sides(tensor: Tensor) -> str:
    sides = " x ".join(str(side) for side in tensor.shape[:8]) or "a number"
    return sides if tensor.ndim <= 8 else f"{sides} x ..."


def _listed(items: list[str]) -> str:
    rest = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f", and {rest} more" if rest > 0 else "")
