"""Stage train: the networks are trained from data/prepared, resumably, under one MLflow run."""

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch
from torch import nn

from cyclegan import images, lineage, tracking
from cyclegan.config import STRIDES, Config, smallest_side
from cyclegan.data.batches import Loader, Resident, ResidentSet, Streaming
from cyclegan.data.layout import DOMAINS, Domain
from cyclegan.data.plan import Plan
from cyclegan.data.store import PixelSet, Store
from cyclegan.device import Precision, choose_device, choose_precision, make_deterministic, out_of_memory_explained
from cyclegan.errors import Interrupted, UserError
from cyclegan.models import weights as model_weights
from cyclegan.models.specs import Weights, discriminator_spec, generator_spec
from cyclegan.pipeline import paths
from cyclegan.pipeline.continuation import continue_finished
from cyclegan.pipeline.files import write_json
from cyclegan.pipeline.guard import Unchanged, sole_holder
from cyclegan.pipeline.signals import graceful_stop
from cyclegan.training import schedule
from cyclegan.training.checkpoint import restore_checkpoint, save_checkpoint, write_state
from cyclegan.training.execution import Execution, can_compile, choose_execution
from cyclegan.training.history import Row
from cyclegan.training.loop import Samples, Validation, fit
from cyclegan.training.program import Program
from cyclegan.training.progress import ProgressPrinter
from cyclegan.training.state import Canvas, TrainState, initial

LESS_MEMORY = "raise train.accumulate or set train.checkpoint_activations to true, which leave the training as it is"


def train(config: Config, unchanged: Unchanged) -> None:
    """Train, or continue the training of the same params, data and code; writes models/trained, the history and samples.

    The last checkpoint stays until the evaluate stage begins: only then has DVC recorded the result.

    Raises:
        Interrupted: a signal stopped it, after a checkpoint.
        UserError: no such device, no data, a loss that is not finite, another process at the same training, too little
            memory, or params, data or code that changed meanwhile.
    """
    root = lineage.project_root()
    log_store = tracking.store_of(config.tracking, root)
    store = Store(paths.PREPARED)
    key = lineage.train_key(Path(), config, store.digest)
    checkpoints = root / paths.CHECKPOINTS / key
    make_deterministic(config.train.deterministic)

    sizes = {"train.batch_size": config.train.batch_size, "preprocess.crop_size": config.preprocess.crop_size}
    alone = sole_holder(checkpoints.with_suffix(".lock"), "the training of the same params, data and code", "elsewhere")
    with alone, graceful_stop() as stop, out_of_memory_explained(sizes, LESS_MEMORY):
        device = choose_device(config.runtime.device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        data = _data(store, config, device)
        state = initial(config, *data.canvases, device)
        plan = data.plan
        total = plan.steps_per_epoch * schedule.total_epochs(config.schedule)
        restored = restore_checkpoint(state, checkpoints)
        precision, execution = _computing(config, state, data, device, total)
        print(f"training {key[:12]} on {device} in {precision}: {total} steps, {plan.steps_per_epoch} an epoch")
        if device.type == "cuda":
            print(f"on the GPU: {execution}")
        if restored is not None:
            print(f"continuing after step {state.step} ({restored.name})")
        else:
            state.training_id = uuid4().hex
            if config.train.continue_from is not None:
                print(continue_finished(state, config, root, plan.steps_per_epoch, total))
            elif state.given:
                print(f"first weights of {', '.join(state.given)} from {config.train.init_from}")
            save_checkpoint(state, checkpoints)  # killed at any time from here on, it continues under the same run
        revision = lineage.revision(Path())
        log = tracking.start_training(
            log_store,
            root,
            state.training_id,
            key,
            name=f"{store.summary['source']['name']} {key[:8]}",
            params=_params(config),
            tags=_tags(config, store, state, revision),
            data={"source": store.summary["source"]["name"], "digest": store.digest[:36], "commit": revision.commit},
            system_metrics=config.tracking.system_metrics,
        )
        progress = ProgressPrinter(state.step, total, 2 * config.train.batch_size)
        status = "FAILED"
        try:
            if revision.dirty:
                log.text(revision.diff, "uncommitted.diff")
            observer = _Observer(log, progress)
            with Program(state, plan, data.loader_on(device, execution), config, precision, execution) as program:
                fit(state, program, data.samples, data.validation, config, observer, checkpoints, stop)
            unchanged()
            _write_outputs(state, data.samples.draw(state, program.mode.precision), plan, store, config, key)
            for path in (paths.HISTORY, *paths.SAMPLES.values()):
                log.artifact(path)
            status = "FINISHED"
        except (Interrupted, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            progress.close()
            log.finish(status)


def _computing(
    config: Config, state: TrainState, data: "_Data", device: torch.device, total: int
) -> tuple[Precision, Execution]:
    """How the training is computed: as at its first step, on whatever it continues; says so where that cannot be."""
    cuda = device.type == "cuda"
    began = state.computed_by
    execution = choose_execution(
        config,
        cuda=cuda,
        free_bytes=torch.cuda.mem_get_info(device)[0] if cuda else 0,
        pixel_bytes=data.loader.train_A.pixels.nbytes + data.loader.train_B.pixels.nbytes,
        one_shape=not any(canvas.varied for canvas in data.canvases),
        steps=total,
        compiler=cuda and can_compile(),
        compiled_before=began["compiled"] == "true" if began else None,
    )
    here = {
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "precision": choose_precision(config.train.precision, device),
        "torch": torch.__version__,
        "compiled": str(execution.compiled).lower(),
    }
    began = began or here
    changed = [f"{name} {began[name]} then, {here[name]} now" for name in ("device", "torch") if began[name] != here[name]]
    if changed:
        print(
            f"warning: this training began elsewhere ({'; '.join(changed)}): it continues, but its last digits will not be "
            f"those of an undisturbed one"
        )
    state.computed_by = began
    return "bf16" if began["precision"] == "bf16" else "float32", execution


class _Observer:
    """Passes what happens in training on to the screen and to MLflow."""

    def __init__(self, log: tracking.TrainingRecorder, printer: ProgressPrinter) -> None:
        self.log, self.printer = log, printer

    def progress(self, step: int, epoch: int, terms: Row) -> None:
        self.printer.show(step, epoch, terms)

    def window(self, row: Row) -> None:
        named = {
            name if name in ("epoch", "lr") else f"loss/{name}": value for name, value in row.items() if name != "step"
        }
        self.log.curve(named, int(row["step"]))

    def validated(self, step: int, cycle_A: float, cycle_B: float) -> None:
        self.log.curve({"val/cycle_A": cycle_A, "val/cycle_B": cycle_B}, step)

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None:
        self.log.samples(step, grids)


@dataclass(frozen=True)
class _Data:
    """What training takes its pictures from, and the sizes of A's and of B's."""

    plan: Plan
    loader: Streaming
    samples: Samples
    validation: Validation | None
    canvases: tuple[Canvas, Canvas]

    def loader_on(self, device: torch.device, execution: Execution) -> Loader:
        """What brings the pictures to the device as was chosen."""
        size = self.loader.crop_size
        if not execution.resident or size is None:
            return self.loader
        return Resident(ResidentSet.of(self.loader.train_A, device), ResidentSet.of(self.loader.train_B, device), size)


def make_plan(store: Store, config: Config) -> Plan:
    """What each step of a training on the prepared pictures uses."""
    return Plan(
        seed=config.seed,
        n_A=len(store.open("train", "A")),
        n_B=len(store.open("train", "B")),
        batch_size=config.train.batch_size,
        pool_size=config.train.pool_size,
        flip=config.preprocess.flip,
        serial=config.train.serial_batches,
        epoch_length=config.train.epoch_length,
    )


def make_loader(store: Store, config: Config) -> Streaming:
    """What gathers a step's pictures.

    Raises:
        UserError: the pictures were prepared for smaller crops.
    """
    crop_size = config.preprocess.crop_size if config.preprocess.crops else None
    sets = store.open("train", "A"), store.open("train", "B")
    smallest = min(min(pictures.heights + pictures.widths) for pictures in sets)
    if crop_size is not None and smallest < crop_size:
        raise UserError(
            f"{store.folder} holds pictures of {smallest} px, too small for preprocess.crop_size of {crop_size} in "
            f"params.yaml, so they were prepared under other settings; run `dvc repro preprocess`"
        )
    return Streaming(*sets, crop_size)


def _data(store: Store, config: Config, device: torch.device) -> _Data:
    loader = make_loader(store, config)
    samples = Samples(*(store.open("test", domain).tensor(0, config.train.n_samples).to(device) for domain in DOMAINS))
    validation = None
    if "valA" in store.summary["sets"]:
        held_out = (store.open("val", domain) for domain in DOMAINS)
        real_A, real_B = (pictures.tensor(0, len(pictures)).to(device) for pictures in held_out)
        validation = Validation(real_A, real_B, config.train.batch_size)
    canvas_A, canvas_B = (_canvas(pictures, loader.crop_size, config) for pictures in (loader.train_A, loader.train_B))
    return _Data(make_plan(store, config), loader, samples, validation, (canvas_A, canvas_B))


def _canvas(pictures: PixelSet, crop_size: int | None, config: Config) -> Canvas:
    if crop_size is not None:
        return Canvas(crop_size, crop_size)
    stride, smallest = STRIDES[config.model.netG], smallest_side(config.model)
    for file, height, width in zip(pictures.files, pictures.heights, pictures.widths, strict=True):
        if height % stride or width % stride or min(height, width) < smallest:
            raise UserError(
                f"{file} is {width} x {height} px as prepared in mode {config.preprocess.mode}, but model.netG "
                f"{config.model.netG} needs multiples of {stride} px, and the networks at least {smallest} px; use another "
                f"preprocess.load_size, a mode that crops, or a resnet generator"
            )
    if not pictures.one_size and config.train.batch_size > 1:
        raise UserError(
            f"train.batch_size is {config.train.batch_size} in params.yaml, but preprocess.mode {config.preprocess.mode} "
            f"leaves pictures of different sizes, which cannot share a batch; set train.batch_size to 1, or use a mode "
            f"that crops"
        )
    return Canvas(max(pictures.heights), max(pictures.widths), varied=not pictures.one_size)


def _params(config: Config) -> dict[str, object]:
    """The parameters that training depends on, by dotted name."""
    return tracking.flatten(lineage.declared(config, lineage.stages(Path())["train"]["params"]))


def _tags(config: Config, store: Store, state: TrainState, revision: lineage.Revision) -> dict[str, str]:
    tags = tracking.flatten({"dataset": config.dataset.model_dump(mode="json")}) | {
        "dataset": store.summary["source"]["name"],
        "data_digest": store.digest,
        **state.computed_by,
        "mlflow.source.git.commit": revision.commit,
        "mlflow.source.git.branch": revision.branch,
        "git.dirty": str(revision.dirty).lower(),
    }
    if state.continued:
        tags |= {f"continued_from.{name}": value for name, value in state.continued.items()}
    experiment = lineage.experiment_name()
    if experiment:
        tags["dvc.experiment"] = experiment
    return {name: str(value) for name, value in tags.items()}


def _write_outputs(
    state: TrainState, grids: dict[str, images.Pixels], plan: Plan, store: Store, config: Config, key: str
) -> None:
    trained: dict[Weights, dict[str, nn.Module]] = {"raw": state.networks.generators(), "ema": state.average}
    for weights, generators in trained.items():
        for name, network in generators.items():
            if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
                raise UserError(
                    f"{name} has weights that are not finite after the last step; lower optimizer.lr in params.yaml"
                )
            spec = generator_spec(config.model, name, config.preprocess.crop_size, key, weights)
            model_weights.save(paths.generator(paths.TRAINED, name, weights), network.state_dict(), spec)
    judges: dict[Domain, nn.Module] = {"A": state.networks.D_A, "B": state.networks.D_B}
    for domain, network in judges.items():
        about_judge = discriminator_spec(config.model, domain, key)
        model_weights.save(paths.TRAINED / f"D_{domain}", network.state_dict(), about_judge)
    counts = {name: entry["pictures"] for name, entry in store.summary["sets"].items()}
    about = {
        "train_key": key,
        "data": {"digest": store.digest, **counts},
        "source": store.summary["source"],
        "params": _params(config),
    }
    if state.continued:
        about["continued_from"] = state.continued
    if config.train.keep_state:
        write_state(state, paths.TRAINED / paths.STATE, {"steps_per_epoch": plan.steps_per_epoch})
    write_json(paths.TRAINED / paths.TRAINING, about)
    state.history.write_csv(paths.HISTORY)
    for direction_name, grid in grids.items():
        images.write(paths.SAMPLES[direction_name], grid)
    last = state.history.row(-1)
    losses = {name: float(f"{value:.6g}") for name, value in last.items() if name not in ("step", "epoch", "lr")}
    metrics = {"train_key": key, "steps": state.step, "epochs": int(last["epoch"]), "loss": losses}
    if state.validation:
        cycle_A, cycle_B = state.validation[-1]
        metrics["validation"] = {"cycle_A": float(f"{cycle_A:.6g}"), "cycle_B": float(f"{cycle_B:.6g}")}
    write_json(paths.TRAIN_METRICS, metrics)
