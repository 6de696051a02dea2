"""Lets several processes, started by torchrun, learn as one: the door to torch.distributed.

Every process (rank) draws the same batches and the same pool of products, encodes its share of a batch's
users and computes their part of the loss. The gradients are summed, so every rank takes the step that one
process would have taken, and all weights stay equal. Rank 0 alone measures and writes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist

# Its defaults keep the process group that is there when it is first imported, and so Gloo's threads; one that
# frees a tensor while Python ends aborts the process. Imported here, before there is any group.
import torch.distributed.nn.functional
from torch import Tensor, nn

from training.errors import RankError

# A rank that ended is noticed at once; one that hangs, after this. Others wait while rank 0 validates.
TIMEOUT_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Ranks:
    """Says which of several processes this is; by default the only one.

    Raises from every method: RankError where another rank ended or did not answer in time.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Says whether this is the rank that measures and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Returns when every rank has come this far."""
        self.tell([0.0])

    def tell(self, values: Sequence[float]) -> list[float]:
        """Returns the first rank's values, of which every rank gives as many."""
        told = torch.tensor(values, dtype=torch.float64)
        if self.count > 1:
            with _named(self.rank):
                dist.broadcast(told, src=0)
        return [float(value) for value in told]

    def share_weights(self, module: nn.Module) -> None:
        """Gives every rank the first one's weights."""
        if self.count > 1:
            with _named(self.rank):
                for value in module.state_dict().values():
                    dist.broadcast(value, src=0)

    def unite(self, marked: Tensor) -> Tensor:
        """Returns what any rank has marked, uint8 [n], on the CPU."""
        if self.count > 1:
            with _named(self.rank):
                dist.all_reduce(marked, op=dist.ReduceOp.MAX)
        return marked

    def sum_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Sums the gradients over the ranks, in place; returns the sum of the losses.

        Sparse gradients are coalesced, before and after.
        """
        if self.count == 1:
            return loss
        dense: list[Tensor] = [loss.detach()[None]]
        with _named(self.rank):
            for entry in parameters:
                if entry.grad is not None and entry.grad.is_sparse:
                    entry.grad = self._sum_rows(entry.grad)
                elif entry.grad is not None:
                    dense.append(entry.grad)
            # One message for all: each costs more than its bytes.
            message = torch.cat([entry.reshape(-1) for entry in dense])
            dist.all_reduce(message)
        totals = torch.split(message, [entry.numel() for entry in dense])
        for place, total in zip(dense, totals, strict=True):
            place.copy_(total.view_as(place))
        return dense[0][0]

    def _sum_rows(self, gradient: Tensor) -> Tensor:
        """Sums sparse gradients, whose rows differ from rank to rank; NCCL has no sum for them."""
        row, value = gradient.indices()[0], gradient.values()  # [rows], [rows, dim]
        sizes = [torch.zeros(1, dtype=torch.int64, device=row.device) for _ in range(self.count)]
        dist.all_gather(sizes, torch.full_like(sizes[0], len(row)))
        size = max(int(count) for count in sizes)
        # A rank with fewer rows than another adds nothing to row 0.
        row = torch.cat([row, row.new_zeros(size - len(row))])
        value = torch.cat([value, value.new_zeros(size - len(value), value.shape[1])])
        rows, values = ([torch.empty_like(part) for _ in sizes] for part in (row, value))
        dist.all_gather(rows, row)
        dist.all_gather(values, value)
        total = torch.sparse_coo_tensor(
            torch.cat(rows)[None], torch.cat(values), gradient.shape, check_invariants=False
        )
        return total.coalesce()

    @contextmanager
    def own_draws(self) -> Iterator[None]:
        """Lets random draws inside differ from rank to rank; those outside are the same on all."""
        if self.count == 1:
            yield
            return
        seed = int(torch.randint(2**40, ()))  # The same on every rank.
        with torch.random.fork_rng():
            torch.manual_seed(seed * self.count + self.rank)
            yield


ALONE: Final = Ranks()


@contextmanager
def join_ranks(timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Ranks]:
    """Joins the processes that torchrun started together with this one; without torchrun there is one.

    Raises:
        RankError: they did not all come within the time.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(dist.get_node_local_rank())
    with _named(None):
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds))
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


@contextmanager
def _named(rank: int | None) -> Iterator[None]:
    """Turns what torch raises when ranks do not meet into a RankError."""
    try:
        yield
    except RuntimeError as error:
        who = "torchrun" if rank is None else f"rank {rank}"
        reason = str(error).splitlines()[0]
        raise RankError(
            f"{who}: expected every rank to answer; one ended, or took too long: {reason}"
        ) from error
