"""Protects running statistics of batch norm against overflow."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """A copy of the current running statistics of all batch norms of a model.

    Batch norm averages over the batches it has seen. A NaN or infinite batch would stay in the
    average forever, even if nothing else of the step remains: after an overflow in half precision,
    a gradient scaler skips the step; in any precision, mixing may cover the bad pixels of an image
    before the student sees them, but not before the teacher does. The host does not wait for the
    device, neither here nor in :meth:`restore_non_finite`.

    Args:
        model: Any model.
    """

    @torch.compiler.disable
    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        statistics = [values for norm in norms for values in (norm.running_mean, norm.running_var)]
        # Hidden from autograd, whose backward pass must not notice the change.
        self._statistics: list[Tensor] = [v.data for v in statistics if v is not None]
        self._before = torch.cat(self._statistics) if self._statistics else None

    @torch.compiler.disable
    def restore_non_finite(self) -> None:
        """Restore statistics that have become NaN or infinite, channel by channel."""
        if self._before is None:
            return
        now = torch.cat(self._statistics)
        finite = torch.where(now.isfinite(), now, self._before)
        torch._foreach_copy_(self._statistics, finite.split([len(v) for v in self._statistics]))
