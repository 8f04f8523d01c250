"""A throw-away copy of this project with tiny settings, for tests that run whole stages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CODE = ("src", "stages", "dvc.yaml", "params.yaml", "pictures", "presets", "weights/random", ".gitignore", ".dvcignore")

TINY = {  # all that a test relies on, so that the project's own settings may change
    "seed": 0,
    "dataset.name": "shapes",
    "dataset.image_size": 36,
    "dataset.n_train": 6,
    "dataset.n_test": 4,
    "dataset.n_val": 3,
    "dataset.limit": None,
    "dataset.val_fraction": 0.0,
    "preprocess.direction": "AtoB",
    "preprocess.mode": "resize_and_crop",
    "preprocess.load_size": 36,
    "preprocess.crop_size": 32,
    "preprocess.flip": True,
    "preprocess.reference_set": True,
    "model.netG": "resnet_6blocks",
    "model.netD": "n_layers",
    "model.norm": "instance",
    "model.dropout": False,
    "model.ngf": 4,
    "model.ndf": 4,
    "model.n_layers_D": 2,
    "model.input_nc": 3,
    "model.output_nc": 3,
    "model.init_type": "normal",
    "model.init_gain": 0.02,
    "model.init_bias": "zero",
    "loss.gan_mode": "lsgan",
    "loss.score_per": "patch",
    "loss.lambda_A": 10.0,
    "loss.lambda_B": 10.0,
    "loss.lambda_identity": 0.5,
    "optimizer.lr": 0.0002,
    "optimizer.beta1": 0.5,
    "schedule.lr_policy": "linear",
    "schedule.n_epochs": 2,
    "schedule.n_epochs_decay": 2,
    "train.launcher": "python",
    "train.init_from": "weights/random",
    "train.continue_from": None,
    "train.keep_state": True,
    "train.arithmetic": "fast",
    "train.batch_size": 2,
    "train.serial_batches": False,
    "train.epoch_length": "max",
    "train.pool_size": 3,
    "train.ema_decay": 0.99,
    "train.history_every_steps": 2,
    "train.n_samples": 2,
    "train.validate_every_epochs": 1,
    "train.validate_metric": "auto",
    "train.stop_after_validations": 0,
    "evaluate.model": "models/trained",
    "evaluate.weights": "auto",
    "evaluate.batch_size": 3,
    "evaluate.protocols": ["fid_clean", "kid"],
    "evaluate.bootstrap_samples": 100,
    "evaluate.gallery_size": 3,
    "export.register": False,
    "export.registered_model": None,
    "export.champion_metric": "kid_x1000_test",
    "tracking.system_metrics": False,
    "runtime.device": "cpu",
    "runtime.sample_every_steps": 6,
}


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated MLflow database to copy: making one takes seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("mlflow")
    store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "unused"))
    store.engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def workspace(tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, outside git, as the current folder."""
    folder = copy_project(tmp_path / "project")
    shutil.copy(mlflow_database, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return folder


def copy_project(target: Path, overrides: dict[str, Any] | None = None) -> Path:
    """Copy the code to `target` and write its params.yaml: TINY, then `overrides`, by dotted name."""
    target.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, target / name)
    set_params(target, TINY | (overrides or {}))
    return target


def set_params(project: Path, overrides: dict[str, Any]) -> None:
    """Change keys of params.yaml, by dotted name."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for name, value in overrides.items():
        *section, key = name.split(".")
        (params[section[0]] if section else params)[key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def run(project: Path, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project with this test's Python first on the path; output is captured as text."""
    done = subprocess.run(
        command, cwd=project, env=child_environment(project) | environment, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done


def child_environment(project: Path) -> dict[str, str]:
    """No state of the user's DVC, MLflow or git reaches the copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",  # tiny networks: more threads only wait for one another
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(project.parent / "dvc-site-cache"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
    }


def enter(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in the project with what a child's environment would be, until the test ends: for code that is called, not run."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "MLFLOW_TRACKING"))]:
        monkeypatch.delenv(name)
    for name, value in child_environment(project).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    monkeypatch.chdir(project)


def git_commit(project: Path, message: str) -> str:
    """Commit everything; returns the hash."""
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", message)
    return run(project, "git", "rev-parse", "HEAD").stdout.strip()
