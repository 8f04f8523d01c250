"""All that a training is at one instant."""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from cyclegan.config import Config
from cyclegan.models import networks as models
from cyclegan.models.generators import ResnetGenerator
from cyclegan.models.layers import freeze_cancelled_biases
from cyclegan.models.networks import Networks
from cyclegan.models.weights import load_first_weights
from cyclegan.training.history import History
from cyclegan.training.losses import term_names
from cyclegan.training.pool import Pool, VariedPool
from cyclegan.training.selection import Selection
from cyclegan.training.step import Optimizers, Pools


@dataclass(frozen=True)
class Canvas:
    """The sizes of the pictures that a domain's training uses, in px: one size, or many up to height x width."""

    height: int
    width: int
    varied: bool = False


@dataclass
class TrainState:
    """The state after `step` steps. No random state: the plan draws from (seed, step).

    Attributes:
        average: the generators' moving averages by name, empty where none are kept.
        validation: after each epoch, the cycle losses of A's and of B's validation pictures; empty where there are none.
        selection: the scores of the validation pictures, the best generators by them, and whether training stopped early.
        training_id: names this training among those of the same params, data and code: its MLflow run bears it.
        computed_by: device, precision, PyTorch version and number of processes of its first step, on which the last digits
            depend.
        continued: which finished training this one began with; empty where it began at step 0.
        origins: where it began and, each time that this was elsewhere, where it went on: step, commit and so on, as text.
        given: the networks whose first weights `train.init_from` gave.
    """

    networks: Networks
    average: dict[str, nn.Module]
    optimizers: Optimizers
    pools: Pools
    history: History
    validation: list[tuple[float, float]] = field(default_factory=list)
    selection: Selection = field(default_factory=Selection)
    step: int = 0
    training_id: str = ""
    computed_by: dict[str, str] = field(default_factory=dict)
    continued: dict[str, str] = field(default_factory=dict)
    origins: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    def generators(self) -> dict[str, nn.Module]:
        """The generators to show: the averages where they are kept."""
        return self.average or self.networks.generators()


def initial(config: Config, canvas_A: Canvas, canvas_B: Canvas, device: torch.device) -> TrainState:
    """The state before the first step.

    Raises:
        UserError: `train.init_from` holds no weights, or others than `model` asks for.
    """
    networks = models.build(config.model, config.seed, device)
    if config.train.arithmetic == "fast":
        for network in vars(networks).values():
            network.to(memory_format=torch.channels_last)
            freeze_cancelled_biases(network)
    for generator in networks.generators().values():
        if isinstance(generator, ResnetGenerator):
            generator.checkpointed = config.train.checkpoint_activations
    given = load_first_weights(networks, config.model, Path(config.train.init_from))
    average: dict[str, nn.Module] = {}
    if config.train.ema_decay > 0:
        average = deepcopy(networks.generators())
        for network in average.values():
            network.requires_grad_(False)
    optimizers = Optimizers(
        G=_adam(networks.generator_parameters(), config, device),
        D=_adam(networks.discriminator_parameters(), config, device),
    )
    pools = Pools(  # a translation has the size of the picture it was made of
        A=_pool(config.train.pool_size, config.model.input_nc, canvas_B, device),
        B=_pool(config.train.pool_size, config.model.output_nc, canvas_A, device),
    )
    history = History(term_names(config.loss), config.train.history_every_steps)
    return TrainState(networks, average, optimizers, pools, history, given=given)


def _adam(parameters: list[nn.Parameter], config: Config, device: torch.device) -> torch.optim.Adam:
    """On CUDA, a fast one takes its rate from a tensor, so that a captured step is replayed with the rate of the day."""
    fast = config.train.arithmetic == "fast"
    captured = fast and device.type == "cuda"
    rate = torch.tensor(config.optimizer.lr, device=device) if captured else config.optimizer.lr
    return torch.optim.Adam(parameters, rate, (config.optimizer.beta1, 0.999), fused=fast, capturable=captured)


def _pool(size: int, channels: int, canvas: Canvas, device: torch.device) -> Pool:
    kind = VariedPool if canvas.varied else Pool
    return kind.empty(size, channels, canvas.height, canvas.width, device)
