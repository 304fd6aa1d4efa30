"""(model, examples) -> predictions, in the order of the examples."""

from __future__ import annotations

import numpy as np
import torch
from datasets import Dataset
from jaxtyping import Float
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from supertickets.data.batching import EvaluationBatches, collator
from supertickets.encoders.onnx import OnnxModel


def predict(
    model: PreTrainedModel | OnnxModel, examples: Dataset, tokenizer: PreTrainedTokenizerBase, *, batch_size: int = 64
) -> Float[np.ndarray, "n *C"]:
    """Logits (n, classes) of every example, or values (n,) where the head has one output; fp32, no dropout.

    Examples run in order of length, to pad little, and come back in their own order.
    """
    model.eval()
    outputs = np.empty((len(examples), int(model.config.num_labels or 1)), dtype=np.float32)
    with torch.inference_mode():
        for indices, batch in EvaluationBatches(examples, collator(tokenizer), batch_size):
            inputs = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
            outputs[indices] = model(**inputs).logits.float().cpu().numpy()
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs
