"""The paper's page: tune and score once per seed, then draw, rewind, retrain and evaluate each ticket."""

from __future__ import annotations

from supertickets import seeding
from supertickets.config import Kind
from supertickets.encoders.pruning import prune
from supertickets.encoders.truncating import truncate
from supertickets.experiments.bench import Bench, Result
from supertickets.experiments.gathering import Gathering
from supertickets.experiments.landing import Landing
from supertickets.experiments.runs import SharingRun, TicketRun, TransferRun, TruncatedRun, TuneRun
from supertickets.experiments.workspace import Workspace
from supertickets.learning.multitask import train_shared
from supertickets.learning.sharing import SharedModel
from supertickets.tickets.importance import Importance
from supertickets.tickets.masks import Mask, draw
from supertickets.tickets.truncation import lowest_layers


def tune_and_score(run: TuneRun, sweep: Workspace) -> Result:
    """Fine-tune the full model and score every unit on its training examples (paper, section 3)."""
    bench = Bench(run, sweep)
    model = bench.rewind_point.model()
    bench.train(model)
    importance, resampled = bench.score(model)
    return bench.result(model, Mask.full(importance.structures), importance=importance, resampled=resampled)


def retrain(run: TicketRun, sweep: Workspace) -> Result:
    """Draw a ticket from the tuned models' importance, rewind it to the pretrained weights, train it, evaluate it."""
    bench = Bench(run, sweep)
    importance = bench.importance_for(run)
    mask = _drawn(run.kind, importance, run)
    model = prune(bench.rewind_point.model(), mask)
    bench.train(model, teacher_logits=bench.teacher_logits(run.tune), second=run.second)
    return bench.result(model, mask, ticket=bench.ticket(run.kind, mask, importance))


def truncated(run: TruncatedRun, sweep: Workspace) -> Result:
    """Cut the pretrained encoder off above its lowest layers, no smaller than the ticket, train it, evaluate it."""
    bench = Bench(run, sweep)
    mask = lowest_layers(_drawn(run.ticket.kind, bench.importance_for(run.ticket), run.ticket))
    model = truncate(bench.rewind_point.model(), int(mask.heads.any(axis=1).sum()))
    bench.train(model, teacher_logits=bench.teacher_logits(run.ticket.tune))
    return bench.result(model, mask)


def share(run: SharingRun, tasks: Gathering) -> tuple[SharedModel, dict[str, Result]]:
    """Train one encoder on all tasks, each step under its task's ticket and moving nothing outside it (section 4)."""
    masks = {task: tasks.mask(task, run.arm, run.seed) for task in tasks.sweeps}
    benches = {task: Bench(run.of(task, tasks.levels[task]), sweep) for task, sweep in tasks.sweeps.items()}
    shared = SharedModel({task: bench.rewind_point.model() for task, bench in benches.items()}, masks)
    examples = {task: bench.splits.train for task, bench in benches.items()}
    first, recipe, logs = next(iter(benches.values())), run.config.training, tasks.run_folder(run) / "logs"
    with first.timed("training of all tasks"):
        done = train_shared(
            shared, examples, first.tokenizer, recipe, run.config.sampling, seed=run.seed, log_folder=logs
        )
    for task, bench in benches.items():
        bench.credit(done.by_task[task])
    return shared, {task: bench.result(shared.single(task), masks[task]) for task, bench in benches.items()}


def transfer(run: TransferRun, task: Landing) -> Result:
    """Fine-tune an encoder on a share of a new task, whole or as a ticket drawn there (paper, domain adaptation).

    A ticket is drawn from the importance that the whole encoder, tuned on the same examples, has left, and
    rewound to what the tasks have made of the encoder by sharing it: not to the pretrained weights.
    """
    bench = Bench(run, task)
    if run.whole is not None:
        kind: Kind = "winning" if run.arm == "sharing" else "random"
        importance = bench.importance_of(run.whole)
        mask = _drawn(kind, importance, run)
        model = prune(bench.rewind_point.model(), mask)
        bench.train(model)
        return bench.result(model, mask, ticket=bench.ticket(kind, mask, importance))
    model = bench.rewind_point.model()
    bench.train(model)
    scored = bench.score(model)[0] if run.arm == "sharing-full" else None
    full = Mask.full(bench.rewind_point.structures(run.config.units.ffn))
    return bench.result(model, full, importance=scored)


def _drawn(kind: Kind, importance: Importance, run: TicketRun | TransferRun) -> Mask:
    """The mask of a kind at the run's sparsity; chance is the seed's."""
    rng, options = seeding.generator(run.seed, "random ticket"), run.config.tickets
    return draw(
        kind,
        importance,
        run.sparsity,
        rng=rng,
        min_heads=options.min_heads,
        ranking=options.ranking,
        multiple=run.config.units.multiple,
    )
