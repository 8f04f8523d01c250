"""One training on several processes, as torchrun starts them: what each computes, and what they tell one another.

Every process draws the decisions of the whole batch, computes its own slice of it, and descends along the mean of all
gradients. So networks, optimizers and history pools are the same everywhere at every step, and the first process alone
writes for all. PyTorch's DistributedDataParallel is not used: it reduces gradients within one backward pass over one
forward pass, while a step here runs several passes through each network and confines its backward pass to one optimizer's
parameters.
"""

import atexit
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar, cast

import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from cyclegan.config import Config
from cyclegan.data.plan import Decisions, View
from cyclegan.device import choose_device
from cyclegan.errors import Abandoned, UserError
from cyclegan.models.layers import mixes_batch

PATIENCE = timedelta(minutes=30)  # with a process that lives and says nothing; one that ends is noticed at once

Batched = TypeVar("Batched", bound=Tensor | npt.NDArray[Any])
Result = TypeVar("Result")


@dataclass(frozen=True)
class Group:
    """The processes of a training; one by itself does nothing in any of these methods.

    All of a group call the same methods in the same order. One that has lost another raises UserError if it is the first,
    else Abandoned.

    Attributes:
        rank: which of them this one is, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that reads and writes for all."""
        return self.rank == 0

    def mine(self, batch: Batched) -> Batched:
        """This process's slice of a batch: [N, ...] -> [N / size, ...]."""
        if self.size == 1:
            return batch
        each = len(batch) // self.size
        return cast("Batched", batch[self.rank * each : (self.rank + 1) * each])

    def share_of(self, decisions: Decisions) -> Decisions:
        """The decisions over this process's slice; those of the history pools stay the whole batch's."""
        if self.size == 1:
            return decisions

        def view(whole: View) -> View:
            return View(*(self.mine(array) for array in vars(whole).values()))

        share_A, share_B = self.mine(decisions.share_A), self.mine(decisions.share_B)
        return replace(decisions, A=view(decisions.A), B=view(decisions.B), share_A=share_A, share_B=share_B)

    def gather(self, part: Tensor) -> Tensor:
        """The opposite of `mine`: [N / size, ...] on each process -> [N, ...] on all."""
        if self.size == 1:
            return part
        whole = part.new_empty(self.size * len(part), *part.shape[1:])
        self._with_all(dist.all_gather_into_tensor, whole, part.contiguous())
        return whole

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place; all of one type. One message carries them all."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._with_all(dist.all_reduce, flat)
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def share(self, content: bytes, source: int = 0) -> bytes:
        """What the process `source` gives, on all of them; at least one byte."""
        if self.size == 1:
            return content
        length = torch.tensor(len(content))
        self._with_all(dist.broadcast, length, source)
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == source:
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        self._with_all(dist.broadcast, buffer, source)
        return buffer.numpy().tobytes()

    def of_first(self, work: Callable[[], Sequence[float]]) -> list[float]:
        """The numbers that `work` gives on the first process, the only one that does it."""
        if self.size == 1:
            return list(work())
        text = ",".join(value.hex() for value in work()) if self.first else ""
        return [float.fromhex(value) for value in self.share(text.encode()).decode().split(",")]

    def agreed(self, work: Callable[[], Result]) -> Result:
        """What `work` gives here. Where it is an error for one process it is one for all, and the first one raises it.

        Raises:
            UserError: on the first process, as `work` raised it on whichever it was.
            Abandoned: on the others.
        """
        if self.size == 1:
            return work()
        said, result = "", []
        try:
            result.append(work())
        except UserError as error:
            place = "" if self.first else f" (said by process {self.rank} of 0..{self.size - 1}, on {platform.node()})"
            said = f"{error}{place}"
        failed = torch.tensor(self.rank if said else self.size)
        self._with_all(dist.all_reduce, failed, dist.ReduceOp.MIN)
        if int(failed) == self.size:
            return result[0]
        text = self.share(said.encode(), int(failed)).decode()
        if self.first:
            raise UserError(text)
        self.wait_for_first()
        raise Abandoned

    def asking(self, stop: Callable[[], int | None], every: int) -> Callable[[], int | None]:
        """`stop` as a question to all processes, which get the same answer at the same call: a signal's number, or None.

        Args:
            every: only each so many-th call asks the others, because that waits for them; those between say None.
        """
        if self.size == 1:
            return stop
        calls = count(1)

        def asked() -> int | None:
            if next(calls) % every:
                return None
            number = torch.tensor(stop() or 0)  # on the host: a GPU goes on meanwhile
            self._with_all(dist.all_reduce, number, dist.ReduceOp.MAX)
            return int(number) or None

        return asked

    def wait_for_first(self) -> None:
        """Wait until the first process has ended: torchrun ends all processes soon after one that failed."""
        with suppress(RuntimeError):
            dist.broadcast(torch.zeros(1), 0)  # which the first one never sends

    def device(self, wanted: str) -> torch.device:
        """The device of this process: of several on one machine, each has a GPU of its own.

        Raises:
            UserError: there are too few, or `wanted` names a certain one.
        """
        if self.size == 1:
            return choose_device(wanted)
        if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if wanted not in ("auto", "cuda"):
            raise UserError(
                f"runtime.device is {wanted} in params.yaml, which {self.size} processes cannot share; set it to auto, "
                f"cuda or cpu, and choose among GPUs with the environment variable CUDA_VISIBLE_DEVICES"
            )
        choose_device(wanted)
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise UserError(
                f"train.launcher in params.yaml starts {here} processes on {platform.node()}, where PyTorch sees "
                f"{gpus} GPUs, and each needs its own; lower --nproc-per-node, or set runtime.device to cpu"
            )
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))

    def _with_all(self, collective: Callable[..., object], *arguments: object) -> None:
        try:
            collective(*arguments)
        except RuntimeError as error:  # gloo's; under NCCL, PyTorch's watchdog ends the process
            if not self.first:
                raise Abandoned from None
            said = str(error).splitlines()[0]
            raise UserError(
                f"another process of this training ended, or cannot be reached any more ({said}); what it says itself "
                f"stands above or below. `dvc repro` continues from the last checkpoint"
            ) from None


ALONE = Group()


def rank() -> int:
    """Which process of its training this one is, as torchrun says; 0 where it was started otherwise."""
    return int(os.environ["RANK"]) if dist.is_torchelastic_launched() else 0


@contextmanager
def joined() -> Iterator[Group]:
    """The group of all processes that torchrun started; it comes about when the last of them enters.

    Raises:
        UserError: they do not find one another.
    """
    size = int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1
    if size == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
    except RuntimeError as error:
        if rank() > 0:
            raise Abandoned from None
        raise UserError(
            f"the {size} processes of train.launcher do not find one another ({str(error).splitlines()[0]}); see whether "
            f"each machine runs the same command, and whether they can reach one another"
        ) from None
    atexit.register(_leave)  # after an error only then: the others learn of it by the end of this process, which says why
    yield Group(rank(), size)
    _leave()


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def check_divisible(config: Config, size: int) -> None:
    """See whether a training can be split over `size` processes.

    Raises:
        UserError: it cannot; says why.
    """
    launcher, batch_size = config.train.launcher, config.train.batch_size
    if batch_size % size:
        raise UserError(
            f"train.batch_size is {batch_size} in params.yaml, which the {size} processes that train.launcher starts "
            f"({launcher}) cannot share equally; make it a multiple of {size}, or start another number of processes"
        )
    each, parts = batch_size // size, config.train.accumulate
    if each % parts:
        raise UserError(
            f"train.batch_size is {batch_size} in params.yaml, of which each of the {size} processes that train.launcher "
            f"starts has {each}, which cannot be split into train.accumulate = {parts} equal parts; lower "
            f"train.accumulate, or start fewer processes"
        )
    if size > 1 and mixes_batch(config.model):
        raise UserError(
            f"model.norm is {config.model.norm} in params.yaml while train.launcher starts {size} processes ({launcher}), "
            f"each of which would take the statistics of its own pictures alone, so that the result would depend on their "
            f"number; set model.norm to instance, or train.launcher to python"
        )
