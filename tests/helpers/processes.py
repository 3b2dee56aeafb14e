"""Processes of a distributed training (gloo on the CPU) that run functions for tests."""

import hashlib
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.multiprocessing as mp

PATIENCE = 60.0
"""Seconds to wait for a function; the slowest one takes a tenth of it."""


class Processes:
    """Processes with their own process group, from construction to :meth:`close`.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        # Importing takes seconds, so it is done once and processes are forked from there.
        context = mp.get_context("forkserver")
        context.set_forkserver_preload(["mmseg_u2pl"])
        address = f"tcp://127.0.0.1:{free_port()}"
        pipes = [context.Pipe() for _ in range(count)]
        self.connections = [ours for ours, _ in pipes]
        self.processes = [
            context.Process(target=_serve, args=(rank, count, address, theirs), daemon=True)
            for rank, (_, theirs) in enumerate(pipes)
        ]
        for process in self.processes:
            process.start()

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call ``function(rank, *args)`` in all processes; return the results in order."""
        for connection in self.connections:
            connection.send((function, args))
        results = []
        for rank, connection in enumerate(self.connections):
            if not connection.poll(PATIENCE):
                raise TimeoutError(f"rank {rank} hangs in {function.__name__}")
            result, error = connection.recv()
            if error is not None:
                raise RuntimeError(f"rank {rank}: {error}")
            results.append(result)
        return results

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self.processes:
            process.terminate()
            process.join()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _serve(rank: int, count: int, address: str, connection: Connection) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=count)
    while True:
        function, args = connection.recv()
        try:
            connection.send((function(rank, *args), None))
        except Exception:
            connection.send((None, traceback.format_exc()))


def checksum(tensors) -> str:
    """SHA-256 of the values of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def state_of(model) -> dict[str, str]:
    """State that must be equal on all ranks: checksums of weights and queues, and counters."""
    bank = model.contrastive_head.bank
    return dict(
        student=checksum(model.student.parameters()),
        teacher=checksum(model.teacher.module.parameters()),
        keys=checksum([bank.keys]),
        fill=str(bank.fill.tolist()),
        cursor=str(bank.cursor.tolist()),
        seed=str(model.random.seed.value),
        bias=str(model.alignment and model.alignment.bias.tolist()),
    )
