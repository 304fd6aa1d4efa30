"""Model -> a folder with an ONNX graph that gives its outputs; such a folder -> a model that ONNX Runtime runs."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from supertickets import storage
from supertickets.encoders.checkpoints import check_unchanged
from supertickets.encoders.export import write_checksums
from supertickets.encoders.families import OWN_TYPE, longest_input
from supertickets.encoders.loading import quiet
from supertickets.encoders.modeling_supertickets import CHECKSUMS_FILE
from supertickets.errors import UserError

ONNX_FILE = "model.onnx"
ABOUT_FILE = "onnx.json"
FORMAT = "supertickets onnx 1"
OPSET = 17
TOLERANCE = 1e-4
# Batch and length: the graph is traced with the first and must be right at the others, too. The last
# is longer than ModernBERT's window and reaches DeBERTa's and MPNet's wide buckets of distances.
TRACED, CHECKED = (2, 16), ((1, 7), (3, 160))

# What torch says about its older exporter, which we choose on purpose: the newer one writes layers
# without heads that ONNX Runtime cannot run. That the trace is right is measured after every export.
_EXPECTED = (
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
    ("Exporting aten::index operator of advanced indexing", UserWarning),
    ("To copy construct from a tensor", UserWarning),  # DeBERTa-v2's own
    ("Converting a tensor to a Python", Warning),
    ("torch.tensor results are registered as constants", Warning),
)

Inputs = dict[str, Tensor]


class OnnxModel:
    """An exported model that is called like the one it was exported from; runs on the CPU, in fp32.

    As many threads as torch has when it is loaded. `config` is the exported model's, `longest` the most
    tokens it takes, and `outputs` the number of dimensions of each output.
    """

    def __init__(self, config: Any, session: Any, longest: int) -> None:
        self.config, self.longest, self.device = config, longest, torch.device("cpu")
        self._session = session
        self.inputs = tuple(node.name for node in session.get_inputs())
        self.outputs = {node.name: len(node.shape) for node in session.get_outputs()}

    def eval(self) -> OnnxModel:
        """Itself: the graph holds no dropout."""
        return self

    def __call__(self, **batch: Tensor) -> Any:
        """The exported outputs by their names, such as `logits` (B, C); what the graph does not read is left out."""
        feed = {name: value.numpy().astype(np.int64) for name, value in batch.items() if name in self.inputs}
        for name in set(self.inputs) - set(feed):  # as torch does: all one text, nothing padded
            feed[name] = np.full(feed["input_ids"].shape, int(name == "attention_mask"), dtype=np.int64)
        found = self._session.run(list(self.outputs), feed)
        return SimpleNamespace(
            **{name: torch.from_numpy(array) for name, array in zip(self.outputs, found, strict=True)}
        )


def export_onnx(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write `model` (pruned or not, with any task head) as an ONNX folder, whole or not at all.

    The folder holds `model.onnx` with dynamic batch and length, the config, the tokenizer, `onnx.json`
    with the largest difference to torch that was measured, and `checksums.json`. Raises UserError when
    a package is missing, the model is not fp32, the folder is occupied, or ONNX Runtime's outputs
    differ from torch's by more than 1e-4.
    """
    with storage.atomic_folder(folder) as target:
        write_onnx(target, model, tokenizer)
        write_checksums(target)


def write_onnx(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write what `export_onnx` does into a folder that is there, but for the checksums; raises as it does."""
    _check_packages()
    if model.dtype != torch.float32:
        raise UserError(
            f"only fp32 models can be exported to ONNX; this one is {model.dtype}", "", "call model.float()"
        )
    with _evaluating(model), quiet():
        _write_graph(model, tokenizer.model_input_names, folder / ONNX_FILE)
        exported = OnnxModel(model.config, _session(folder / ONNX_FILE), longest_input(model))
        difference = largest_difference(model, exported)
        if not difference <= TOLERANCE:
            what = f"ONNX Runtime's outputs differ from torch's by {difference:.2g}, more than {TOLERANCE:g}"
            raise UserError(what, "", "run this model with torch")
        tokenizer.save_pretrained(folder)
        storage.write_json(folder / "config.json", _plain_config(model))
        about = {"format": FORMAT, "difference": difference, "longest": exported.longest}
        storage.write_json(folder / ABOUT_FILE, about)


def load_onnx(folder: Path) -> OnnxModel:
    """An exported folder as a model; raises UserError when a package or file is missing, torn or was changed."""
    _check_packages()
    about = storage.read_json(folder / ABOUT_FILE)
    if about.get("format") != FORMAT or "longest" not in about:
        raise UserError("not an ONNX folder that was exported here", str(folder / ABOUT_FILE), "export the model again")
    listed = storage.read_json(folder / CHECKSUMS_FILE) if (folder / CHECKSUMS_FILE).is_file() else ()
    for name in (ONNX_FILE, "config.json", *listed):
        if not (folder / name).is_file():
            raise UserError("no such file", str(folder / name), "export the model again")
    check_unchanged(str(folder))
    return OnnxModel(
        AutoConfig.from_pretrained(folder, trust_remote_code=False), _session(folder / ONNX_FILE), about["longest"]
    )


def largest_difference(model: PreTrainedModel, exported: OnnxModel) -> float:
    """The largest absolute difference of any output, over batches of other shapes than the traced one."""
    differences = []
    for batch, length in CHECKED:
        inputs = _example(model, exported.inputs, batch, length)
        with torch.no_grad():
            ours = model(**inputs)
        theirs = exported(**{name: value.cpu() for name, value in inputs.items()})
        differences += [(ours[name].cpu() - getattr(theirs, name)).abs().max().item() for name in exported.outputs]
    return float(np.max(differences))  # NaN stays NaN


class _Outputs(nn.Module):
    """A model with its inputs by position and its outputs as a tuple, which is what the exporter traces."""

    def __init__(self, model: PreTrainedModel, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        found = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(found[name] for name in self.outputs)


def _write_graph(model: PreTrainedModel, wanted: Sequence[str], path: Path) -> None:
    """Trace the model into a file; inputs are those wanted that the model takes, outputs all its tensors."""
    example = _example(model, wanted, *TRACED)
    length = example["input_ids"].shape[-1]
    with torch.no_grad():
        found = {name: value for name, value in model(**example).items() if isinstance(value, Tensor)}
        axes: dict[str, dict[int, str]] = {}
        for name, value in (*example.items(), *found.items()):
            place = value.ndim - 1 if name in example else 1
            axes[name] = {0: "batch"} | ({place: "length"} if value.shape[place:][:1] == (length,) else {})
        with warnings.catch_warnings():
            for message, category in _EXPECTED:
                warnings.filterwarnings("ignore", message, category)
            torch.onnx.export(
                _Outputs(model, list(example), list(found)).eval(), tuple(example.values()), str(path),
                input_names=list(example), output_names=list(found), dynamic_axes=axes,
                opset_version=OPSET, dynamo=False,
            )  # fmt: skip


def _example(model: PreTrainedModel, wanted: Sequence[str], batch: int, length: int) -> Inputs:
    """Token ids (B, T), or (B, C, T) for multiple choice, the first row padded to half unless it is alone."""
    shape = (batch, 2) if type(model).__name__.endswith("ForMultipleChoice") else (batch,)
    names = [name for name in wanted if name in inspect.signature(model.forward).parameters]
    shape = (*shape, min(length, longest_input(model)))
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, shape)
    padding, kinds = np.ones(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    if batch > 1:
        padding[0, ..., shape[-1] // 2 :] = 0
    if int(getattr(model.config, "type_vocab_size", 0) or 0) > 1:
        kinds[..., shape[-1] // 3 :] = 1
    values = {"input_ids": ids, "attention_mask": padding, "token_type_ids": kinds}
    return {name: torch.from_numpy(values[name]).to(model.device) for name in names}


def _plain_config(model: PreTrainedModel) -> Mapping[str, Any]:
    """The config under the architecture's own name, so that tools for ONNX folders read it without this package."""
    body: dict[str, Any] = json.loads(model.config.to_json_string())
    body.pop("auto_map", None)
    return body | {"model_type": body["model_type"].removeprefix(OWN_TYPE)}


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        what = f"ONNX needs the package {' and '.join(missing)}, which is not installed"
        raise UserError(what, "", "pip install 'supertickets[onnx]'")


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout inside the block, and in the mode of before after it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
