"""Embeddings of the pixels of a map, computed on demand."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.chunks import pixel_pieces
from mmseg_u2pl.ops.precision import at_least_float32, full_precision


class EmbeddingMap(NamedTuple):
    """Embeddings (N, D, h, w) whose last linear layer is applied on demand.

    Embeddings are only needed at some pixels (anchors), as rows (keys), or as means, and the mean
    of projections is the projection of the mean. So neither the linear layer nor its backward pass
    has to run on the whole map.

    Attributes:
        features: (N, E, h, w), input of the linear layer.
        weight: (D, E), of the linear layer; None if the features are the embeddings.
        bias: (D,), of the linear layer, or None.
    """

    features: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def grid(self) -> torch.Size:
        """(h, w)."""
        return self.features.shape[-2:]

    @property
    def dims(self) -> int:
        """D."""
        return self.features.shape[1] if self.weight is None else len(self.weight)

    def of(self, images: slice) -> "EmbeddingMap":
        """Embeddings of some of the images."""
        return self._replace(features=self.features[images])

    def project(self, rows: Tensor) -> Tensor:
        """Embeddings (..., D) of features (..., E) or means of them.

        With a linear layer, they are float32, or float64 if the layer is.
        """
        if self.weight is None:
            return rows
        # Half precision would save nothing for so few pixels and would round means, and PyTorch
        # before 2.2 does not support this product on CPUs.
        weight = at_least_float32(self.weight)
        bias = None if self.bias is None else self.bias.to(weight.dtype)
        with full_precision(rows.device):
            return F.linear(rows.to(weight.dtype), weight, bias)

    def at(self, image: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Embeddings (..., D) of the pixels with these indices (...) of image, row and column.

        They are in the graph of the linear layer even if there are no pixels.
        """
        return self.project(self.features[image, :, row, col])


def normalized_rows(embedding: EmbeddingMap, dtype: torch.dtype) -> Tensor:
    """Embeddings of all pixels, (N * h * w, D), L2-normalized in float32, then cast to a dtype."""
    pixels = embedding.features.flatten(2)
    num_pixels = pixels.shape[0] * pixels.shape[2]
    rows = torch.empty(num_pixels, embedding.dims, dtype=dtype, device=pixels.device)
    for piece, place in pixel_pieces(pixels, width=max(pixels.shape[1], embedding.dims)):
        some = embedding.project(pixels[piece].T.contiguous())
        rows[place] = F.normalize(some.float(), dim=1)
    return rows
