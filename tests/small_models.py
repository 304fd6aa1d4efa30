"""Small random models of every family, with weights far enough from their start that nothing is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    XLMRobertaConfig,
)

COMMON: dict[str, Any] = {"vocab_size": 99, "max_position_embeddings": 64}
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
# As in DeBERTa v3, but with position projections of their own, which v3 shares with query and key.
DISENTANGLED: dict[str, Any] = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
}
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**COMMON, **SIZES),
    "roberta": lambda: RobertaConfig(**COMMON, **SIZES),
    "electra": lambda: ElectraConfig(**COMMON, **SIZES, embedding_size=16),
    "distilbert": lambda: DistilBertConfig(**COMMON, dim=32, n_layers=3, n_heads=4, hidden_dim=48),
    "mpnet": lambda: MPNetConfig(**COMMON, **SIZES),
    "xlm-roberta": lambda: XLMRobertaConfig(**COMMON, **SIZES),
    "camembert": lambda: CamembertConfig(**COMMON, **SIZES),
    "deberta-v2": lambda: DebertaV2Config(**COMMON, **SIZES, **DISENTANGLED),
    # Three sets of weights, each of which two layers in a row use.
    "albert": lambda: AlbertConfig(
        **COMMON, **(SIZES | {"num_hidden_layers": 6}), num_hidden_groups=3, embedding_size=16
    ),
    "modernbert": lambda: ModernBertConfig(**COMMON, **SIZES, **SPECIAL_TOKENS, local_attention=12),
}
# MPNet and DeBERTa add position terms to their scores, which transformers runs under eager attention only.
EAGER_ONLY = ("mpnet", "deberta-v2")
VARIANTS = [
    (family, attention)
    for family in CONFIGS
    for attention in ("eager", "sdpa")
    if attention == "eager" or family not in EAGER_ONLY
]

Build = Callable[..., PreTrainedModel]


def build(
    family: str, attention: str = "eager", head: Any = AutoModelForSequenceClassification, **settings: Any
) -> PreTrainedModel:
    """A model of a family in evaluation mode; the same weights every time."""
    config = CONFIGS[family]()
    config._attn_implementation = attention
    for name, value in settings.items():
        setattr(config, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = head.from_config(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
    assert isinstance(model, PreTrainedModel)
    return model


def batch(examples: int = 6, tokens: int = 10, seed: int = 0) -> dict[str, torch.Tensor]:
    """Token ids of different lengths with their attention mask and two classes."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(examples, tokens, dtype=torch.long)
    mask[0, tokens // 2 :] = 0
    return {
        "input_ids": torch.randint(3, 99, (examples, tokens), generator=generator),
        "attention_mask": mask,
        "labels": torch.randint(0, 2, (examples,), generator=generator),
    }
