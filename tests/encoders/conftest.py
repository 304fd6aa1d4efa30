"""Every family under every attention backend it has."""

from __future__ import annotations

import pytest
from transformers import PreTrainedModel

from small_models import VARIANTS, build


@pytest.fixture(params=VARIANTS, ids=["-".join(variant) for variant in VARIANTS])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Every family under every attention backend it has."""
    family, attention = request.param
    return build(family, attention)
