"""The battery on pretrained checkpoints that packages ship; each is skipped, with the reason, where its package is not.

The three chemistry and antibody packages need no installation, only to be unpacked somewhere:
`pip install --no-deps --target DIR rxnfp rxnmapper antiberty==0.1.3`, and DIR in $SUPERTICKETS_CHECKPOINTS.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import AlbertForMaskedLM, AutoModelForSequenceClassification, BertForMaskedLM, PreTrainedModel

from supertickets.encoders.checkpoints import resolve
from supertickets.encoders.families import structures_of
from supertickets.encoders.loading import quiet
from supertickets.errors import UserError
from supertickets.testing import CHECKS, family_checks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ALIASES = {"minilm": (6, 12, 1536), "mpnet": (12, 12, 3072)}
PACKAGES = {
    "rxnfp": ("models/transformers/bert_pretrained", (12, 4, 512)),
    "antiberty": ("trained_models/AntiBERTy_md_smooth", (8, 8, 2048)),
    "rxnmapper": ("models/transformers/albert_heads_8_uspto_all_1310k", (1, 8, 512)),  # its 12 layers share one set
}


def folder_of(name: str) -> str:
    """Where a checkpoint lies; skips the test where it is not installed."""
    if name in ALIASES:
        try:
            return resolve(name)
        except UserError as fault:
            pytest.skip(str(fault))
    inside, _ = PACKAGES[name]
    beside, found = os.environ.get("SUPERTICKETS_CHECKPOINTS"), find_spec(name)
    homes = [Path(beside, name)] if beside else []
    homes += [Path(place) for place in found.submodule_search_locations or []] if found else []
    for home in homes:
        if (home / inside).is_dir():
            return str(home / inside)
    pytest.skip(f"needs the package {name}: see the top of {Path(__file__).name}")


# By class and not through an Auto class: rxnfp's config.json, of an older transformers, names no model_type.
HEADS = {"rxnfp": BertForMaskedLM, "antiberty": BertForMaskedLM, "rxnmapper": AlbertForMaskedLM}


def loaded(name: str) -> PreTrainedModel:
    """A checkpoint in evaluation mode, under its own masked-language head where it has one."""
    with quiet():
        model = HEADS.get(name, AutoModelForSequenceClassification).from_pretrained(folder_of(name))
    assert isinstance(model, PreTrainedModel)
    return model.eval()


@pytest.fixture(scope="module")
def models() -> dict[str, PreTrainedModel]:
    """One checkpoint at a time, loaded once for all its checks."""
    return {}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [*ALIASES, *PACKAGES])
def test_checkpoint_passes(name: str, check: str, models: dict[str, PreTrainedModel]) -> None:
    """A pretrained encoder, with its pretrained head where it has one, passes every check."""
    if name not in models:
        models.clear()
        models[name] = loaded(name)
    dict(family_checks(models[name]))[check]()


@pytest.mark.parametrize("name", [*ALIASES, *PACKAGES])
def test_checkpoint_has_the_units_it_is_known_for(name: str) -> None:
    """Layers with weights of their own, heads and neurons of each."""
    structures = structures_of(loaded(name), "neuron")
    known = ALIASES[name] if name in ALIASES else PACKAGES[name][1]
    assert (structures.layers, structures.heads_per_layer, structures.units_per_layer) == known
