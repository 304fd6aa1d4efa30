"""The published Adamax, step by step and by hand."""

from __future__ import annotations

import copy
from typing import get_args

import numpy as np
import pytest
import torch

from supertickets.config import Optimiser
from supertickets.learning.optimisers import OPTIMISERS, PublishedAdamax

GRADIENTS = np.array([[0.5, -2.0, 0.0], [-0.1, 1.0, 0.3], [0.2, 0.5, -4.0], [0.0, 0.0, 0.1]])
START = np.array([1.0, -3.0, 0.25])


def stepped(optimiser: torch.optim.Optimizer, weight: torch.nn.Parameter, gradients: np.ndarray = GRADIENTS) -> None:
    """One step for each row of gradients."""
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimiser.step()


def fresh(**settings: float) -> tuple[torch.nn.Parameter, PublishedAdamax]:
    """A weight of three numbers with its optimiser."""
    weight = torch.nn.Parameter(torch.tensor(START))
    return weight, PublishedAdamax([{"params": [weight]}], **{"lr": 0.1, **settings})


def moved(weight: torch.nn.Parameter) -> np.ndarray:
    """How far a weight is from where it started."""
    return weight.detach().numpy() - START


def test_the_first_step_by_hand() -> None:
    """Mean 0.1 g over norm |g| + 1e-6, not corrected: a tenth of the learning rate, against the gradient."""
    weight, optimiser = fresh()
    stepped(optimiser, weight, GRADIENTS[:1])
    np.testing.assert_allclose(moved(weight), [-0.01, 0.01, 0.0], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_four_steps_by_hand(decay: float) -> None:
    """m = .9 m + .1 g; u = max(.999 u, |g| + 1e-6); w = w (1 - lr decay) - lr m / u, at each step."""
    weight, optimiser = fresh(weight_decay=decay)
    stepped(optimiser, weight)
    expected, mean, norm = START.copy(), np.zeros(3), np.zeros(3)
    for gradient in GRADIENTS:
        mean = 0.9 * mean + 0.1 * gradient
        norm = np.maximum(0.999 * norm, np.abs(gradient) + 1e-6)
        expected = expected * (1 - 0.1 * decay) - 0.1 * mean / norm
    np.testing.assert_allclose(weight.detach(), expected, rtol=1e-12)
    np.testing.assert_allclose(optimiser.state[weight]["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(optimiser.state[weight]["norm"], norm, rtol=1e-12)


def test_decay_is_decoupled_from_the_gradient() -> None:
    """Without a gradient a weight decays by lr x decay, and its moments know nothing of it."""
    weight, optimiser = fresh(weight_decay=0.5)
    stepped(optimiser, weight, np.zeros((1, 3)))
    np.testing.assert_allclose(weight.detach(), 0.95 * START, rtol=1e-12)
    assert not optimiser.state[weight]["mean"].any()


def test_it_is_not_torchs_adamax() -> None:
    """torch corrects the first moment, so that its first step is ten times as long."""
    weight, published = fresh()
    other = torch.nn.Parameter(torch.tensor(START))
    stepped(published, weight, GRADIENTS[:1])
    stepped(torch.optim.Adamax([other], lr=0.1, eps=1e-6), other, GRADIENTS[:1])
    np.testing.assert_allclose(moved(other)[:2], 10 * moved(weight)[:2], rtol=1e-3)


def test_a_weight_without_a_gradient_stays() -> None:
    """No gradient, no step, no decay, no state."""
    weight, optimiser = fresh(weight_decay=0.5)
    optimiser.step()
    assert torch.equal(weight.detach(), torch.tensor(START))
    assert not optimiser.state


def test_its_state_can_be_stored() -> None:
    """Going on from a stored state gives bit for bit the steps of an optimiser that never stopped."""
    weight, optimiser = fresh(weight_decay=0.01)
    stepped(optimiser, weight, GRADIENTS[:2])
    other, resumed = fresh(weight_decay=0.01)
    other.data.copy_(weight.data)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for one, with_state in ((weight, optimiser), (other, resumed)):
        stepped(with_state, one, GRADIENTS[2:])
    assert torch.equal(weight, other)


def test_a_closure_is_called_with_gradients_on() -> None:
    """The step returns the closure's loss and uses the gradient that it made."""
    weight, optimiser = fresh()

    def closure() -> float:
        loss = weight.square().sum()
        loss.backward()
        return float(loss.detach())

    with torch.no_grad():
        assert optimiser.step(closure) == pytest.approx(1 + 9 + 0.0625)
    np.testing.assert_allclose(moved(weight), [-0.01, 0.01, -0.01], rtol=1e-5)


def test_table_holds_every_optimiser_of_the_config() -> None:
    """The config's names and the table's keys are the same, and each makes an optimiser at the given rate."""
    assert set(OPTIMISERS) == set(get_args(Optimiser))
    for make in OPTIMISERS.values():
        groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": 0.25}]
        (group,) = make(groups, 0.125).param_groups
        assert (group["lr"], group["weight_decay"]) == (0.125, 0.25)
