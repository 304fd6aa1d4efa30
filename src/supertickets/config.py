"""Every setting of a sweep, as frozen values that refuse to be wrong.

The docstring under a field is its help: `supertickets init` prints it as the comment above the
field, the command line shows it, and the reference page of the docs is made from it.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from supertickets.endings import BaselinesConfig, DeliveryConfig, Dropout, Epochs, LearningRate, type_config

Budget = Literal["smoke", "laptop", "paper"]
RecipeName = Literal["paper", "best"]
Kind = Literal["winning", "random", "losing"]
Scored = Literal["seed", "consensus"]
AcrossSeeds = Literal["per_seed", "common"]
ScorerName = Literal["as_described", "as_released", "taylor", "divergence", "magnitude", "random"]
Ranking = Literal["apart", "joint"]
FfnUnit = Literal["sublayer", "neuron"]
Optimiser = Literal["adamw", "adamax"]
Precision = Literal["auto", "fp32", "bf16"]
Arm = Literal["multitask", "sharing", "random"]
TransferArm = Literal["pretrained", "multitask", "sharing-full", "sharing", "random"]
Mixture = Literal["proportional", "temperature", "annealed", "uniform"]
Teacher = Literal["none", "full"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]
Measure = Literal["params", "flops", "latency"]
TaskKind = Literal["auto", "classification", "regression"]
Strategy = Literal["grid", "race"]

Level = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(gt=0, le=1)]


def parse_target(text: str) -> tuple[Measure, float]:
    """The measure of a target and its share of the full model's: `params=0.8`; raises ValueError for any other text."""
    name, _, share = text.partition("=")
    for measure in get_args(Measure):
        if name == measure and 0 < float(share) < 1:
            return measure, float(share)
    raise ValueError(text)


def _target(text: str) -> str:
    try:
        parse_target(text)
    except ValueError:
        words = "must be params=, flops= or latency= with a share between 0 and 1, such as params=0.8"
        raise PydanticCustomError("target", words) from None
    return text


def _gpus(share: float) -> float:
    if share > 1 and share != int(share):
        raise PydanticCustomError("gpus", "must be a share of one GPU, or a whole number of them")
    return share


@dataclass(frozen=True, config=type_config)
class DataConfig:
    """Which examples: a known task in a folder, or the user's own files."""

    task: str | None = None
    """A known task (cola, sst2, mrpc, stsb, rte, wnli, qnli, qqp, mnli, snli, scitail), or a name for your own data."""
    folder: str | None = None
    """Folder that holds the known task's files, in the layout they are published in."""
    train: str | None = None
    """Your training examples: a CSV, TSV, JSONL or Parquet file, a dataset folder, or a hub dataset as name:split."""
    test: str | None = None
    """Your report examples, same formats; never looked at by any choice."""
    text: str = "text"
    """Column that holds the text."""
    text_pair: str | None = None
    """Column that holds the second text, for tasks on pairs of sentences."""
    label: str = "label"
    """Column that holds the label (words or whole numbers) or the number to predict."""
    kind: TaskKind = "auto"
    """Classification or regression; auto reads it off the labels: numbers with a fraction mean regression."""
    train_examples: Positive | None = None
    """Use at most this many training examples (a seeded, stratified draw); empty means all."""
    report_examples: Positive | None = None
    """Use at most this many report examples (a seeded, stratified draw); empty means all."""


@dataclass(frozen=True, config=type_config)
class EncoderConfig:
    """Which pretrained encoder."""

    name: str = "minilm"
    """A local folder, a hub id, or an alias: minilm, mpnet."""
    max_length: Annotated[int, Field(ge=8, le=8192)] = 128
    """Longest input in tokens; longer texts are cut."""
    head: AcrossSeeds = "per_seed"
    """The fresh task head: per_seed (each seed draws its own) or common (one for all seeds, as soups need it)."""


@dataclass(frozen=True, config=type_config)
class UnitsConfig:
    """What a ticket keeps or drops, next to whole attention heads."""

    ffn: FfnUnit = "sublayer"
    """FFN units: sublayer (whole feed-forward sublayers, as published) or neuron (single intermediate neurons)."""
    multiple: Positive = 8
    """Neurons go in blocks of this many, or the largest common divisor of it and a layer's: fast sizes; 1: singly."""


@dataclass(frozen=True, config=type_config)
class TrainingConfig:
    """How the full model and every ticket are fine-tuned."""

    epochs: Epochs = 3.0
    """Passes over the training examples."""
    batch_size: Positive = 32
    """Examples in one optimiser step, before gradient accumulation."""
    gradient_accumulation: Positive = 1
    """Batches whose gradients are added up before one optimiser step."""
    learning_rate: LearningRate = 5e-5
    """Peak learning rate; it rises linearly over the warmup and then falls linearly to zero."""
    optimiser: Optimiser = "adamw"
    """adamw, or adamax (the published recipe)."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Decoupled weight decay on all but biases and layer norms."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps over which the learning rate rises."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm."""
    head_dropout: Dropout = 0.1
    """Dropout before the task head."""
    encoder_dropout: Dropout | None = None
    """Dropout inside the encoder; empty leaves that of its checkpoint."""
    precision: Precision = "auto"
    """fp32, bf16 (autocast), or auto: bf16 where the processor has it."""
    teacher: Teacher = "none"
    """full: tickets also learn from the tuned full model's outputs (distillation); none: from the labels alone."""
    teacher_weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the teacher's term in the loss; the labels have the rest."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Teacher's and ticket's logits are divided by this before they are compared."""
    log_to: tuple[Tracker, ...] = ()
    """Where losses are logged while training: tensorboard, wandb, mlflow; each needs its own package."""


@dataclass(frozen=True, config=type_config)
class ScoringConfig:
    """How units are scored on the tuned model."""

    scorer: ScorerName = "as_described"
    """as_described (the paper), as_released (the 2021 code), taylor, divergence (no labels), magnitude or random."""
    rounds: Positive = 1
    """1 scores once, as published; more drop units in that many rounds and score what is left again after each."""
    examples: Positive | None = None
    """Score on at most this many training examples; empty means all."""
    resamples: Annotated[int, Field(ge=0, le=1000)] = 0
    """Bootstrap resamples of these examples to score on as well, at no further pass over them."""


@dataclass(frozen=True, config=type_config)
class TicketsConfig:
    """Which tickets are drawn."""

    levels: tuple[Level, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    """Sparsity levels: share of the heads, and of the FFN units, that are dropped; none where a target sets it."""
    control_levels: tuple[Level, ...] = (0.2, 0.4, 0.6)
    """Levels, among the levels, at which the control kinds (random, losing) are drawn."""
    kinds: tuple[Kind, ...] = ("winning", "random", "losing")
    """Kinds of ticket; winning is always drawn."""
    min_heads: Annotated[int, Field(ge=0)] = 1
    """Heads that each layer keeps at the least (1 as published; 0 lets a layer lose all)."""
    ranking: Ranking = "apart"
    """Heads and FFN units ranked apart (as published), or joint: all units by importance per weight."""
    target: Annotated[str, AfterValidator(_target)] | None = None
    """A budget that sets the one level: params=0.8, flops=0.7 or latency=0.7, as a share of the full model's."""
    importance: Scored = "seed"
    """Whose importance draws a ticket: its own seed's, or the consensus of all seeds (one mask for all of them)."""


@dataclass(frozen=True, config=type_config)
class SelectionConfig:
    """The examples, held out of the training set, that choose the super ticket."""

    pooled_examples: Positive = 1000
    """Selection examples aimed at, pooled over the seeds (each seed holds out its own)."""
    min_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Smallest share of the training examples that one seed holds out."""
    max_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Largest share of the training examples that one seed holds out."""
    split: AcrossSeeds = "per_seed"
    """per_seed: each seed holds out its own examples; common: all the same, as whatever joins seeds needs it."""


@dataclass(frozen=True, config=type_config)
class RaceConfig:
    """When the strategy race stops running a level; docs/statistics.md says what it promises."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    """Chance, in the end, that the grid's choice would be the race's, or better by no more than the tolerance."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Gain in mean selection score that is not worth more runs: 0.005 is half a point; 0 wants the grid's choice."""
    checkpoints: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Shares of a training, such as [0.5], at which a hopeless run of the first seed is ended; none: never."""


@dataclass(frozen=True, config=type_config)
class SamplingConfig:
    """Whose turn it is in multi-task training."""

    mixture: Mixture = "proportional"
    """Batches per task and epoch: proportional to sizes (as published), temperature, annealed or uniform."""
    temperature: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """For the mixture temperature: sizes are raised to one over this; 1 is proportional."""
    weights: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None
    """Shares of the batches by task, adding up to 1; they stand in for the mixture."""


@dataclass(frozen=True, config=type_config)
class ClusterConfig:
    """What one run takes of a node, with --workers ray; how many run at once follows from it."""

    cores_per_run: Positive = 1
    """Cores, and threads, of a run."""
    memory_per_run: Annotated[float, Field(gt=0)] | None = None
    """GiB of memory kept for a run; empty: none is kept."""
    gpus_per_run: Annotated[float, Field(ge=0), AfterValidator(_gpus)] | None = None
    """GPUs of a run, such as 0.25 for four runs on one; 0 for none; empty: one where the cluster has any."""


@dataclass(frozen=True, config=type_config)
class Config:
    """One sweep over one task."""

    data: DataConfig = field(default_factory=DataConfig)
    """Which examples."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Which pretrained encoder."""
    units: UnitsConfig = field(default_factory=UnitsConfig)
    """What a ticket keeps or drops."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How models are fine-tuned."""
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """How units are scored."""
    tickets: TicketsConfig = field(default_factory=TicketsConfig)
    """Which tickets are drawn."""
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    """Which examples choose."""
    strategy: Strategy = "grid"
    """grid: every level with every seed; race: levels that cannot win run with fewer (new folders of find race)."""
    race: RaceConfig = field(default_factory=RaceConfig)
    """When a race stops a level."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """What a run takes of a Ray node."""
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    """What is delivered."""
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)
    """What it is compared with."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2)
    """One full repetition per seed: task head, batch order, dropout, selection split."""
    budget: Budget = "laptop"
    """One dial for levels, seeds, epochs and training size; anything set by hand wins over it."""
    recipe: RecipeName = "paper"
    """How tickets are found: paper, as published, or best, what docs/better.md supports; set by hand wins over it."""


@dataclass(frozen=True, config=type_config)
class SharedTaskConfig(DataConfig):
    """One task of several: its examples, and where its tickets come from."""

    ticket: str | None = None
    """The folder of a finished `find` whose tickets the task runs; empty: they are found first, under tasks/."""


@dataclass(frozen=True, config=type_config)
class ShareConfig(Config):
    """One encoder shared by several tasks: `data` holds what is the same for all of them."""

    tasks: dict[str, SharedTaskConfig] = field(default_factory=dict)
    """The tasks by name: a known one, or your own with its train and test files; each may set what `data` can."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Whose turn it is."""
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = ("multitask", "sharing", "random")
    """What is trained: multitask (full masks: MT-DNN), sharing (each task its ticket), random (as large ones)."""


@dataclass(frozen=True, config=type_config)
class TransferConfig(Config):
    """The encoders that several tasks have shared, taken to a new task: `data` is the new task's."""

    source: str | None = None
    """The folder of a finished `share`."""
    shares: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.001, 0.01, 0.1, 1.0)
    """Shares of the training examples that models are fine-tuned on, each inside the next larger one."""
    arms: Annotated[tuple[TransferArm, ...], Field(min_length=1)] = get_args(TransferArm)
    """What is fine-tuned: the pretrained encoder; the multitask one, the sharing one in full; tickets of the latter."""


BUDGETS: dict[Budget, dict[str, Any]] = {
    "smoke": {
        "seeds": (0, 1),
        "training": {"epochs": 1},
        "tickets": {"levels": (0.2, 0.5), "control_levels": (0.5,)},
        "data": {"train_examples": 96, "report_examples": 128},
    },
    "laptop": {"data": {"train_examples": 2000}},
    "paper": {
        "seeds": (0, 1, 2, 3, 4),
        "training": {"epochs": 6},
        "tickets": {
            "levels": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            "control_levels": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        },
    },
}

# Provisional until results/better says otherwise: what docs/choices.md supports, and one ticket and model a task.
RECIPES: dict[RecipeName, dict[str, Any]] = {
    "paper": {},
    "best": {
        "scoring": {"scorer": "taylor"},
        "tickets": {"importance": "consensus"},
        "delivery": {"soup": "uniform"},
    },
}
