"""A loss that draws products of one class together and others apart.

Khosla et al. 2020, Supervised Contrastive Learning: the loss of their equation 2.
"""

from typing import Any

TEMPERATURE = 0.1  # the paper's


def supervised_contrastive(vectors: Any, labels: Any) -> Any:
    """Return the loss of a batch, a tensor of shape ().

    `vectors` is a tensor of shape (n, size), rows of unit length, `labels` one of shape (n,). It is
    the mean over those products of which there is another one of the class; 0 if there are none.
    """
    import torch

    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    alike = (labels[:, None] == labels) & ~own
    has_other = alike.any(dim=1)
    if not has_other.any():
        return vectors.new_zeros(())
    similarities = (vectors @ vectors.T / TEMPERATURE).masked_fill(own, -torch.inf)
    log_shares = similarities.log_softmax(dim=1).masked_fill(~alike, 0)
    return -(log_shares.sum(dim=1)[has_other] / alike.sum(dim=1)[has_other]).mean()
