"""A full stock model -> one that holds only the kept heads and neurons, and the classes that load it so.

This file needs torch and transformers alone: a copy of it travels in every pruned model's folder, where
it loads the model on machines without this package. transformers 5 has no head pruning left, so the
projections are sliced here. What the stock forward pass cannot express (no head at all, no FFN at
all, a per-head position bias) gets a small module or hook of its own, so that pruned models train,
save and run under any attention backend.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

OWN = "Ticket"  # before the name of a stock class
OWN_TYPE = "supertickets-"  # before the stock model_type
HEADS = (
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
    "ForPreTraining",
)
CHECKSUMS_FILE = "checksums.json"  # of an exported folder: file -> SHA-256

_BYPASSES: dict[type[nn.Module], type[NoHeads]] = {}


class Constant(nn.Module):
    """An output projection without inputs: what is left of it is its bias, broadcast over tokens."""

    def __init__(self, projection: nn.Linear) -> None:
        super().__init__()
        self.out_features = projection.out_features
        self.bias = projection.bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The bias (D,), or zeros where there is none, for every token of (B, T, *)."""
        if self.bias is None:
            return hidden_states.new_zeros(*hidden_states.shape[:-1], self.out_features)
        return self.bias.to(hidden_states.dtype).expand(*hidden_states.shape[:-1], -1)


class NoHeads(nn.Module):
    """Self-attention of a layer that keeps no head: passes its input through what is left of it.

    The stock attention turns into this in place, as a subclass of its own class, so that hooks stay
    and transformers, which records attention weights by class, finds one entry for every layer.
    """

    stock: ClassVar[type[nn.Module]]
    kept_parts: tuple[str, ...]
    kept_norm: str | None

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor | None]:
        """What the stock attention returns: its output, and attention weights of no head (B, 0, T, T) if eager."""
        output = hidden_states
        for name in self.kept_parts:
            output = getattr(self, name)(output)
        if self.kept_norm is not None:
            output = getattr(self, self.kept_norm)(hidden_states + output)
        backend = getattr(getattr(self, "config", None), "_attn_implementation", "eager")
        if backend != "eager":  # the fused backends return no weights for any layer
            return output, None
        batch, tokens = hidden_states.shape[:2]
        return output, hidden_states.new_zeros(batch, 0, tokens, tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled by the stock class, as the subclass has no name to be imported by."""
        return _blank, (self.stock,), self.__dict__


class NoFfn(nn.Module):
    """FFN of a layer that dropped it, output bias included: adds nothing to the residual stream."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Zeros of the input's shape."""
        return torch.zeros_like(hidden_states)


def shrink(
    model: PreTrainedModel,
    heads: Sequence[Sequence[int]],
    ffn: Sequence[Sequence[int] | None],
    family: Mapping[str, Any],
) -> None:
    """Keep only these heads and FFN neurons of each layer, in place; None drops a whole FFN sublayer.

    Units are numbered as the model has them now. `family` is the architecture's row of paths. A layer
    without heads keeps its output projection's bias, and so does an FFN without neurons; a dropped
    sublayer does not. Raises ValueError when the number of layers differs, and a LookupError or
    RuntimeError for units that are not there.
    """
    size = model.config.hidden_size // model.config.num_attention_heads
    layers = layers_at(model.base_model, family["layers"])
    for layer, kept_heads, kept_neurons in zip(layers, heads, ffn, strict=True):
        _keep_heads(layer, kept_heads, size, family)
        _keep_neurons(layer, kept_neurons, family)


def unpack(kept: Mapping[str, Any], units: int) -> tuple[list[list[int]], list[list[int] | None]]:
    """The kept heads and neurons of each layer, as `shrink` takes them, from a config's JSON form.

    There an FFN is 1 (whole), 0 (dropped) or a hexadecimal string with one bit for each of its
    `units` neurons. Raises ValueError for any other value.
    """
    return [[int(head) for head in row] for row in kept["heads"]], [_neurons(entry, units) for entry in kept["ffn"]]


def layers_at(module: nn.Module, path: str) -> list[nn.Module]:
    """The layers at a dotted path, in which * stands for every child; each distinct layer once."""
    found = [module]
    for name in path.split("."):
        found = [child for one in found for child in (one.children() if name == "*" else [getattr(one, name)])]
    return found


def part(module: nn.Module, path: str) -> nn.Module:
    """The submodule at a dotted path."""
    return reduce(getattr, path.split("."), module)


def linear(module: nn.Module, path: str) -> nn.Linear:
    """The projection at a dotted path; raises TypeError when another kind of module is there."""
    found = part(module, path)
    if not isinstance(found, nn.Linear):
        raise TypeError(f"{path} is a {type(found).__name__}, not a linear projection")
    return found


def replace_part(module: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` at a dotted path."""
    parent, _, name = path.rpartition(".")
    setattr(part(module, parent) if parent else module, name, new)


def projection_paths(layer: nn.Module, family: Mapping[str, Any]) -> list[str]:
    """Where the projections are whose rows belong to heads: optional ones only if this model has them."""
    names = dict(layer.named_modules())
    return [*family["projections"], *(path for path in family["optional"] if path in names)]


def _keep_heads(layer: nn.Module, kept: Sequence[int], size: int, family: Mapping[str, Any]) -> None:
    core = part(layer, family["core"])
    if isinstance(core, NoHeads):
        return
    output = linear(layer, family["output"])
    width = output.in_features
    if len(kept) * size == width:
        return
    counts = {"num_attention_heads": len(kept), "n_heads": len(kept), "all_head_size": len(kept) * size}
    for name, count in counts.items():
        if hasattr(core, name):
            setattr(core, name, count)
    if not kept:
        _drop_attention(layer, core, family)
        return
    columns = [head * size + offset for head in kept for offset in range(size)]
    for path in projection_paths(layer, family):
        _keep_rows(linear(layer, path), columns, width)
    _keep_columns(output, columns)
    if family["position_bias"] is not None:
        core.register_forward_pre_hook(partial(_keep_biases, family["position_bias"], tuple(kept)))


def _drop_attention(layer: nn.Module, core: nn.Module, family: Mapping[str, Any]) -> None:
    for path in projection_paths(layer, family):
        parent, _, name = path.rpartition(".")
        delattr(part(layer, parent), name)
    replace_part(layer, family["output"], Constant(linear(layer, family["output"])))
    core.__class__ = _without_heads(type(core))
    assert isinstance(core, NoHeads)
    core.kept_parts, core.kept_norm = tuple(family["after"]), family["norm"]


def _keep_neurons(layer: nn.Module, kept: Sequence[int] | None, family: Mapping[str, Any]) -> None:
    whole = family["ffn_out"].startswith(f"{family['ffn']}.")  # the module `ffn` ends with the output projection
    if whole and isinstance(part(layer, family["ffn"]), NoFfn):
        return
    out = part(layer, family["ffn_out"])
    if kept is None and whole:
        replace_part(layer, family["ffn"], NoFfn())
    elif kept is None:
        replace_part(layer, family["ffn"], nn.Identity())
        replace_part(layer, family["ffn_out"], NoFfn())
    elif isinstance(out, nn.Linear) and not kept:
        replace_part(layer, family["ffn_in"] if whole else family["ffn"], nn.Identity())
        replace_part(layer, family["ffn_out"], Constant(out))
    elif isinstance(out, nn.Linear) and len(kept) < out.in_features:
        _keep_rows(linear(layer, family["ffn_in"]), kept, out.in_features)
        _keep_columns(out, kept)


def _keep_rows(projection: nn.Linear, kept: Sequence[int], width: int) -> None:
    """Keep the rows, biases included, of these units in every block of `width` rows: fused projections have several."""
    rows = [start + row for start in range(0, projection.out_features, width) for row in kept]
    index = torch.tensor(rows, device=projection.weight.device)
    projection.weight = _selected(projection.weight, 0, index)
    if projection.bias is not None:
        projection.bias = _selected(projection.bias, 0, index)
    projection.out_features = len(rows)


def _keep_columns(projection: nn.Linear, kept: Sequence[int]) -> None:
    projection.weight = _selected(projection.weight, 1, torch.tensor(kept, device=projection.weight.device))
    projection.in_features = len(kept)


def _selected(weight: Tensor, dim: int, index: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().index_select(dim, index), requires_grad=weight.requires_grad)


def _keep_biases(position: int, kept: tuple[int, ...], _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a pruned attention only its own heads' columns of the shared relative-position bias."""
    bias = arguments[position]
    sliced = bias if bias is None else bias[:, list(kept)]
    return (*arguments[:position], sliced, *arguments[position + 1 :])


def _neurons(entry: Any, units: int) -> list[int] | None:
    if entry in (0, 1):
        return list(range(units)) if entry else None
    bits = bytes.fromhex(str(entry))
    if len(bits) != (units + 7) // 8:
        raise ValueError(f"{len(bits)} bytes of kept neurons do not fit {units} neurons")
    return [unit for unit in range(units) if bits[unit // 8] >> (7 - unit % 8) & 1]


def _without_heads(stock: type[nn.Module]) -> type[NoHeads]:
    """The bypass of a stock attention's class, made once."""
    if stock not in _BYPASSES:
        _BYPASSES[stock] = type("NoHeads", (NoHeads, stock), {"stock": stock, "__module__": __name__})
    return _BYPASSES[stock]


def _blank(stock: type[nn.Module]) -> NoHeads:
    bypass = _without_heads(stock)
    return bypass.__new__(bypass)


class ChangedFileError(OSError):
    """A file of an exported folder is not the one that was exported."""


def check_unchanged(folder: Path) -> None:
    """Raise ChangedFileError where a file of the folder has another checksum than the one listed there, if any is."""
    checksums = folder / CHECKSUMS_FILE
    if not checksums.is_file():
        return
    try:
        listed = dict(json.loads(checksums.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as fault:
        raise ChangedFileError(f"{checksums}: torn or not a list of checksums ({fault})") from fault
    for name, sha256 in listed.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ChangedFileError(f"{checksums}: it lists {name!r}, which is not in this folder")
        if (folder / name).is_file() and _sha256(folder / name) != sha256:
            raise ChangedFileError(
                f"{folder}: {name} is not the file that was exported: its checksum differs; "
                f"make the folder again (`export`, or `find`), or delete {CHECKSUMS_FILE} if it was meant"
            )


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def auto_map(config_name: str) -> dict[str, str]:
    """Auto class -> the own class, by name, of a stock config's architecture: one for each head that it has."""
    stem = config_name.removesuffix("Config")
    own = {f"AutoModel{head.removeprefix('Model')}": f"{stem}{head}" for head in HEADS}
    have = {auto: f"{OWN}{name}" for auto, name in own.items() if hasattr(transformers, name)}
    return {"AutoConfig": f"{OWN}{config_name}"} | have


def __getattr__(name: str) -> Any:
    """The own class of a stock one, made when first asked for: TicketBertModel of BertModel, TicketBertConfig."""
    stock = getattr(transformers, name.removeprefix(OWN), None) if name.startswith(OWN) else None
    if not isinstance(stock, type):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    make = _config_class if issubclass(stock, PreTrainedConfig) else _model_class
    globals()[name] = make(name, stock)  # so that copies and pickles find it by its name
    return globals()[name]


def _config_class(name: str, stock: type[Any]) -> type[Any]:
    def to_dict(self: Any) -> dict[str, Any]:
        here = __name__.rpartition(".")[-1]
        places = {auto: f"{here}.{own}" for auto, own in auto_map(stock.__name__).items()}
        plain: dict[str, Any] = stock.to_dict(self)
        return plain | {"auto_map": places}

    def save_pretrained(self: Any, save_directory: Any, *arguments: Any, **options: Any) -> None:
        stock.save_pretrained(self, save_directory, *arguments, **options)
        # A model is saved here: what was exported into this folder before is meant to change.
        Path(save_directory, CHECKSUMS_FILE).unlink(missing_ok=True)

    body = {"model_type": f"{OWN_TYPE}{stock.model_type}", "to_dict": to_dict, "save_pretrained": save_pretrained}
    body["_auto_class"] = "AutoConfig"
    return type(name, (stock,), {"__module__": __name__, "__doc__": f"{stock.__name__} of a pruned model."} | body)


def _model_class(name: str, stock: type[Any]) -> type[Any]:
    def __init__(self: Any, config: Any, *arguments: Any, **options: Any) -> None:
        stock.__init__(self, config, *arguments, **options)
        kept = getattr(config, "supertickets", None)
        if kept is not None:
            heads, ffn = unpack(kept, getattr(config, kept["family"]["neurons"]))
            known = range(config.num_attention_heads)
            if any(row != sorted(set(row).intersection(known)) for row in heads):
                raise ValueError(f"kept heads must be ascending numbers below {len(known)}")
            shrink(self, heads, ffn, kept["family"])

    def from_pretrained(cls: Any, name: Any, *arguments: Any, **options: Any) -> Any:
        if name is not None:
            check_unchanged(Path(name, options.get("subfolder") or ""))
        return stock.from_pretrained.__func__(cls, name, *arguments, **options)

    config_class = globals().get(own := f"{OWN}{stock.config_class.__name__}") or __getattr__(own)
    body = {"__init__": __init__, "from_pretrained": classmethod(from_pretrained), "config_class": config_class}
    return type(name, (stock,), {"__module__": __name__, "__doc__": f"{stock.__name__}, pruned."} | body)
