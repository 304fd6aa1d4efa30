"""The own model types of pruned models, made known to transformers' Auto classes. Loads no torch by itself.

`import supertickets` asks for `register_all` to be called as soon as transformers' Auto classes are
imported, and then each class is made when first needed: nobody waits for what is not used.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

OWN_TYPE = "supertickets-"  # before the model_type of a pruned model
# The keys of families.FAMILIES, which needs torch; a test holds them equal.
MODEL_TYPES = (
    "albert",
    "bert",
    "camembert",
    "deberta-v2",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "roberta",
    "xlm-roberta",
)
AUTO = "transformers.models.auto.configuration_auto"


class _Later:
    """Stands for an own config class until transformers asks for anything but its name."""

    def __init__(self, model_type: str, name: str) -> None:
        self._model_type = model_type
        self.__name__ = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(config_class(self._model_type), attribute)

    def __call__(self, **settings: Any) -> PreTrainedConfig:
        return config_class(self._model_type)(**settings)


def register_all(auto: ModuleType) -> None:
    """Make the pruned models of every family known; `auto` is the module that holds transformers' config classes."""
    for model_type in MODEL_TYPES:
        name = f"Ticket{auto.CONFIG_MAPPING_NAMES[model_type]}"
        auto.CONFIG_MAPPING.register(f"{OWN_TYPE}{model_type}", _Later(model_type, name), exist_ok=True)


@cache
def config_class(model_type: str) -> type[PreTrainedConfig]:
    """The own config class of a stock model type, known from now on to AutoConfig and to the AutoModels of its heads.

    Raises KeyError for an architecture that is not transformers' own.
    """
    from supertickets.encoders import modeling_supertickets as own

    names = own.auto_map(import_module(AUTO).CONFIG_MAPPING_NAMES[model_type])
    made: type[PreTrainedConfig] = getattr(own, names["AutoConfig"])
    import_module(AUTO).AutoConfig.register(made.model_type, made, exist_ok=True)
    heads = import_module("transformers.models.auto.modeling_auto")
    for auto, name in names.items():
        if auto != "AutoConfig":
            getattr(heads, auto).register(made, getattr(own, name), exist_ok=True)
    return made


def own_config(config: PreTrainedConfig) -> None:
    """Turn a pruned model's config, in place, into that of its own model type, under which its folder loads.

    The model keeps its class: transformers looks up by class what a forward pass can record. A config
    whose class is not transformers' own is left alone.
    """
    stock = config.model_type.removeprefix(OWN_TYPE)
    if type(config).__module__.startswith("transformers.") and stock in import_module(AUTO).CONFIG_MAPPING_NAMES:
        config.__class__ = config_class(stock)
        config.__dict__.pop("model_type", None)  # a config that was read from a file has it on itself, too
