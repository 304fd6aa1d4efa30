"""What each unit of a model costs when it runs, found by running the model with and without units."""

from __future__ import annotations

import copy

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from supertickets.config import FfnUnit, Measure
from supertickets.encoders.families import structures_of
from supertickets.encoders.pruning import prune
from supertickets.learning.speed import Timed, Timings
from supertickets.learning.timing import device_name, interleaved
from supertickets.tickets.costs import UnitCosts
from supertickets.tickets.drawing import block_size
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures

ROUNDS = 15


def flops(model: PreTrainedModel, length: int) -> int:
    """Floating-point operations of one text of `length` tokens, the task head included.

    Counted are matrix products (attention's too), a multiply-add as 2; biases, norms, softmax and
    activations, a percent or so of the whole, are not.
    """
    model.eval()
    # Other kernels do all of attention in one operation, which torch's counter does not know on a CPU;
    # and the counter's hooks fail on DeBERTa where gradients are off.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**_texts(model, 1, length))
    return int(counter.get_total_flops())


def flops_costs(model: PreTrainedModel, length: int, ffn_units: FfnUnit = "sublayer") -> UnitCosts:
    """FLOPs of each head (L, H) and FFN unit (L, U) of a full model, for one text of `length` tokens, as `flops`.

    Counted on the model and on copies without half of the heads or of the FFN units.
    """
    full, fewer, less, _ = _masks(structures_of(model, ffn_units), multiple=1)
    all_of_it, without_heads, without_ffn = (flops(_pruned(model, mask), length) for mask in (full, fewer, less))
    per_head = (all_of_it - without_heads) / int((~fewer.heads).sum())
    per_unit = (all_of_it - without_ffn) / int((~less.ffn).sum())
    fixed = all_of_it - per_head * full.heads.size - per_unit * full.ffn.size
    return _table(full.structures, per_head, per_unit, fixed, "flops")


def latency_costs(
    model: PreTrainedModel,
    length: int,
    ffn_units: FfnUnit = "sublayer",
    *,
    multiple: int = 8,
    batch_size: int = 32,
    rounds: int = ROUNDS,
) -> tuple[UnitCosts, Timings]:
    """Seconds of each head (L, H) and FFN unit (L, U) of a full model here and now, and what was timed.

    The model and copies without half of the heads, of the FFN units (`multiple` as for masks) and of
    both take turns on a batch of texts of `length` tokens, on the model's device. What counts is each
    one's share of the full model's time in the same round, so that a machine that slows down hits none
    of them more. Costs of at least 0 are fitted to the median shares: a unit whose absence saves no
    time costs nothing.
    """
    structures = structures_of(model, ffn_units)
    masks = _masks(structures, multiple)
    models = [_pruned(model, mask) for mask in masks]
    seconds = interleaved(models, _texts(model, batch_size, length), rounds)
    shares = seconds / seconds[:, :1]
    timed = [
        Timed(int(mask.heads.sum()), int(mask.ffn.sum()), *_spread(own), *_spread(share))
        for mask, own, share in zip(masks, seconds.T, shares.T, strict=True)
    ]
    about = Timings(tuple(timed), rounds, torch.get_num_threads(), batch_size, length, device_name(model))
    return _fitted(masks, np.median(seconds[:, 0]) * np.median(shares, axis=0)), about


def _spread(values: Float[np.ndarray, " R"]) -> tuple[float, float, float]:
    median, low, high = map(float, np.percentile(values, [50, 10, 90]))
    return median, low, high


def _texts(model: PreTrainedModel, batch_size: int, length: int) -> dict[str, torch.Tensor]:
    """A batch of texts, all of one length: which words they are of changes no cost."""
    ids = torch.ones(batch_size, length, dtype=torch.long, device=model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _pruned(model: PreTrainedModel, mask: Mask) -> PreTrainedModel:
    return model if mask == Mask.full(mask.structures) else prune(copy.deepcopy(model), mask)


def _masks(structures: Structures, multiple: int) -> list[Mask]:
    """All units kept, and half of the heads, of the FFN units and of both dropped (at least one of each layer)."""
    heads, ffn = np.ones(structures.heads.shape, np.bool_), np.ones(structures.ffn.shape, np.bool_)
    fewer, less = heads.copy(), ffn.copy()
    fewer[:, : _half(structures.heads_per_layer)] = False
    if structures.ffn_units == "sublayer":
        less[: _half(structures.layers)] = False
    else:
        block = block_size(structures, multiple)
        less[:, : block * _half(structures.units_per_layer // block)] = False
    return [Mask(structures, *pair) for pair in ((heads, ffn), (fewer, ffn), (heads, less), (fewer, less))]


def _half(units: int) -> int:
    return max(1, units // 2)


def _fitted(masks: list[Mask], seconds: Float[np.ndarray, " V"]) -> UnitCosts:
    """The non-negative costs of the rest, a head and an FFN unit whose sums are nearest to the measured seconds."""
    structures = masks[0].structures
    kept = np.array([[1.0, mask.heads.mean(), mask.ffn.mean()] for mask in masks])  # as shares, all of one scale
    (fixed, heads, ffn), _ = nnls(kept, seconds)
    return _table(structures, heads / structures.heads.size, ffn / structures.ffn.size, fixed, "latency")


def _table(structures: Structures, per_head: float, per_unit: float, fixed: float, measure: Measure) -> UnitCosts:
    """All layers of an encoder have the same shapes, so all its heads cost the same, and all its FFN units."""
    heads, ffn = np.full(structures.heads.shape, per_head), np.full(structures.ffn.shape, per_unit)
    return UnitCosts(structures, heads, ffn, float(fixed), measure)
