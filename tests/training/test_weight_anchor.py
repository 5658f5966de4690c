import torch
from torch import nn

from mmgen.training.weight_anchor import WeightAnchor


def anchored() -> tuple[nn.Linear, WeightAnchor]:
    torch.manual_seed(0)
    model = nn.Linear(2, 1, bias=False)
    return model, WeightAnchor(model)


def test_the_sum_of_two_parabolas_but_for_a_constant() -> None:
    model, anchor = anchored()
    known = []
    for x in (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 2.0]])):
        anchor.add([x], lambda x: (model(x) ** 2).sum())
        slope = 2 * model(x) * x
        known.append((slope.detach() ** 2, model.weight.detach().clone()))
        with torch.no_grad():
            model.weight.add_(0.3)

    def wanted(weight: torch.Tensor) -> torch.Tensor:
        return sum((fisher * (weight - centre) ** 2).sum() / 2 for fisher, centre in known)

    first, ours = wanted(model.weight), anchor.penalty()
    with torch.no_grad():
        model.weight.sub_(0.7)
    assert torch.allclose(anchor.penalty() - ours, wanted(model.weight) - first, atol=1e-5)


def test_what_hardly_mattered_is_held_where_it_was() -> None:
    model, anchor = anchored()
    anchor.add([torch.full((1, 2), 1e-4)], lambda x: (model(x) ** 2).sum())
    assert (anchor.stiffness["weight"] > 0).all() and torch.equal(anchor.centre["weight"], model.weight.detach())


def test_nothing_is_held_at_first() -> None:
    assert anchored()[1].penalty() == 0


def test_what_did_not_matter_may_move() -> None:
    model, anchor = anchored()
    anchor.add([torch.tensor([[1.0, 0.0]])], lambda x: (model(x) ** 2).sum())
    with torch.no_grad():
        model.weight[0, 1] += 5
    assert anchor.penalty() == 0
    with torch.no_grad():
        model.weight[0, 0] += 1
    assert anchor.penalty() > 0
