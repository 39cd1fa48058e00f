"""The loss is the paper's, and draws products of one class together."""

import math

import pytest
import torch

from stages.classifiers.base.contrastive import TEMPERATURE, supervised_contrastive


def by_loops(vectors: list[list[float]], labels: list[int]) -> float:
    """Compute equation 2 of Khosla et al. 2020 as it is written."""
    products = range(len(labels))

    def similarity(one: int, other: int) -> float:
        pairs = zip(vectors[one], vectors[other], strict=True)
        return sum(a * b for a, b in pairs) / TEMPERATURE

    terms = []
    for anchor in products:
        others = [i for i in products if i != anchor]
        positives = [i for i in others if labels[i] == labels[anchor]]
        if positives:
            total = sum(math.exp(similarity(anchor, i)) for i in others)
            shares = [math.exp(similarity(anchor, i)) / total for i in positives]
            terms.append(-sum(map(math.log, shares)) / len(positives))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 2], [0, 1, 2, 3, 4, 0], [0] * 6])
def test_it_is_the_loss_of_the_paper(labels):
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(6, 5))
    found = supervised_contrastive(vectors, torch.tensor(labels))
    assert found.item() == pytest.approx(by_loops(vectors.tolist(), labels), rel=1e-5)


def test_steps_down_its_gradient_draw_a_class_together():
    torch.manual_seed(0)
    free, labels = torch.randn(8, 5, requires_grad=True), torch.tensor([0, 1] * 4)
    for _ in range(100):
        vectors = torch.nn.functional.normalize(free)
        (gradient,) = torch.autograd.grad(supervised_contrastive(vectors, labels), free)
        assert gradient.isfinite().all()
        free = (free - gradient).detach().requires_grad_(True)
    similarities = torch.nn.functional.cosine_similarity(free[:, None], free, dim=2)
    alike = labels[:, None] == labels
    assert similarities[alike].min() > similarities[~alike].max()


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_a_batch_without_two_products_of_a_class_has_none(labels):
    vectors = torch.eye(len(labels), requires_grad=True)
    assert supervised_contrastive(vectors, torch.tensor(labels)).item() == 0
