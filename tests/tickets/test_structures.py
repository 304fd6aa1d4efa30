from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from supertickets.errors import UserError
from supertickets.tickets.structures import Structures


def toy(**changes: Any) -> Structures:
    """2 layers, 3 heads of 10 weights, 1 FFN of 100."""
    given = {"architecture": "bert", "heads": np.full((2, 3), 10), "ffn": np.full((2, 1), 100)}
    return Structures(**given | {"encoder_weights": 300, "total_weights": 500} | changes)


def test_sizes() -> None:
    """Layers, heads, units and prunable weights are read off the arrays."""
    structures = toy()
    assert (structures.layers, structures.heads_per_layer, structures.units_per_layer) == (2, 3, 1)
    assert structures.prunable_weights == 260
    assert structures.size == "bert: 2 layers, 3 heads and 1 FFN units in each"
    assert structures.ffn_units == "sublayer"


def test_neurons() -> None:
    """More than one FFN unit a layer are neurons, also in the words for it."""
    structures = toy(ffn=np.full((2, 5), 20))
    assert (structures.ffn_units, structures.units_per_layer) == ("neuron", 5)
    assert structures.size == "bert: 2 layers, 3 heads and 5 FFN neurons in each"


def test_arrays_are_read_only_copies() -> None:
    """Neither the value nor the array it was made from can change the other."""
    heads = np.full((2, 3), 10)
    structures = toy(heads=heads)
    heads[0, 0] = 99
    assert structures.heads[0, 0] == 10
    assert structures.heads.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        structures.heads[0, 0] = 1


def test_equal_by_value() -> None:
    """Equal numbers are equal and hash alike; another architecture or another count is not."""
    assert toy() == toy()
    assert hash(toy()) == hash(toy())
    assert toy() != toy(architecture="roberta")
    assert toy() != toy(total_weights=501)
    assert toy() != toy(heads=np.full((2, 3), 11))
    assert toy() != "bert"


@pytest.mark.parametrize("heads", [np.full((2, 3), 10), np.arange(1, 7).reshape(2, 3)])
def test_round_trip_through_json(heads: np.ndarray) -> None:
    """`from_dict` is the exact inverse of `to_dict`, for even and uneven heads, also by way of JSON and pickle."""
    structures = toy(heads=heads)
    assert Structures.from_dict(json.loads(json.dumps(structures.to_dict()))) == structures
    assert pickle.loads(pickle.dumps(structures)) == structures


def test_even_weights_are_written_once() -> None:
    """A person reads one number where all units are alike."""
    plain = toy(heads=np.arange(1, 7).reshape(2, 3)).to_dict()
    assert plain["weights_per_head"] == [[1, 2, 3], [4, 5, 6]]
    assert plain["weights_per_unit"] == 100


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"heads": np.full((3, 3), 10)}, "heads has 3 layers, ffn has 2"),
        ({"heads": np.full(3, 10)}, r"heads must be \(layers, units\) and not empty, its shape is \(3,\)"),
        ({"ffn": np.ones((2, 0), int)}, r"its shape is \(2, 0\)"),
        ({"heads": np.full((2, 3), 10.5)}, "heads must hold whole numbers, not float64"),
        ({"ffn": np.array([[100], [0]])}, "at least 1 weight in each unit, one holds 0"),
        ({"encoder_weights": 259}, "units hold 260 weights, more than the encoder's 259"),
        ({"total_weights": 299}, "encoder_weights 300 exceeds total_weights 299"),
    ],
)
def test_refuses_contradictions(changes: dict[str, Any], sentence: str) -> None:
    """Numbers that cannot be raise one sentence that holds them."""
    with pytest.raises(UserError, match=sentence):
        toy(**changes)


@pytest.mark.parametrize("broken", [{"heads_per_layer": 4, "weights_per_head": [[1, 2], [3, 4]]}, {"layers": "two"}])
def test_from_dict_refuses(broken: dict[str, Any]) -> None:
    """A description that is not one raises UserError instead of a traceback."""
    with pytest.raises(UserError, match="not a description of structures"):
        Structures.from_dict(toy().to_dict() | broken)


def test_from_dict_names_the_missing_key() -> None:
    """A missing key is named."""
    plain = toy().to_dict()
    del plain["architecture"]
    with pytest.raises(UserError, match="architecture"):
        Structures.from_dict(plain)
