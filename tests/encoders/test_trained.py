"""A tuned model comes back with its own head, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForTokenClassification

from small_examples import tokenizer
from small_models import CONFIGS, batch, build
from supertickets.encoders.trained import load_trained
from supertickets.errors import UserError


@pytest.mark.parametrize("family", CONFIGS)
def test_the_head_is_the_trained_one(family: str, tmp_path: Path) -> None:
    """Saved and loaded, the logits are the same, and no random number was drawn from the caller's."""
    model = build(family, num_labels=3)
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    before = torch.get_rng_state()
    loaded, words = load_trained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before) and not loaded.training
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, rtol=0, atol=1e-6)
    assert len(words) == 99


@pytest.mark.parametrize("head", [AutoModel, AutoModelForTokenClassification])
@pytest.mark.parametrize("family", CONFIGS)
def test_no_random_head(family: str, head: type, tmp_path: Path) -> None:
    """An encoder alone, or one tuned for another kind of task, is refused."""
    build(family, head=head).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no trained head to classify texts with"):
        load_trained(tmp_path)


def test_missing_and_torn_weights(tmp_path: Path) -> None:
    """One weight less, or half a file: one sentence."""
    build("bert").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    save_file({name: value for name, value in weights.items() if name != "classifier.bias"}, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"\(classifier.bias is missing\)"):
        load_trained(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="its weights cannot be read"):
        load_trained(tmp_path)
