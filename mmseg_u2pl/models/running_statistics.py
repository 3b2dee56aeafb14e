"""Running statistics of batch norm that an overflow must not spoil."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """The running statistics of all batch norms of a model, as they are now.

    Batch norm averages over the batches it has seen. One that is NaN or infinite, as after an
    overflow in half precision, stays in the average for good, although nothing else of the step
    does: a gradient scaler skips it, and losses ignore the pixels. The host does not wait for the
    device, neither here nor in :meth:`restore_non_finite`.

    Args:
        model: Any model.
    """

    @torch.compiler.disable
    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        statistics = [values for norm in norms for values in (norm.running_mean, norm.running_var)]
        # Outside of autograd: a backward pass may not find that they were changed.
        self._statistics: list[Tensor] = [v.data for v in statistics if v is not None]
        self._before = torch.cat(self._statistics) if self._statistics else None

    @torch.compiler.disable
    def restore_non_finite(self) -> None:
        """Set those that have become NaN or infinite back, channel by channel."""
        if self._before is None:
            return
        now = torch.cat(self._statistics)
        finite = torch.where(now.isfinite(), now, self._before)
        torch._foreach_copy_(self._statistics, finite.split([len(v) for v in self._statistics]))
