"""`cyclegan check`: everything that can be known before training, without training and without writing anything."""

import math
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from cyclegan import images, lineage, tracking
from cyclegan.config import Config
from cyclegan.data import geometry
from cyclegan.data.batches import Batch
from cyclegan.data.inspection import Report, inspect
from cyclegan.data.layout import DOMAINS, RAW_SETS
from cyclegan.data.plan import Plan, pack, unpack
from cyclegan.data.problems import as_table, count
from cyclegan.device import autocast, choose_device, choose_precision, make_deterministic, out_of_memory_explained
from cyclegan.errors import UserError
from cyclegan.pipeline import paths
from cyclegan.pipeline.continuation import continue_finished
from cyclegan.pipeline.train import LESS_MEMORY
from cyclegan.pipeline.validating import HOLD_OUT, refuse_to_do_without
from cyclegan.sources.provenance import Provenance
from cyclegan.training import schedule
from cyclegan.training.checkpoint import KEPT, state_tensors
from cyclegan.training.loop import MOST_SAMPLES
from cyclegan.training.program import step_mode
from cyclegan.training.state import Canvas, TrainState, initial
from cyclegan.training.step import step
from cyclegan.training.validation import Validation

TIMED_STEPS = 3  # after one that warms up
COPIES = 2  # of an output: in the workspace and in DVC's cache
FORMATS = 5  # of an exported generator's weights: safetensors, ONNX, program, and two copies in MLflow
SPARE = 1.2  # share of what is estimated that should be free


@dataclass
class Verdict:
    """What the checks found.

    Attributes:
        lines: subject and finding, in the order in which they were checked.
        failures: what keeps `dvc repro` from succeeding, each with its remedy.
        warnings: what does not.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(config: Config) -> Verdict:
    """Judge data and settings, and measure some steps on random pictures to estimate memory, disk and time."""
    verdict = Verdict()
    report = _check_data(config, verdict)
    _check_training(config, report, verdict)
    _check_tracking(config, verdict)
    return verdict


def _check_data(config: Config, verdict: Verdict) -> Report | None:
    """The pictures themselves where they are the user's own, else as they were downloaded."""
    own = config.dataset.name == "folder"
    folder = Path(config.dataset.path) if own else paths.RAW
    if not any((folder / name).is_dir() for name in RAW_SETS):
        if own:
            verdict.failures.append(f"{folder} has no trainA and trainB; put your pictures there, or set dataset.path")
        else:
            verdict.warnings.append(f"{folder} is not there yet; `dvc repro download` brings it: check again after that")
        return None
    if own:
        paired_test = paired_val = config.dataset.paired_test
    else:
        source = Provenance.load(folder)
        paired_test, paired_val = source.paired_test, source.paired_val
    report = inspect(folder, config, paired_test=paired_test, paired_val=paired_val)
    if report.problems:
        print(as_table(report.problems, folder))
    verdict.failures += report.failures
    sets = ", ".join(f"{entry.usable} in {name}" for name, entry in report.sets.items())
    verdict.lines.append(("data", f"{folder}: {sets}; {count(report.problems)}"))
    return report


def _check_training(config: Config, report: Report | None, verdict: Verdict) -> None:
    try:
        device = choose_device(config.runtime.device)
        precision = choose_precision(config.train.precision, device)
        verdict.lines.append(("device", f"{device}, {precision}"))
        canvases = [_canvas(config, report, domain) for domain in DOMAINS]
        sizes = {"train.batch_size": config.train.batch_size, "preprocess.crop_size": config.preprocess.crop_size}
        with out_of_memory_explained(sizes, LESS_MEMORY):
            state = initial(config, canvases[0], canvases[1], device)
            plan = _plan(config, report)
            total = plan.steps_per_epoch * schedule.total_epochs(config.schedule)
            if config.train.continue_from is not None and report is not None:
                said = continue_finished(state, config, lineage.project_root(), plan.steps_per_epoch, total)
                verdict.lines.append(("continues", said))
            if report is not None and "valA" not in report.sets:
                refuse_to_do_without(config)
            looks = _looks(config, report, state, plan)
            look = _seconds_a_look(state, config, device) if looks else 0.0
            seconds = _seconds_a_step(state, config, canvases, plan, device)
    except UserError as error:
        verdict.failures.append(str(error))
        return
    _estimate_memory(device, verdict)
    _estimate_disk(config, report, state, verdict)
    finding = f"{_duration(seconds)} a step"
    if report is not None:
        left = total - state.step
        finding += f", {left:,} steps: {_duration(left * seconds + looks * look)} of training"
        finding += f", {_duration(looks * look)} of it validation" if looks else ""
        finding += "; evaluation and export come on top"
    verdict.lines.append(("time", finding))
    if report is not None and config.train.validate_every_epochs and "valA" not in report.sets:
        verdict.warnings.append(f"no validation pictures, so that no best generators will be chosen; {HOLD_OUT}")


def _canvas(config: Config, report: Report | None, domain: str) -> Canvas:
    """The crop, or where there is none the largest picture."""
    if config.preprocess.crops or report is None or not report.sets[f"train{domain}"].sizes:
        return Canvas(config.preprocess.crop_size, config.preprocess.crop_size)
    scaled = [
        geometry.training_size(width, height, config.preprocess) for width, height in report.sets[f"train{domain}"].sizes
    ]
    return Canvas(max(height for _, height in scaled), max(width for width, _ in scaled))


def _plan(config: Config, report: Report | None) -> Plan:
    n_A, n_B = (report.sets[f"train{domain}"].usable if report else 1 for domain in DOMAINS)
    return Plan(
        seed=config.seed,
        n_A=max(n_A, 1),
        n_B=max(n_B, 1),
        batch_size=config.train.batch_size,
        pool_size=config.train.pool_size,
        flip=config.preprocess.flip,
        epoch_length=config.train.epoch_length,
    )


def _looks(config: Config, report: Report | None, state: TrainState, plan: Plan) -> int:
    """How often a picture is looked at in all validations to come, of either domain."""
    if report is None or "valA" not in report.sets:
        return 0
    pictures = sum(report.sets[f"val{domain}"].usable for domain in DOMAINS)
    total = schedule.total_epochs(config.schedule)
    epochs = range(state.step // plan.steps_per_epoch, total)
    every = config.train.validate_every_epochs
    scored = sum((epoch + 1) % every == 0 or epoch + 1 == total for epoch in epochs) if every and state.average else 0
    return pictures * (len(epochs) + scored)


def _seconds_a_look(state: TrainState, config: Config, device: torch.device) -> float:
    """What a picture takes to be translated and back; scores of sets, whose features take more, are not counted."""
    side, precision = config.preprocess.crop_size, autocast(choose_precision(config.train.precision, device), device)
    real_A, real_B = (
        torch.rand(config.train.batch_size, depth, side, side, device=device) * 2 - 1
        for depth in (config.model.input_nc, config.model.output_nc)
    )
    validation, took = Validation(real_A, real_B, config.train.batch_size), []
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        validation.after_epoch(state, 1, precision, last=True)
        took.append(time.perf_counter() - started)
    return took[-1] / (2 * config.train.batch_size)


def _seconds_a_step(state: TrainState, config: Config, canvases: list[Canvas], plan: Plan, device: torch.device) -> float:
    """The median of some steps on random pictures; the state is of no use afterwards."""
    make_deterministic(config.train.deterministic)
    channels = (config.model.input_nc, config.model.output_nc)
    pictures = [
        torch.rand(config.train.batch_size, depth, canvas.height, canvas.width, device=device) * 2 - 1
        for depth, canvas in zip(channels, canvases, strict=True)
    ]
    mode = step_mode(config, choose_precision(config.train.precision, device), device)
    before, took = state.step, []
    for number in range(1 + TIMED_STEPS):
        started = time.perf_counter()
        decisions = unpack(pack(plan.decisions(before + number)).to(device))
        terms = step(state.networks, state.optimizers, state.pools, Batch(*pictures), decisions, config.loss, mode)
        next(iter(terms.values())).item()  # waits for the device
        took.append(time.perf_counter() - started)
    return statistics.median(took[1:])


def _estimate_memory(device: torch.device, verdict: Verdict) -> None:
    if device.type == "cuda":
        needed = torch.cuda.max_memory_reserved(device)
        free, total = torch.cuda.mem_get_info(device)
        verdict.lines.append(("memory", f"{_size(needed)} of the {_size(total)} of {torch.cuda.get_device_name(device)}"))
        free += torch.cuda.memory_reserved(device)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        needed = peak if sys.platform == "darwin" else peak * 1024
        free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
        verdict.lines.append(("memory", f"{_size(needed)} of {_size(free)} that are free"))
    if needed * SPARE > free:
        verdict.warnings.append(
            f"training needs about {_size(needed)} of memory, and {_size(free)} are free; end other programs, or lower "
            f"train.batch_size or preprocess.crop_size"
        )


def _estimate_disk(config: Config, report: Report | None, state: TrainState, verdict: Verdict) -> None:
    needed = sum(_disk(config, report, state))
    free = shutil.disk_usage(lineage.project_root()).free
    verdict.lines.append(("disk", f"{_size(needed)} of {_size(free)} that are free in {lineage.project_root()}"))
    if needed * SPARE > free:
        verdict.failures.append(
            f"data, checkpoints and results need about {_size(needed)} of disk, and {_size(free)} are free; make room, or "
            f"move the project"
        )


def _disk(config: Config, report: Report | None, state: TrainState) -> Iterator[float]:
    """Bytes of everything that a run writes: raw and prepared pictures, state, weights, exports, sample grids."""
    if report is not None:
        folder = Path(config.dataset.path) if config.dataset.name == "folder" else paths.RAW
        yield COPIES * sum(path.stat().st_size for name in RAW_SETS for path in images.below(folder / name))
        yield COPIES * sum(entry.packed_bytes for entry in report.sets.values())
    whole = sum(tensor.nbytes for tensor in state_tensors(state).values())
    yield (KEPT + 1 + (COPIES if config.train.keep_state else 0)) * whole
    generators = sum(p.nbytes for network in state.networks.generators().values() for p in network.parameters())
    weights = sum(p.nbytes for _, network in state.networks.items() for p in network.parameters())
    chosen = generators if config.train.validate_every_epochs and report is not None and "valA" in report.sets else 0
    yield (KEPT + 1 + (COPIES if config.train.keep_state else 0)) * chosen  # the best so far, in the state
    yield COPIES * (weights + chosen + (generators if state.average else 0)) + (COPIES + FORMATS) * generators
    grid = config.train.n_samples * 4 * 3 * max(config.preprocess.crop_size, images.CELL) ** 2
    yield 2 * MOST_SAMPLES * grid


def _check_tracking(config: Config, verdict: Verdict) -> None:
    try:
        store = tracking.store_of(config.tracking, lineage.project_root())
    except UserError as error:
        verdict.failures.append(str(error))
        return
    trouble = tracking.trouble(store)
    verdict.lines.append(("tracking", f"MLflow at {store}: {trouble or 'can be reached'}"))
    if trouble:
        verdict.warnings.append(f"MLflow at {store} cannot be used now; the log of a run would wait until it can")


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
