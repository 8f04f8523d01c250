"""All that a training is at one instant."""

from dataclasses import dataclass

import torch
from torch import nn

from cyclegan.config import Config
from cyclegan.models import networks as models
from cyclegan.models.networks import Networks
from cyclegan.training.history import History
from cyclegan.training.losses import term_names
from cyclegan.training.pool import Pool
from cyclegan.training.step import Optimizers, Pools


@dataclass
class TrainState:
    """The state after `step` steps. No random state: the plan draws from (seed, step).

    Attributes:
        average: the generators' moving averages by name, empty where none are kept.
        run_id: the MLflow run, None before it is opened.
    """

    networks: Networks
    average: dict[str, nn.Module]
    optimizers: Optimizers
    pools: Pools
    history: History
    step: int = 0
    run_id: str | None = None

    def generators(self) -> dict[str, nn.Module]:
        """The generators to show: the averages where they are kept."""
        return self.average or self.networks.generators()


def initial(config: Config, device: torch.device) -> TrainState:
    """The state before the first step."""
    networks = models.build(config.model, config.seed, device)
    average: dict[str, nn.Module] = {}
    if config.train.ema_decay > 0:
        average = models.build(config.model, config.seed, device).generators()  # the same first weights
        for network in average.values():
            network.requires_grad_(False)
    betas = (config.optimizer.beta1, 0.999)
    optimizers = Optimizers(
        G=torch.optim.Adam(networks.generator_parameters(), config.optimizer.lr, betas, fused=True),
        D=torch.optim.Adam(networks.discriminator_parameters(), config.optimizer.lr, betas, fused=True),
    )
    size, side = config.train.pool_size, config.preprocess.crop_size
    pools = Pools(
        A=Pool.empty(size, config.model.input_nc, side, device), B=Pool.empty(size, config.model.output_nc, side, device)
    )
    history = History(term_names(config.loss), config.train.history_every_steps)
    return TrainState(networks, average, optimizers, pools, history)
