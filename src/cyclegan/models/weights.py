"""Network folders: the weights as safetensors, beside a JSON file with all that is needed to build the network again.

A generator's folder holds `generator.safetensors` and `generator.json`, a discriminator's `discriminator.*`. A model
folder holds such folders by the networks' names: G_AB and G_BA, and D_A and D_B where they are kept.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cyclegan.config import ModelConfig
from cyclegan.errors import UserError
from cyclegan.models.networks import Networks
from cyclegan.models.specs import (
    KINDS,
    ORIGIN,
    DiscriminatorSpec,
    GeneratorSpec,
    Spec,
    discriminator_spec,
    generator_spec,
    load_spec,
)

RANDOM = Path("weights/random")  # train.init_from that stands for random first weights
SHOWN = 5  # faults that an error lists


def save(folder: Path, tensors: dict[str, Tensor], spec: GeneratorSpec | DiscriminatorSpec) -> None:
    """Write a network's folder; the bytes depend on the weights and the spec alone."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, folder / f"{KINDS[type(spec)]}.safetensors")
    text = json.dumps(asdict(spec), indent=2) + "\n"
    (folder / f"{KINDS[type(spec)]}.json").write_text(text, encoding="utf-8")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        SafetensorError: damaged, or a name stands twice in it, so that another program may read another tensor.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    tensors: dict[str, Tensor] = load_file(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        json.loads(file.read(length), object_pairs_hook=_unique)
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SafetensorError(f"{twice!r:.80} stands twice in its header")


def load(folder: Path, kind: type[Spec], device: torch.device) -> tuple[nn.Module, Spec]:
    """Build the network of a folder, in evaluation mode.

    Elsewhere than on CUDA it lies in plain memory, so that imported weights give what they give at home to the last bit.

    Raises:
        UserError: as `load_spec`, or weights that are missing, damaged, of other shapes or types, or not finite.
    """
    spec = load_spec(folder, kind)
    path = folder / f"{KINDS[kind]}.safetensors"
    try:
        tensors = read_safetensors(path)
    except FileNotFoundError:
        raise UserError(f"{folder} has no {path.name}; restore it with `dvc checkout`, or make it again") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} does not hold this {KINDS[kind]}: {error}; restore it with `dvc checkout`") from None
    with torch.device("meta"):  # takes no memory, before the file has shown that it holds a network of this size
        faults = _misfits(spec.build().state_dict(), tensors)
    if faults:
        rest = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"{path} does not hold this {KINDS[kind]}: {', '.join(faults[:SHOWN])}{rest}; restore it with `dvc checkout`"
        )
    network = spec.build()
    network.load_state_dict(tensors)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
    return network.to(device).eval(), spec


def _misfits(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    """What keeps the tensors of a file from being these, or from being of use."""
    found = [f"{key:.80} is not part of it" for key in tensors if key not in expected]
    for key, wanted in expected.items():
        if key not in tensors:
            found.append(f"{key} is missing")
            continue
        have = tensors[key]
        if (have.shape, have.dtype) != (wanted.shape, wanted.dtype):
            shapes = f"{list(have.shape)!s:.40} of {have.dtype}, not {list(wanted.shape)} of {wanted.dtype}"
            found.append(f"{key} is {shapes}".replace("torch.", ""))
        elif not bool(torch.isfinite(have).all()):
            found.append(f"{key} has values that are not finite")
    return found


def load_generator(folder: Path, device: torch.device) -> tuple[nn.Module, GeneratorSpec]:
    """Build the generator of a folder, in evaluation mode; errors as `load`."""
    return load(folder, GeneratorSpec, device)


def load_first_weights(networks: Networks, model: ModelConfig, folder: Path) -> list[str]:
    """Replace random first weights by those of a model folder, in place; returns the names of the networks it holds.

    Networks that the folder lacks keep their random weights. `weights/random` holds none.

    Raises:
        UserError: the folder holds no network, or one that is not what `model` describes.
    """
    if folder == RANDOM:
        return []
    expected: dict[str, GeneratorSpec | DiscriminatorSpec] = {
        **{name: generator_spec(model, name, 0, "", "raw") for name in ("G_AB", "G_BA")},
        "D_A": discriminator_spec(model, "A", ""),
        "D_B": discriminator_spec(model, "B", ""),
    }
    found = [name for name in expected if (folder / name).is_dir()]
    if not found:
        raise UserError(
            f"train.init_from is {folder} in params.yaml, but it holds none of {', '.join(expected)}; give a folder that "
            f"`cyclegan import-weights` or a training wrote, or {RANDOM} to start from random weights"
        )
    for name in found:
        there, loaded = _load_any(folder / name)
        here = asdict(expected[name])
        differences = [
            f"{key} is {there[key]} there and {here.get(key)} here"
            for key in there
            if key not in ORIGIN and there[key] != here.get(key)
        ]
        if differences:
            raise UserError(
                f"train.init_from: {folder / name} is another network than the section model of params.yaml asks for: "
                f"{'; '.join(differences)}; change the one or the other"
            )
        getattr(networks, name).load_state_dict(loaded.state_dict())
    return found


def _load_any(folder: Path) -> tuple[dict[str, object], nn.Module]:
    kind = next((kind for kind, name in KINDS.items() if (folder / f"{name}.json").exists()), GeneratorSpec)
    network, spec = load(folder, kind, torch.device("cpu"))
    return asdict(spec), network
