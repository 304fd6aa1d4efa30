"""From a target to the one level of a sweep, before it runs, and to what its super ticket costs, after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from supertickets.config import parse_target
from supertickets.data.batching import PAD_TO_MULTIPLE_OF
from supertickets.encoders.checkpoints import resolve
from supertickets.encoders.families import weight_count
from supertickets.encoders.loading import load
from supertickets.errors import UserError
from supertickets.experiments.targets import Achieved, Target
from supertickets.experiments.workspace import Inputs
from supertickets.learning.costing import flops, flops_costs, latency_costs
from supertickets.learning.speed import Speedup
from supertickets.tickets.costs import level_for, params_costs
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask


def find_target(inputs: Inputs) -> Target:
    """Count or measure what the units of a config's encoder cost, and find the level that meets its target.

    FLOPs and latency are of a text of the training examples' median length, latency of 32 such texts
    with torch's threads as they are. Raises UserError when no ticket meets the target.
    """
    asked, config = inputs.config.tickets.target, inputs.config
    assert asked is not None
    measure, share = parse_target(asked)
    length, timings = None, None
    if measure == "params":
        costs = params_costs(inputs.structures)
    else:
        length = _median_length(inputs)
        model, _ = load(resolve(config.encoder.name), classes=inputs.loaded.task.classes)
        if measure == "flops":
            costs = flops_costs(model, length, config.units.ffn)
        else:
            device = "cuda" if torch.cuda.is_available() else "cpu"  # where training puts it
            model = model.to(device)  # type: ignore[arg-type]
            costs, timings = latency_costs(model, length, config.units.ffn, multiple=config.units.multiple)
    # All units of a kind cost the same, so the level does not depend on which of them are dropped.
    ones = Importance(costs.structures, np.ones(costs.heads.shape), np.ones(costs.ffn.shape))

    def ticket(level: float) -> Mask:
        return Mask.winning(ones, level, min_heads=config.tickets.min_heads, multiple=config.units.multiple)

    level = level_for(costs, share, ticket)
    return Target(asked, level, costs.share(ticket(level)), costs, length, timings)


def aimed(inputs: Inputs, target: Target) -> Inputs:
    """The inputs with the target's level as the only one; raises UserError when the config names another level."""
    tickets = inputs.config.tickets
    if tickets.levels not in ((), (target.level,)):
        raise UserError(
            f"{tickets.levels[0]:g} is not the level of the target {target.asked}, which is {target.level:g}",
            "tickets.levels",
            "leave the levels or the target out",
        )
    one = replace(tickets, levels=(target.level,), control_levels=(target.level,))
    return replace(inputs, config=replace(inputs.config, tickets=one))


def achieved(target: Target, full: PreTrainedModel, pruned: PreTrainedModel, timed: Speedup) -> Achieved:
    """What the delivered model costs of the full one: weights and FLOPs counted on both, latency as timed."""
    measure = target.costs.measure
    if measure == "params":
        found = weight_count(pruned.base_model) / weight_count(full.base_model)  # as masks count: no task head
    elif measure == "flops":
        assert target.length is not None
        found = flops(pruned, target.length) / flops(full, target.length)
    else:
        found = 1 / timed.median
    return Achieved(measure, target.share, found)


def _median_length(inputs: Inputs) -> int:
    """Tokens of the median training example, padded as in a batch and no longer than the encoder takes."""
    texts, longest = inputs.examples["train"][:], min(inputs.max_length, inputs.tokenizer.model_max_length)
    longest = longest // PAD_TO_MULTIPLE_OF * PAD_TO_MULTIPLE_OF
    encoded = inputs.tokenizer(texts["text"], texts.get("text_pair"), truncation=True, max_length=longest)
    median = float(np.median([len(ids) for ids in encoded["input_ids"]]))
    return min(longest, int(np.ceil(median / PAD_TO_MULTIPLE_OF)) * PAD_TO_MULTIPLE_OF)
