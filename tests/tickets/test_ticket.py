from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supertickets import storage
from supertickets.errors import UserError
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask
from supertickets.tickets.structures import Structures
from supertickets.tickets.ticket import ARRAYS_FILE, TICKET_FILE, Ticket


def structures(layers: int = 2, heads: int = 4, head: int = 10, total: int = 1000) -> Structures:
    """A small encoder; 300 weights in its two layers."""
    return Structures("toy", np.full((layers, heads), head), np.full((layers, 1), 100), layers * 150, total)


IMPORTANCE = Importance(structures(), np.array([[1.0, 2, 3, 4], [8, 7, 6, 5]]), np.array([[2.0], [1.0]]))
TICKET = Ticket(
    mask=Mask.winning(IMPORTANCE, 0.5),
    kind="winning",
    sparsity=0.5,
    seed=3,
    encoder="minilm",
    rewind_sha256="ab" * 32,
    importance=IMPORTANCE,
    provenance={"versions": {"supertickets": "0.1.0"}, "task": "rte"},
)


@pytest.mark.parametrize("ticket", [TICKET, replace(TICKET, importance=None, provenance={})])
def test_round_trip(ticket: Ticket, tmp_path: Path) -> None:
    """A ticket read back equals the one saved, with and without importance."""
    ticket.save(tmp_path / "tickets" / "one")
    assert Ticket.load(tmp_path / "tickets" / "one") == ticket


def test_a_person_can_read_it(tmp_path: Path) -> None:
    """ticket.json shows kept units as ones, first layer first, with counts and weights remaining."""
    TICKET.save(tmp_path)
    body = json.loads((tmp_path / TICKET_FILE).read_text(encoding="utf-8"))
    assert body["layers"] == [{"heads": "0011", "ffn": "1"}, {"heads": "1100", "ffn": "0"}]
    assert body["heads"] == {"kept": 4, "of": 8}
    assert body["ffn"] == {"kept": 1, "of": 2}
    assert body["weights_remaining"] == {"all": 0.86, "encoder": 160 / 300}
    assert (body["kind"], body["sparsity"], body["seed"], body["encoder"]) == ("winning", 0.5, 3, "minilm")
    assert body["provenance"]["task"] == "rte"


NEURONS = Structures("toy", np.full((2, 4), 10), np.full((2, 12), 8), encoder_weights=300, total_weights=1000)
ORDER = Importance(NEURONS, IMPORTANCE.heads, np.arange(24.0).reshape(2, 12), "order")
FINE = replace(TICKET, mask=Mask.winning(ORDER, 0.5, multiple=3), importance=ORDER)


def test_neurons_are_counted_and_packed(tmp_path: Path) -> None:
    """Of 12 neurons a layer ticket.json shows how many are kept, and their bits as hex; it is read back the same."""
    FINE.save(tmp_path)
    body = json.loads((tmp_path / TICKET_FILE).read_text(encoding="utf-8"))
    assert [row["ffn"] for row in body["layers"]] == [{"kept": 0, "hex": "0000"}, {"kept": 12, "hex": "fff0"}]
    assert (body["ffn"], body["importance_scale"]) == ({"kept": 12, "of": 24}, "order")
    assert Ticket.load(tmp_path) == FINE


def test_neurons_that_were_edited(tmp_path: Path) -> None:
    """Another hex string than the stored mask's is refused."""
    FINE.save(tmp_path)
    path = tmp_path / TICKET_FILE
    path.write_text(path.read_text(encoding="utf-8").replace("fff0", "ffe0"), encoding="utf-8")
    with pytest.raises(UserError, match="damaged: its content is not that of its checksum"):
        Ticket.load(tmp_path)
    storage.write_sealed(path, {k: v for k, v in storage.read_json(path).items() if k != storage.SEAL})
    with pytest.raises(UserError, match="its layers differ from the stored mask"):
        Ticket.load(tmp_path)


def test_a_ticket_from_before_orders(tmp_path: Path) -> None:
    """Where no scale is written, the scores are raw."""
    TICKET.save(tmp_path)
    path = tmp_path / TICKET_FILE
    body = json.loads(path.read_text(encoding="utf-8"))
    assert body.pop("importance_scale") == "raw" and body.pop(storage.SEAL)
    path.write_text(json.dumps(body), encoding="utf-8")
    assert Ticket.load(tmp_path) == TICKET


def test_no_pickle_anywhere(tmp_path: Path) -> None:
    """The folder holds one JSON and one safetensors file, and nothing else."""
    TICKET.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [TICKET_FILE, ARRAYS_FILE]


def edited(folder: Path, **changes: Any) -> None:
    """Save the ticket and change its JSON, with the seal that fits it."""
    TICKET.save(folder)
    path = folder / TICKET_FILE
    storage.write_sealed(path, storage.read_sealed(path) | changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"layers": [{"heads": "1111", "ffn": "1"}, {"heads": "1100", "ffn": "0"}]},
            "its layers differ from the stored mask",
        ),
        ({"format": "supertickets ticket 9"}, "its format is 'supertickets ticket 9'"),
        ({"arrays_sha256": "0" * 64}, "damaged: its checksum is"),
        ({"kind": "lucky"}, "kind must be one of winning, random, losing, not 'lucky'"),
        ({"importance_scale": "log"}, "importance_scale must be one of raw, order, not 'log'"),
        ({"sparsity": 1.5}, "sparsity must be at least 0 and below 1, not 1.5"),
        ({"structures": {"architecture": "toy"}}, "not a description of structures"),
    ],
)
def test_load_refuses_what_was_edited(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """A ticket whose parts contradict each other is refused in one sentence."""
    edited(tmp_path, **changes)
    with pytest.raises(UserError, match=sentence):
        Ticket.load(tmp_path)


@pytest.mark.parametrize("missing", ["arrays_sha256", "seed", "structures"])
def test_load_names_a_missing_key(missing: str, tmp_path: Path) -> None:
    """A key that is gone is named."""
    TICKET.save(tmp_path)
    body = storage.read_sealed(tmp_path / TICKET_FILE)
    del body[missing]
    storage.write_sealed(tmp_path / TICKET_FILE, body)
    with pytest.raises(UserError, match=f"not a whole ticket .*{missing}"):
        Ticket.load(tmp_path)


def test_load_refuses_missing_and_torn_files(tmp_path: Path) -> None:
    """No folder, half a JSON, half a safetensors: each is a UserError that names the file."""
    with pytest.raises(UserError, match=f"{TICKET_FILE}: no such file"):
        Ticket.load(tmp_path / "nowhere")
    for name in (ARRAYS_FILE, TICKET_FILE):
        TICKET.save(tmp_path)
        body = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(body[: len(body) // 2])
        with pytest.raises(UserError, match=name):
            Ticket.load(tmp_path)


def test_fits_its_own_structures_and_another_vocabulary() -> None:
    """The same units fit, also beside embeddings of another size."""
    TICKET.check_fits(structures())
    TICKET.check_fits(structures(total=2000))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (structures(layers=6), "made for toy: 2 layers, 4 heads and 1 FFN units in each; the encoder is toy: 6 layers"),
        (structures(heads=2), "2 layers, 4 heads .* the encoder is toy: 2 layers, 2 heads"),
        (structures(head=9), "made for toy with 10 weights in a head; the encoder has 9"),
        (
            Structures("other", *(structures().heads, structures().ffn), 300, 1000),
            "made for toy.* the encoder is other",
        ),
    ],
)
def test_does_not_fit_another_architecture(other: Structures, sentence: str) -> None:
    """A ticket made for another architecture, or for other sizes, is refused with both sizes."""
    with pytest.raises(UserError, match=sentence):
        TICKET.check_fits(other)


def test_neurons_do_not_fit_sublayers() -> None:
    """A ticket of neurons is for an encoder seen as neurons, and of as many weights in each."""
    FINE.check_fits(NEURONS)
    with pytest.raises(
        UserError, match=r"4 heads and 12 FFN neurons in each; the encoder is .* and 1 FFN units in each"
    ):
        FINE.check_fits(structures())
    wider = Structures("toy", NEURONS.heads, NEURONS.ffn + 1, 400, 1000)
    with pytest.raises(UserError, match="made for toy with 8 weights in a FFN neuron; the encoder has 9"):
        FINE.check_fits(wider)


def test_refuses_importance_of_other_structures() -> None:
    """Mask and importance are of one encoder."""
    other = Importance(structures(total=999), IMPORTANCE.heads, IMPORTANCE.ffn)
    with pytest.raises(UserError, match=r"the mask is of toy.* the importance of toy"):
        replace(TICKET, importance=other)


def test_what_a_pruned_model_lacked_comes_back(tmp_path: Path) -> None:
    """The importance of a saved ticket still says which units were there."""
    structures = Structures("toy", np.full((2, 2), 4), np.full((2, 1), 9), encoder_weights=40, total_weights=50)
    present = (np.array([[True, False], [True, True]]), np.array([[True], [False]]))
    importance = Importance(structures, np.ones((2, 2)), np.ones((2, 1)), present=present)
    Ticket(Mask.winning(importance, 0.0), "winning", 0.0, 0, "some/encoder", "0" * 64, importance).save(tmp_path)
    assert Ticket.load(tmp_path).importance == importance
