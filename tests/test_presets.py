"""Presets: what each one sets, and how one is written into params.yaml."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from project import ROOT, git_commit, run
from typer.testing import CliRunner

from cyclegan import config, presets
from cyclegan.cli import app
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.models import networks
from cyclegan.tracking import flatten
from cyclegan.training import schedule

NAMES = presets.names(ROOT / "presets")
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())

NOT_METHOD = {
    "preprocess.min_side",
    "preprocess.background",
    "preprocess.reference_set",
    "train.continue_from",
    "train.keep_state",
    "train.launcher",
    "train.deterministic",
    "train.accumulate",
    "train.checkpoint_activations",
    "train.history_every_steps",
    "train.n_samples",
}
METHOD = {
    f"{section}.{key}"
    for section in ("preprocess", "model", "loss", "optimizer", "schedule", "train")
    for key in PARAMS[section]
} - NOT_METHOD | {"evaluate.weights"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml and the presets, outside git, as the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "presets", folder / "presets")
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(folder)
    return folder


def cyclegan(*arguments: str) -> tuple[int, str]:
    """Exit status and everything printed."""
    result = CliRunner().invoke(app, ["preset", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def over(params: dict[str, Any], name: str) -> dict[str, Any]:
    """The parameters with a preset of this project over them; written here once more, as the oracle."""
    merged = yaml.safe_load(yaml.safe_dump(params))
    for dotted, value in presets.resolve(name, ROOT / "presets").items():
        section, key = dotted.split(".")
        merged[section][key] = value
    return dict(merged)


def resolved(name: str) -> Config:
    return config.parse(over(PARAMS, name), "params.yaml")


def values(params: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: params[key.split(".")[0]][key.split(".")[1]] for key in keys}


def changed(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case _:
            return f"not {value}"


def git(project: Path) -> None:
    run(project, "git", "init", "-q", "-b", "main")
    git_commit(project, "as it was")


# What the presets say


def test_every_preset_that_was_asked_for_is_there_and_says_what_it_is() -> None:
    assert set(NAMES) == {
        "apple2orange",
        "course",
        "facades",
        "horse2zebra",
        "horse2zebra-best",
        "iphone2dslr",
        "male2female",
        "maps",
        "monet2photo",
        "reference",
        "summer2winter",
        "walkthrough",
    }
    for name in NAMES:
        assert 20 < len(presets.describe(name, ROOT / "presets")) < 100


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_fixes_the_whole_method_whatever_params_say(name: str) -> None:
    other = yaml.safe_load(yaml.safe_dump(PARAMS))
    fixed = METHOD | {f"dataset.{key}" for key in ("limit", "n_val", "val_fraction", "url", "sha256")}
    if name not in ("reference", "course"):
        fixed |= {"dataset.name"}
    for dotted in fixed:
        section, key = dotted.split(".")
        other[section][key] = changed(other[section][key])
    assert values(other, fixed) != values(PARAMS, fixed)
    assert values(over(other, name), fixed) == values(over(PARAMS, name), fixed)
    resolved(name)  # is valid


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_leaves_alone_what_is_the_users(name: str) -> None:
    sections = {key.split(".")[0] for key in presets.resolve(name, ROOT / "presets")}
    assert sections == {"dataset", "preprocess", "model", "loss", "optimizer", "schedule", "train", "evaluate"}
    keys = set(presets.resolve(name, ROOT / "presets"))
    assert keys & (NOT_METHOD | {"dataset.path", "dataset.test_fraction", "evaluate.model"}) == set()


def test_the_reference_is_the_papers_method() -> None:
    reference = resolved("reference")
    assert reference.preprocess.model_dump(exclude={"min_side", "background", "reference_set"}) == {
        "direction": "AtoB",
        "mode": "resize_and_crop",
        "load_size": 286,
        "crop_size": 256,
        "flip": True,
    }
    assert reference.model.model_dump() == {
        "netG": "resnet_9blocks",
        "netD": "basic",
        "norm": "instance",
        "dropout": False,
        "ngf": 64,
        "ndf": 64,
        "n_layers_D": 3,
        "input_nc": 3,
        "output_nc": 3,
        "init_type": "normal",
        "init_gain": 0.02,
        "init_bias": "zero",
    }
    assert reference.loss.model_dump() == {
        "gan_mode": "lsgan",
        "score_per": "patch",
        "lambda_A": 10.0,
        "lambda_B": 10.0,
        "lambda_identity": 0.5,
        "lambda_gp": 10.0,
    }
    assert reference.optimizer.model_dump() == {"lr": 0.0002, "beta1": 0.5}
    assert reference.schedule.model_dump() == {
        "lr_policy": "linear",
        "n_epochs": 100,
        "n_epochs_decay": 100,
        "lr_decay_epochs": 50,
    }
    others = {name.removeprefix("train.") for name in NOT_METHOD if name.startswith("train.")}
    assert reference.train.model_dump(exclude=others) == {
        "init_from": "weights/random",
        "arithmetic": "textbook",
        "batch_size": 1,
        "serial_batches": False,
        "epoch_length": "max",
        "pool_size": 50,
        "ema_decay": 0.0,
        "precision": "float32",
        "validate_every_epochs": 0,
        "validate_metric": "auto",
        "stop_after_validations": 0,
    }
    assert reference.dataset.n_val == 0
    assert reference.evaluate.weights == "auto"


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("apple2orange", "apple2orange"),
        ("facades", "facades"),
        ("horse2zebra", "horse2zebra"),
        ("iphone2dslr", "iphone2dslr_flower"),
        ("maps", "maps"),
        ("monet2photo", "monet2photo"),
        ("summer2winter", "summer2winter_yosemite"),
    ],
)
def test_the_data_sets_of_the_paper_take_the_reference_method(name: str, dataset: str) -> None:
    assert resolved(name).dataset.name == dataset
    keys = METHOD | {"dataset.limit", "dataset.val_fraction"}
    assert values(over(PARAMS, name), keys) == values(over(PARAMS, "reference"), keys)


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        (
            "walkthrough",
            {
                "dataset.limit": 50,
                "preprocess.mode": "scale_shortside_and_crop",
                "model.init_bias": "uniform",
                "loss.score_per": "picture",
                "schedule.n_epochs": 101,
                "schedule.n_epochs_decay": 99,
            },
        ),
        ("course", {"model.netG": "unet_256", "model.norm": "batch", "loss.lambda_identity": 0.0}),
        (
            "horse2zebra-best",
            {
                "dataset.val_fraction": 0.05,
                "optimizer.lr": 0.0004,
                "train.batch_size": 4,
                "train.ema_decay": 0.999,
                "train.arithmetic": "fast",
                "train.precision": "auto",
                "train.validate_every_epochs": 5,
            },
        ),
        (
            "male2female",
            {
                "preprocess.mode": "scale_shortside_and_crop",
                "preprocess.load_size": 143,
                "preprocess.crop_size": 128,
                "model.norm": "batch",
                "model.netD": "same_size",
                "loss.lambda_identity": 0.0,
                "train.epoch_length": "min",
            },
        ),
    ],
)
def test_how_the_others_differ_from_the_reference(name: str, differs: dict[str, Any]) -> None:
    keys = METHOD | {"dataset.limit", "dataset.val_fraction"}
    ours, reference = values(over(PARAMS, name), keys), values(over(PARAMS, "reference"), keys)
    assert {key: ours[key] for key in keys if ours[key] != reference[key]} == differs


def test_the_data_of_the_others() -> None:
    assert resolved("walkthrough").dataset.name == "summer2winter_yosemite"
    assert resolved("horse2zebra-best").dataset.name == "horse2zebra"
    faces = resolved("male2female").dataset
    assert (faces.name, faces.table_column, faces.table_A, faces.table_B) == ("celeba", "Male", [1], [-1])


GENERATOR, DISCRIMINATOR = 11_378_179, 2_764_737  # of the paper, counted on the authors' weights
NORMED_G, NORMED_D = 64 + 128 + 256 + 18 * 256 + 128 + 64, 128 + 256 + 512  # channels before a norm


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_of_a_preset_at_its_real_size(name: str) -> None:
    settings = resolved(name)
    counts = {  # BatchNorm has a scale and a shift a channel, where the convolution before InstanceNorm has a bias
        "course": (54_413_955, DISCRIMINATOR + NORMED_D),
        "male2female": (GENERATOR + NORMED_G, DISCRIMINATOR + NORMED_D),
    }
    maps = {256: 30, 128: 16}  # scores a side; the second with padding that keeps the size
    side, batch = settings.preprocess.crop_size, settings.train.batch_size
    with torch.device("meta"):
        pictures = torch.empty(batch, 3, side, side)
        for direction in ("G_AB", "G_BA"):
            generator = networks.build_generator(settings.model, direction)
            assert count(generator) == counts.get(name, (GENERATOR, DISCRIMINATOR))[0]
            assert generator(pictures).shape == pictures.shape
        for domain in ("A", "B"):
            discriminator = networks.build_discriminator(settings.model, domain)
            assert count(discriminator) == counts.get(name, (GENERATOR, DISCRIMINATOR))[1]
            assert discriminator(pictures).shape == (batch, 1, maps[side], maps[side])


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_walkthrough_decays_by_its_own_rule() -> None:
    settings = resolved("walkthrough").schedule
    assert schedule.total_epochs(settings) == 200
    for epoch in range(200):
        assert schedule.factor(epoch, settings) == pytest.approx(1 - max(0, epoch - 100) / 100, abs=1e-12)


# How one is written into params.yaml


@pytest.mark.parametrize("name", NAMES)
def test_applying_changes_the_lines_of_the_changed_keys_and_nothing_else(project: Path, name: str) -> None:
    before = (project / "params.yaml").read_text()
    changes = presets.differences(presets.resolve(name), Path("params.yaml"))
    status, output = cyclegan("apply", name)
    after = (project / "params.yaml").read_text()
    assert status == 0
    assert yaml.safe_load(after) == over(PARAMS, name)
    config.load(Path("params.yaml"))
    printed = (re.fullmatch(r"(\S+): (.+) -> (.+)", line) for line in output.splitlines())
    assert {line[1]: (yaml.safe_load(line[2]), yaml.safe_load(line[3])) for line in printed if line} == changes
    assert len(output.splitlines()) == len(changes) > 8
    pairs = list(zip(before.splitlines(), after.splitlines(), strict=True))
    touched = [(old, new) for old, new in pairs if old != new]
    assert len(touched) == len(changes)
    for old, new in touched:
        key, value, comment = parts(old)
        assert parts(new) == (key, parts(new)[1], comment)
        assert parts(new)[1] != value
    assert after.endswith("\n")
    assert {path.name for path in project.iterdir()} == {"presets", "params.yaml"}


def parts(line: str) -> tuple[str, str, str]:
    """Key with its indentation, value, and comment with the one space before it."""
    found = re.fullmatch(r"( *\w+): (\S+|\[.*?\])( #.*)?", line)
    assert found, line
    return found[1], found[2], found[3] or ""


@pytest.mark.parametrize("name", NAMES)
def test_applying_twice_changes_nothing_the_second_time(project: Path, name: str) -> None:
    git(project)
    assert cyclegan("apply", name)[0] == 0
    before, time = (project / "params.yaml").read_bytes(), (project / "params.yaml").stat().st_mtime_ns
    status, output = cyclegan("apply", name)
    assert status == 0
    assert output == f"nothing changed: params.yaml has every value of the preset {name}\n"
    assert ((project / "params.yaml").read_bytes(), (project / "params.yaml").stat().st_mtime_ns) == (before, time)


def test_one_after_another_is_the_last_and_the_way_back_restores_every_byte(project: Path) -> None:
    assert cyclegan("apply", "reference")[0] == 0
    first = (project / "params.yaml").read_bytes()
    for name in ("male2female", "walkthrough", "course", "reference"):
        assert cyclegan("apply", name)[0] == 0
    back = yaml.safe_load((project / "params.yaml").read_text())
    assert back["dataset"].pop("name") == "summer2winter_yosemite"  # the reference names none
    again = yaml.safe_load(first)
    del again["dataset"]["name"]
    assert back == again
    last = (project / "params.yaml").read_bytes()
    assert last.replace(b"  name: summer2winter_yosemite", b"  name: openmoji") == first


PLAIN = """\
# head

seed: 0 # of all draws

dataset:
  # about names
  name: "openmoji"   # quoted
  limit: null # none
  url: ~
  table_A: [1] # men
  table_B:
  - -1 # women
  - 0

train:
  flip: True      # aligned with
  rate: 1.0e-3    # this
  plain: 5

deep:
    by: yes
    four: 4 # spaces

# tail
"""


@pytest.mark.parametrize(
    ("overlay", "lines"),
    [
        ({"seed": 123456}, {"seed: 0 # of all draws": "seed: 123456 # of all draws"}),
        ({"dataset.limit": 50}, {"  limit: null # none": "  limit: 50 # none"}),
        ({"dataset.url": "http://x/y"}, {"  url: ~": "  url: 'http://x/y'"}),
        ({"dataset.table_A": [1, "yes"]}, {"  table_A: [1] # men": "  table_A: [1, 'yes'] # men"}),
        ({"train.plain": 5.5, "seed": 1}, {"  plain: 5": "  plain: 5.5", "seed: 0 # of": "seed: 1 # of"}),
        ({"train.flip": False}, {"  flip: True      # al": "  flip: false     # al"}),
        ({"train.rate": 2e-05}, {"  rate: 1.0e-3    # this": "  rate: 2.0e-05   # this"}),
        ({"train.rate": 1e22}, {"  rate: 1.0e-3    # this": "  rate: 1.0e+22   # this"}),
        ({"train.rate": None}, {"  rate: 1.0e-3    # this": "  rate: null      # this"}),
        ({"train.rate": "on"}, {"  rate: 1.0e-3    # this": "  rate: 'on'      # this"}),
        ({"train.rate": "é " * 99 + "é"}, {"  rate: 1.0e-3    # this": f"  rate: {'é ' * 99 + 'é'} # this"}),
        ({"train.rate": "x" * 300}, {"  rate: 1.0e-3    # this": f"  rate: {'x' * 300} # this"}),
        ({"deep.four": 12345}, {"    four: 4 # spaces": "    four: 12345 # spaces"}),
        ({"dataset.name": "a" * 40}, {'  name: "openmoji"   # quoted': f'  name: "{"a" * 40}" # quoted'}),
    ],
)
def test_any_value_is_written_so_that_pyyaml_reads_it_back_and_other_lines_stay(
    overlay: dict[str, Any], lines: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "parse", lambda raw, file: None)  # these are no parameters of ours
    file = tmp_path / "params.yaml"
    file.write_text(PLAIN)
    presets.apply(overlay, file)
    expected = PLAIN
    for old, new in lines.items():
        assert old in expected
        expected = expected.replace(old, new)
    assert file.read_text() == expected
    assert presets.differences(overlay, file) == {}


def test_a_list_over_many_lines_may_change_its_layout_but_not_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "parse", lambda raw, file: None)
    file = tmp_path / "params.yaml"
    file.write_text(PLAIN)
    presets.apply({"dataset.table_B": [7]}, file)
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(PLAIN) | {
        "dataset": yaml.safe_load(PLAIN)["dataset"] | {"table_B": [7]}
    }
    for comment in ("# head", "# about names", "# quoted", "# men", "# aligned with", "# tail"):
        assert comment in file.read_text()


def test_a_wrong_value_or_key_leaves_the_file_untouched(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    for wrong, word in {
        "loss:\n  lambda_A: -1.0\n": "loss.lambda_A is -1.0 in params.yaml; it must be >= 0",
        "loss:\n  lamda_A: 1.0\n": "did you mean",
        "optimizer:\n  lr: 2e-4\n": "optimizer.lr is the text '2e-4'",
        "preprocess:\n  crop_size: 100\n": "a crop cannot be larger",
        "loss: 5\n": "loss is 5 in params.yaml; it must be a section",
        "seed: x\n": "seed is 'x'",
        "nonsense:\n  x: 1\n": "nonsense in params.yaml is no parameter",
        "loss:\n  lambda_A:\n    deep: 1\n": "loss.lambda_A is {'deep': 1}",
    }.items():
        (project / "presets/wrong.yaml").write_text(f"# wrong\n{wrong}")
        status, output = cyclegan("apply", "wrong")
        assert status == 1
        assert "error: params.yaml stays as it is, because with this preset it would be wrong:" in output
        assert word in output
        assert (project / "params.yaml").read_bytes() == before
        assert list(project.glob("params*")) == [project / "params.yaml"]


def test_a_preset_can_mend_what_is_wrong(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("lambda_A: 10.0", "lambda_A: -3"))
    assert cyclegan("apply", "reference")[0] == 0
    assert config.load(path).loss.lambda_A == 10.0


def test_params_that_lack_a_key_are_not_filled_up(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "lambda_gp:" not in line))
    before = path.read_bytes()
    status, output = cyclegan("apply", "reference")
    assert status == 1
    assert "params.yaml lacks loss.lambda_gp" in output
    assert path.read_bytes() == before
    path.write_text(re.sub(r"optimizer:\n.*\n.*\n", "optimizer: 5\n", (ROOT / "params.yaml").read_text()))
    assert "params.yaml lacks optimizer.beta1, optimizer.lr" in cyclegan("apply", "reference")[1]


def test_a_link_stays_a_link_and_permissions_stay(project: Path) -> None:
    path = project / "params.yaml"
    path.rename(project / "real.yaml")
    (project / "real.yaml").chmod(0o640)
    path.symlink_to("real.yaml")
    assert cyclegan("apply", "maps")[0] == 0
    assert path.is_symlink()
    assert (project / "real.yaml").stat().st_mode & 0o777 == 0o640
    assert config.load(path).dataset.name == "maps"


def test_another_parameter_file(project: Path) -> None:
    (project / "deep").mkdir()
    shutil.copy("params.yaml", "deep/mine.yaml")
    before = (project / "params.yaml").read_bytes()
    assert cyclegan("apply", "maps", "--params", "deep/mine.yaml")[0] == 0
    assert config.load(Path("deep/mine.yaml")).dataset.name == "maps"
    assert (project / "params.yaml").read_bytes() == before


# Edits that git does not have


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace("seed: 0", "seed: 7"))


@pytest.mark.parametrize("how", ["edited", "staged", "untracked"])
def test_uncommitted_edits_are_not_mixed_with_a_preset(project: Path, how: str) -> None:
    path = project / "params.yaml"
    git(project)
    if how == "untracked":
        run(project, "git", "rm", "-q", "--cached", "params.yaml")
        run(project, "git", "commit", "-q", "-m", "without")
    else:
        edit(path)
    if how == "staged":
        run(project, "git", "add", "params.yaml")
    before = path.read_bytes()
    status, output = cyclegan("apply", "maps")
    assert status == 1
    assert output.startswith("error: params.yaml has edits that git does not have")
    assert all(remedy in output for remedy in ("git add params.yaml", "git commit", "git stash", "--force"))
    assert path.read_bytes() == before
    assert cyclegan("apply", "maps", "--force")[0] == 0
    after = config.load(path)
    assert (after.dataset.name, after.seed) == ("maps", 0 if how == "untracked" else 7)


def test_edits_elsewhere_do_not_matter(project: Path) -> None:
    git(project)
    (project / "new.txt").write_text("")
    (project / "presets/maps.yaml").write_text((project / "presets/maps.yaml").read_text() + "# more\n")
    assert cyclegan("apply", "maps")[0] == 0


# Presets that extend others


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make(**texts: str) -> Path:
        for name, content in texts.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        return tmp_path

    return make


def test_a_chain_is_applied_from_its_far_end(make: Callable[..., Path]) -> None:
    folder = make(
        a="# A\nseed: 1\nloss: {lambda_A: 1.0, lambda_B: 1.0}\ndataset: {table_A: [1, 2]}\n",
        b="extends: a\nloss: {lambda_B: 2.0, lambda_identity: 2.0}\n",
        c="extends: b\ndataset: {table_A: [3]}\nloss: {lambda_identity: 3.0}\n",
    )
    overlay = presets.resolve("c", folder)
    assert overlay == {
        "seed": 1,
        "loss.lambda_A": 1.0,
        "loss.lambda_B": 2.0,
        "loss.lambda_identity": 3.0,
        "dataset.table_A": [3],
    }
    assert list(overlay) == ["seed", "loss.lambda_A", "loss.lambda_B", "loss.lambda_identity", "dataset.table_A"]
    assert presets.names(folder) == ["a", "b", "c"]
    assert [presets.describe(name, folder) for name in "abc"] == ["A", "", ""]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": "extends: a\n"}, r"a\.yaml extends itself \(a -> a\); take"),
        ({"a": "extends: b\n", "b": "extends: c\n", "c": "extends: b\n"}, r"b\.yaml extends itself \(a -> b -> c -> b\)"),
        ({"a": "extends: reverence\n", "reference": ""}, r"a\.yaml extends reverence, but .* did you mean reference\?"),
        ({"a": "extends: [b]\n", "b": ""}, r"a\.yaml extends \['b'\], but there is no preset"),
        ({"a": "# nothing\n"}, r"a\.yaml must hold sections"),
        ({"a": "- 1\n"}, r"a\.yaml must hold sections"),
        ({"a": "loss: [\n"}, r"a\.yaml is not valid YAML"),
        ({"a": "loss:\n  lambda_A: 1.0\n  lambda_A: 2.0\n"}, r"the key 'lambda_A' stands here twice"),
        ({"a": "loss: {}\nloss: {}\n"}, r"the key 'loss' stands here twice"),
        ({"b": ""}, r"^there is no preset a\. There are: b$"),
        ({"horse2zebra": "", "maps": ""}, r"^there is no preset a\. There are: horse2zebra, maps$"),
        ({}, r"^there are no presets in .*; run from the project's folder$"),
    ],
)
def test_what_is_wrong_with_a_preset(make: Callable[..., Path], texts: dict[str, str], message: str) -> None:
    folder = make(**texts)
    with pytest.raises(UserError, match=message):
        presets.resolve("a", folder)


# The commands


def test_list_is_a_table(project: Path) -> None:
    status, output = cyclegan("list")
    rows = [row for line in output.splitlines() if (row := re.fullmatch(r"(\S+) +(\S.*)", line))]
    assert status == 0
    assert [row[1] for row in rows] == NAMES
    assert len({row.start(2) for row in rows}) == 1, "a table has columns"
    described = {row[1]: row[2] for row in rows}
    assert described["summer2winter"] == "Yosemite in summer to winter and back, by the reference method"
    assert described["maps"].startswith("Aerial photographs")


def test_show_marks_what_differs(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    (project / "presets/mine.yaml").write_text(
        "# Mine\nextends: theirs\noptimizer:\n  lr: 1.0e-5\ndataset:\n  limit: 9\n  table_A: [1]\n"
    )
    (project / "presets/theirs.yaml").write_text("# Theirs\noptimizer:\n  lr: 1.0\n  beta1: 0.5\n")
    (project / "params.yaml").write_text(re.sub("lr: 0.0004", "lr: 3", before.decode()))
    status, output = cyclegan("show", "mine")
    assert status == 0
    assert output.splitlines() == [
        "optimizer.lr: 1.0e-05  # params.yaml has 3",
        "optimizer.beta1: 0.5",
        "dataset.limit: 9  # params.yaml has null",
        "dataset.table_A: [1]",
        "2 of 4 differ from params.yaml",
    ]


@pytest.mark.parametrize("command", ["show", "apply"])
def test_an_unknown_preset_is_named_with_its_nearest_and_the_list(project: Path, command: str) -> None:
    status, output = cyclegan(command, "horse2zebr")
    assert status == 1
    assert output == (f"error: there is no preset horse2zebr; did you mean horse2zebra? There are: {', '.join(NAMES)}\n")


@pytest.mark.parametrize("arguments", [("list",), ("show", "maps"), ("apply", "maps")])
def test_outside_the_project_every_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cyclegan(*arguments) == (1, "error: there are no presets in presets; run from the project's folder\n")


@pytest.mark.parametrize("command", ["show", "apply"])
def test_parameters_that_cannot_be_read(project: Path, command: str) -> None:
    for content, word in {
        b"": "cannot read",
        b"loss: [": "not valid YAML",
        b"5": "must hold sections",
        b"\xff": "UTF-8",
    }.items():
        (project / "params.yaml").unlink(missing_ok=True)
        if content:
            (project / "params.yaml").write_bytes(content)
        status, output = cyclegan(command, "maps")
        assert status == 1
        assert output.startswith("error: ")
        assert word in output
        assert "params.yaml" in output


# --- which preset params.yaml is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_params_that_a_preset_was_applied_to_are_that_preset(project: Path, name: str) -> None:
    assert presets.matching(values_of(project)) is None, "the default run is none of them"
    presets.apply(presets.resolve(name), project / "params.yaml")
    assert presets.matching(values_of(project)) == name
    other_ways = {"evaluate.protocols": ["kid"], "dataset.url": "http://mirror/x.zip", "runtime.device": "cpu"}
    for key, value in other_ways.items():
        assert presets.matching(values_of(project) | {key: value}) == name, key
    assert presets.matching(values_of(project) | {"loss.lambda_A": 11.0}) is None
    none = dict.fromkeys(("walkthrough", "male2female", "horse2zebra-best"))
    of_any_data = ({"course": "course"} | none).get(name, "reference")
    assert presets.matching(values_of(project) | {"dataset.name": "folder"}) == of_any_data


def test_a_preset_that_cannot_be_read_is_none(project: Path) -> None:
    presets.apply(presets.resolve("maps"), project / "params.yaml")
    (project / "presets/maps.yaml").write_text("extends: nobody\n")
    (project / "presets/empty.yaml").write_text("{}\n")
    assert presets.matching(values_of(project)) == "reference"
    shutil.rmtree(project / "presets")
    assert presets.matching(values_of(project)) is None


def values_of(project: Path) -> dict[str, Any]:
    """The parameters by dotted name, as the train stage gives them."""
    return flatten(config.load(project / "params.yaml").model_dump(mode="json"))
