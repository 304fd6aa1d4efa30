"""How much every two of many masks have in common, all pairs at once: there are thousands in a large sweep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from supertickets.tickets.chance import expected_jaccard
from supertickets.tickets.masks import Mask

Pairs = Float[np.ndarray, " P"]


def overlaps(masks: Sequence[Mask]) -> tuple[Pairs, Pairs]:
    """`Mask.jaccard` and `Mask.expected_jaccard` of each pair of masks of one shape, in `combinations`' order."""
    heads = np.stack([mask.heads.ravel() for mask in masks])
    ffn = np.stack([mask.ffn.ravel() for mask in masks])
    first, second = np.triu_indices(len(masks), k=1)
    kept = np.hstack([heads, ffn]).astype(np.float32)  # counts below 2 to the 24 are exact
    shared = (kept @ kept.T).astype(np.int64)[first, second]
    sizes = kept.sum(axis=1).astype(np.int64)
    united = sizes[first] + sizes[second] - shared
    found = np.divide(shared, united, out=np.ones(len(shared)), where=united > 0)
    counts = np.stack([heads.sum(axis=1), ffn.sum(axis=1)], axis=1)
    # Most masks of a level are of one size, so that few pairs of sizes differ.
    different, which = np.unique(np.hstack([counts[first], counts[second]]), axis=0, return_inverse=True)
    units = heads.shape[1], ffn.shape[1]
    chances = [expected_jaccard([(units[0], int(a), int(c)), (units[1], int(b), int(d))]) for a, b, c, d in different]
    return found, np.array(chances)[which.ravel()]
