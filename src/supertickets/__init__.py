"""Super tickets: the part of a pretrained encoder that, trained alone, does best on a task.

Every public name is imported from here. Each is loaded when first asked for, so that
`import supertickets` takes no time and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

# Two lists of the same names: this block for type checkers, the table below for Python.
# A test holds them equal.
if TYPE_CHECKING:
    from supertickets.config import Config as Config
    from supertickets.config import ShareConfig as ShareConfig
    from supertickets.config import TransferConfig as TransferConfig
    from supertickets.encoders.families import structures_of as structures_of
    from supertickets.encoders.gating import gate as gate
    from supertickets.encoders.loading import load as load
    from supertickets.encoders.pruning import prune as prune
    from supertickets.encoders.rewinding import RewindPoint as RewindPoint
    from supertickets.encoders.vocabulary import prune_vocabulary as prune_vocabulary
    from supertickets.errors import UserError as UserError
    from supertickets.learning.scoring import score as score
    from supertickets.tickets.importance import Importance as Importance
    from supertickets.tickets.masks import Mask as Mask
    from supertickets.tickets.structures import Structures as Structures
    from supertickets.tickets.ticket import Ticket as Ticket
    from supertickets.workflows.checking import check as check
    from supertickets.workflows.exporting import export as export
    from supertickets.workflows.finding import find as find
    from supertickets.workflows.finding import sweep as sweep
    from supertickets.workflows.predicting import predict as predict
    from supertickets.workflows.reporting import report as report
    from supertickets.workflows.sharing import share as share
    from supertickets.workflows.showing import show as show
    from supertickets.workflows.starting import init as init
    from supertickets.workflows.transferring import transfer as transfer

_HOME = {
    "Config": "config",
    "Importance": "tickets.importance",
    "Mask": "tickets.masks",
    "RewindPoint": "encoders.rewinding",
    "ShareConfig": "config",
    "Structures": "tickets.structures",
    "Ticket": "tickets.ticket",
    "TransferConfig": "config",
    "UserError": "errors",
    "check": "workflows.checking",
    "export": "workflows.exporting",
    "find": "workflows.finding",
    "gate": "encoders.gating",
    "init": "workflows.starting",
    "load": "encoders.loading",
    "predict": "workflows.predicting",
    "prune": "encoders.pruning",
    "prune_vocabulary": "encoders.vocabulary",
    "report": "workflows.reporting",
    "score": "learning.scoring",
    "share": "workflows.sharing",
    "show": "workflows.showing",
    "structures_of": "encoders.families",
    "sweep": "workflows.finding",
    "transfer": "workflows.transferring",
}

__all__ = sorted(_HOME)


# Pruned models load through transformers' own Auto classes, as soon as these are imported.
register_post_import_hook("supertickets.encoders.registry:register_all", "transformers.models.auto.configuration_auto")


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("supertickets")
    if name not in _HOME:
        raise AttributeError(f"module 'supertickets' has no attribute '{name}'")
    value = getattr(import_module(f"supertickets.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
