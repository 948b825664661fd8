"""Trainings of one shape as one program: their parameters lie side by side, each step is of all.

They may differ in whatever is no shape: seed, rates, weights (`fsmd.training.NO_SHAPE`), epochs
and patience. Each keeps its own start, order of rows, dropout, optimiser, choice of the epoch and
end; whoever ends makes room for the next. Nothing is copied from or to the device, and nothing
waits for it, within an epoch. Suffixes as in `fsmd.model`; S places of the stack.

The numbers are those that a training has alone, but for the order of sums and, on a GPU, for what
dropout draws. Those of one place do not hang on what is in others.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.adamw import adamw

from fsmd import trainer
from fsmd.batches import Batch, EpochOrder, columns_of
from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve, check_like
from fsmd.config import FSMDConfig
from fsmd.data.encoded import open_encoded
from fsmd.data.schema import LARGE, Dataset, Schema
from fsmd.diagnostics import GATE_ROWS, GRADIENT_ROWS, cosines, inner_tensors
from fsmd.forward import EVALUATION_BATCH
from fsmd.half import half_of
from fsmd.layers import Batchable
from fsmd.metrics import METRICS, measured
from fsmd.model import ROW_WISE, Columns, generator, scores, task_losses
from fsmd.module import FSMDModule
from fsmd.notices import say
from fsmd.on_device import FIGURES, figure
from fsmd.selection import Selection
from fsmd.tasks import names
from fsmd.training import Job, Measurement, Training, TrainingProgress, TrainingResult

APART = 2**16
"""Numbers of a table from which it is a block of its own, so that no lookup copies it."""
ALIGNED = 16
"""Numbers of single precision: all products' places begin at a multiple, and so compute alike."""
CHECKPOINT_SECONDS = 30
"""Between a stack's checkpoints, which are as many times as long as one training's."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of `torch.optim.AdamW`, unless it is told others."""
WARM_STEPS = 3
"""Before a step is captured as a graph, for what libraries set up in their first calls."""


def why_alone(training: Training, data: Dataset) -> str | None:
    """Why a training is no part of a stack, in words; None if it can be. By what it is alone."""
    if training.why_alone:
        return training.why_alone
    if max(data.train.nbytes, data.valid.nbytes) > LARGE:
        return "its rows are not held in memory"
    if len(data.train) <= (1 if training.half is None else 3):
        return "one row has no variance"
    if Columns(data.schema.categorical).rows > ROW_WISE:
        return "a table is updated row by row"
    return None


def run_stacked(job: Job) -> TrainingResult:
    """See `fsmd.training.train`: the only one in a stack, or alone where it cannot be in one."""
    if why_alone(job.training, open_encoded(job.training.data.path)):
        return trainer.run(job)
    (outcome,) = train_together([job])
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def train_together(
    jobs: Sequence[Job], deadline: float = math.inf
) -> list[TrainingResult | Exception]:
    """Train jobs of one `Training.shape`, as many at once as their runtime's stack has places.

    deadline: on the monotonic clock: what then runs is paused at the end of its epoch. The rest:
    see `fsmd.training.train`. An error of a training, or of whoever is told of it, is its
    outcome; one of the program is that of all that have not ended.
    """
    first = jobs[0].training
    data, device = open_encoded(first.data.path), trainer.device_of(first)
    with trainer.alone(), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        members = [_Member(job, data) for job in jobs]
        try:
            _Stack(_Program(first, data, device), deadline).run(members)
        except Exception as error:
            for member in members:
                if member.outcome is None:
                    member.end(error)
    return [member.outcome or RuntimeError("it was left over") for member in members]


class _Held(Callback):
    """A place's tensors and its optimiser's, as a checkpoint has them."""

    def __init__(self, module: FSMDModule) -> None:
        self.tensors = _floats(module)
        self.moments: list[dict[str, Tensor]] = []
        """Of the gradients: means, then means of squares; none before the first step."""
        self.steps = 0
        self.place: int | None = None
        """Where it was: there a processor's sums have the same last digits."""

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        check_like(state_dict["tensors"], self.tensors)
        for moments in state_dict["moments"]:  # of what is trained
            check_like(moments, {n: t for n, t in self.tensors.items() if n in moments})
        vars(self).update({name: state_dict[name] for name in vars(self)})


class _Member:
    """One training of a stack, and where it is."""

    outcome: TrainingResult | Exception | None = None
    drawn: Tensor | None = None
    """The order of rows of the next epoch."""

    def __init__(self, job: Job, data: Dataset) -> None:
        self.training, self.job, self.data, self.seconds = job.limited, job, data, 0.0
        config, tasks = job.training.config, data.schema.tasks
        assert isinstance(config, FSMDConfig)
        self.config, self.curve = config, Curve()
        self.file = CheckpointFile(job.training, job.checkpoint, lambda: self.seconds)
        rule = Selection.of(tasks, config.separate, job.training.patience, job.fixed_epochs)
        self.chosen = ChosenWeights(rule, self.curve)
        training = job.training
        shuffle, half = training.data.shuffle, training.half
        self.order = EpochOrder.of(data.train, training.seed, shuffle, half)

    def begin(self) -> None:
        """Make what its place begins with; a checkpoint's if there is one."""
        self.module = _module(self.training, self.data.schema)
        self.held = _Held(self.module)
        self.file.read(self.curve, self.chosen, self.held, module=self.module)

    def end(self, outcome: TrainingResult | Exception) -> None:
        """Keep the outcome, and nothing that takes memory: others are still to be trained."""
        if isinstance(outcome, torch.OutOfMemoryError):
            error = MemoryError(
                f"a stack of {self.training.runtime.stack} trainings takes more memory than the "
                "GPU has left; try again when it is free, or begin another study of fewer at "
                f"once, with --stack N --name NAME ({str(outcome).splitlines()[0]})"
            )
            error.__cause__, outcome = outcome, error
        self.outcome = outcome
        for name in ("module", "held", "chosen"):
            vars(self).pop(name, None)

    def write(self, program: "_Program", place: int) -> None:
        """Write its checkpoint."""
        program.hold(place, self.held)
        self.file.write_of(self.curve, self.chosen, self.held)

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return self.chosen.standing.exhausted or self.curve.epochs >= self.training.epochs

    @property
    def is_over(self) -> bool:
        """Whether it is finished, or is to be paused here."""
        until = self.job.until
        return self.finished or (until is not None and self.curve.epochs >= until)

    def draw(self, device: torch.device) -> torch.Generator:
        """What the dropout of the epoch under way is drawn from, as `fsmd.callbacks.EpochSeed`."""
        seed = generator(self.training.seed, "epoch", self.curve.epochs).initial_seed()
        return torch.Generator(device).manual_seed(seed)

    def rows(self) -> Tensor:
        """The order of the epoch under way."""
        if self.drawn is None:
            self.draw_rows(self.curve.epochs)
        row_N, self.drawn = self.drawn, None
        assert row_N is not None
        return row_N

    def draw_rows(self, epoch: int) -> None:
        """The order of an epoch, before it begins: while a GPU is busy with another."""
        self.order.set_epoch(epoch)
        self.drawn = self.order.permutation()

    def tell(self, part: float = 0.0) -> None:
        """Tell how far it is, with the part of the epoch under way."""
        if self.job.on_progress:
            values_EK, tasks = self.curve.values_EK, names(self.data.schema.tasks)
            figures = dict(zip(tasks, values_EK[-1], strict=True)) if values_EK else {}
            self.job.on_progress(TrainingProgress(figures, self.curve.epochs + part))


class _Stack:
    """Who is in which place, from epoch to epoch."""

    def __init__(self, program: "_Program", deadline: float) -> None:
        self.program, self.deadline = program, deadline
        self.members: dict[int, _Member] = {}
        """By place."""
        self.ended: list[_Member] = []
        """To be evaluated."""
        self.written = time.monotonic()

    def run(self, members: Sequence[_Member]) -> None:
        """Train all of them; each has its outcome then."""
        waiting = deque(members)
        while True:
            while waiting and len(self.members) < self.program.places:
                self._begin(waiting.popleft())
            if self.members:
                self._epoch()
            self._evaluate()
            if not self.members and not waiting:
                return

    def _begin(self, member: _Member) -> None:
        try:
            member.begin()
            if member.is_over:
                self.ended.append(member)
                return
            free = set(range(self.program.places)) - self.members.keys()
            place = member.held.place if member.held.place in free else min(free)
            self.program.put(place, member.config, member.held)
            self.members[place] = member
        except Exception as error:
            member.end(error)

    def _epoch(self) -> None:
        began, program, told = time.perf_counter(), self.program, time.monotonic()
        program.begin_epoch({place: m.rows() for place, m in self.members.items()})
        draws = {place: m.draw(program.device) for place, m in self.members.items()}
        for step in range(program.steps):
            program.step(step, draws)
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                self._tell((step + 1) / program.steps)
        if program.graph:
            self._each(lambda _, member: member.draw_rows(member.curve.epochs + 1))
        measured_S = program.measured()
        late = time.monotonic() >= self.deadline
        writes = time.monotonic() - self.written >= CHECKPOINT_SECONDS or late
        share = (time.perf_counter() - began) / max(1, len(self.members))

        def over(place: int, member: _Member) -> None:
            member.seconds += share
            loss, values_K, inner = measured_S[place]
            member.curve.add(member.module, loss, values_K)
            epoch = member.curve.epochs
            member.curve.measurements += [Measurement(epoch, *figure) for figure in inner]
            member.chosen.keep(lambda: program.model_state(place))
            ends = member.is_over or late
            if (writes or ends) and not member.finished:
                member.write(program, place)
            member.tell()
            if ends:
                self.ended.append(member)
                self._leave(place)

        self._each(over)
        self.written = time.monotonic() if writes else self.written

    def _tell(self, done: float) -> None:
        self._each(lambda _, member: member.tell(done))

    def _each(self, do: Callable[[int, _Member], None]) -> None:
        """For all places; an error ends the training."""
        for place, member in list(self.members.items()):
            try:
                do(place, member)
            except Exception as error:
                member.end(error)
                self._leave(place)

    def _leave(self, place: int) -> None:
        self.members.pop(place, None)
        self.program.take(place)

    def _evaluate(self) -> None:
        for member in self.ended:
            try:
                began = time.perf_counter()
                module = member.module.to(self.program.device)
                result = trainer.result_of(
                    *(member.training, member.data, module, member.chosen),
                    file=member.file,
                    keep_model=member.job.keep_model,
                )
                seconds = result.seconds + time.perf_counter() - began
                member.end(replace(result, seconds=seconds))
            except Exception as error:
                member.end(error)
        self.ended.clear()


class _Blocks:
    """Named tensors of S places, in few matrices of S rows.

    apart: names of those that are a matrix each, without a gap between the places.
    """

    def __init__(
        self,
        like: Mapping[str, Tensor],
        places: int,
        device: torch.device,
        apart: Collection[str] = (),
    ) -> None:
        rest = [name for name in like if name not in apart]
        self.matrices: list[Tensor] = []
        self.views: dict[str, Tensor] = {}
        for group in [*([name] for name in apart), rest]:
            size = sum(like[name].numel() for name in group)
            size += -size % ALIGNED if group is rest else 0
            self.matrices.append(torch.zeros(places, size, device=device))
            first = 0
            for name in group:
                past = first + like[name].numel()
                columns = self.matrices[-1][:, first:past]
                self.views[name], first = columns.view(places, *like[name].shape), past


class _Called(nn.Module):
    """Any function of a module, for `functional_call`, which calls `forward` alone."""

    def __init__(self, module: FSMDModule, of: Callable[..., Any]) -> None:
        super().__init__()
        self.module, self.of = module, of

    def forward(self, *arguments: Any) -> Any:
        return self.of(self.module, *arguments)


class _Program:
    """All places' tensors on the device, and what is done to all of them at once."""

    def __init__(self, first: Training, data: Dataset, device: torch.device) -> None:
        self.places, self.device = first.runtime.stack, device
        assert isinstance(first.config, FSMDConfig)
        assert first.config.batch_size is not None
        self.batch_size, self.schema = first.config.batch_size, data.schema
        # With a rate, whatever it is, so that each layer that can drop asks for its bits.
        dropping = replace(first, config=replace(first.config, dropout=0.5))
        self.module = _module(dropping, data.schema).to(device)
        trained = dict(self.module.named_parameters())
        rest = {name: t for name, t in _floats(self.module).items() if name not in trained}
        tables = {
            name: part
            for name, part in self.module.named_modules()
            if isinstance(part, nn.Embedding)
        }
        apart = [f"{n}.weight" for n, part in tables.items() if part.weight.numel() >= APART]
        self.trained, self.slopes = (
            _Blocks(trained, self.places, device, apart) for _ in range(2)
        )
        self.rest = _Blocks(rest, self.places, device)
        for view in self.trained.views.values():
            view.requires_grad_()
        shared = {id(parameter) for parameter in self.module.model.shared_parameters()}
        self.shared = [self.trained.views[name] for name, p in trained.items() if id(p) in shared]
        self.blank = [
            self.slopes.views[f"{name}.weight"][:, part.padding_idx]
            for name, part in tables.items()
            if part.padding_idx is not None
        ]
        """Slopes of what nothing moves."""
        self.moments = [_Blocks(trained, self.places, device, apart) for _ in range(2)]
        matrices = len(self.trained.matrices)
        self.steps_SM = torch.zeros(self.places, matrices, dtype=torch.float32, device=device)
        """Of each matrix, as one call of the optimiser counts those of all matrices."""
        self.rates: dict[int, tuple[float, float]] = {}
        """Place -> learning rate and weight decay of the training that is there."""
        self.dropping = set[int]()
        """The places that have dropout."""
        self.rate_S = torch.zeros(self.places, device=device, dtype=torch.float64)
        self.train = columns_of(data.train, [slice(None)], device)
        self.valid = columns_of(data.valid, [slice(None)], device, self.module.groups)
        self.module.eval().check_rows(*self.train[:2])
        # A last batch of one row is left out, as by `fsmd.batches.Batches`.
        rows = (
            len(data.train) if first.half is None else int(half_of(data.train, first.half).sum())
        )
        self.steps = -(-(rows - 1) // self.batch_size)
        self.order_SN = torch.zeros(self.places, rows, dtype=torch.int64)
        self.loss_S = torch.zeros_like(self.rate_S)
        self.draws: dict[int, Tensor] = {}
        """Rows of a batch -> what its dropout takes of each place."""
        self.graph = _Graph(self._step) if device.type == "cuda" else None

    # Who is where

    def put(self, place: int, config: FSMDConfig, held: _Held) -> None:
        """Begin, or go on with, a training in a free place."""
        for blocks in (self.trained, self.rest):
            for name, view in blocks.views.items():
                view.detach()[place] = held.tensors[name].to(self.device)
        for blocks in self.moments:
            for matrix in blocks.matrices:
                matrix[place] = 0.0
        for blocks, tensors in zip(self.moments, held.moments, strict=False):
            for name, view in blocks.views.items():
                view[place] = tensors[name].to(self.device)
        self.steps_SM[place] = held.steps
        assert config.learning_rate is not None
        assert config.weight_decay is not None
        self.rates[place] = config.learning_rate, config.weight_decay
        self.rate_S[place] = config.dropout or 0.0
        self._changed(place, bool(config.dropout))

    def take(self, place: int) -> None:
        """Free a place: what is left there moves no more."""
        self.rates.pop(place, None)
        self.rate_S[place] = 0.0
        self._changed(place, drops=False)

    def _changed(self, place: int, drops: bool) -> None:
        (self.dropping.add if drops else self.dropping.discard)(place)
        if self.graph:
            self.graph.forget()

    def hold(self, place: int, held: _Held) -> None:
        """Copy what a place has."""
        tensors = self.trained.views | self.rest.views
        held.tensors = {name: view.detach()[place].clone() for name, view in tensors.items()}
        held.moments = [
            {name: view[place].clone() for name, view in blocks.views.items()}
            for blocks in self.moments
        ]
        held.steps, held.place = int(self.steps_SM[place, 0]), place

    def model_state(self, place: int) -> dict[str, Tensor]:
        """What the model's `state_dict` is of a place, without a copy."""
        tensors, prefix = self.trained.views | self.rest.views, "model."
        state = self.module.model.state_dict()
        return {
            n: tensors[prefix + n][place] if prefix + n in tensors else state[n] for n in state
        }

    # An epoch

    def begin_epoch(self, rows: Mapping[int, Tensor]) -> None:
        """Take each place's order of rows."""
        order_SN = torch.zeros(self.order_SN.shape, dtype=torch.int64)
        for place, row_N in rows.items():
            order_SN[place] = row_N
        self.order_SN = order_SN.to(self.device)
        self.loss_S.zero_()
        self.module.train()

    def step(self, number: int, draws: Mapping[int, torch.Generator]) -> None:
        """A step of all places; on a GPU it is under way when this returns."""
        first = number * self.batch_size
        row_SB = self.order_SN[:, first : first + self.batch_size]
        bits = self._bits(row_SB.shape[1], draws) if self.dropping else None
        if self.graph and row_SB.shape[1] == self.batch_size:
            self.graph.step(row_SB, bits)
        else:
            self._step(row_SB, bits)

    def _bits(self, rows: int, draws: Mapping[int, torch.Generator]) -> Tensor:
        """What dropout takes in a step, S x bits of 16 each, until the next step."""
        if rows not in self.draws:
            with torch.no_grad(), Batchable() as counted:
                ids_BC, dense_BD = (column[:rows] for column in self.train[:2])
                self.module.model(ids_BC, dense_BD.to(self.module.dtype))
            shape = (self.places, counted.draws)
            self.draws[rows] = torch.zeros(shape, dtype=torch.int64, device=self.device)
        for place in self.dropping:
            self.draws[rows][place].random_(-(2**63), None, generator=draws[place])
        return self.draws[rows].view(torch.int16)

    def _step(self, row_SB: Tensor, bits: Tensor | None) -> None:
        batch = tuple(column[row_SB] for column in self.train)
        dims = (0, None if bits is None else 0, 0)
        loss_S = self._of_all(_joined, batch, bits, self.rate_S, dims=dims)
        slopes = torch.autograd.grad(loss_S.sum(), list(self.trained.views.values()))
        for kept, slope in zip(self.slopes.views.values(), slopes, strict=True):
            kept.copy_(slope)
        for slope in self.blank:
            slope.zero_()
        self._move()
        self.loss_S += loss_S.detach()

    @torch.no_grad()
    def _move(self) -> None:
        """A step of AdamW, one for all places of the same rates: as if each had its own."""
        places = defaultdict[tuple[float, float], list[int]](list)
        for place, rates in self.rates.items():
            places[rates].append(place)
        for (rate, decay), some in places.items():
            moving, slopes, means, squares = (
                [matrix[place] for place in some for matrix in blocks.matrices]
                for blocks in (self.trained, self.slopes, *self.moments)
            )
            adamw(
                moving,
                slopes,
                means,
                squares,
                max_exp_avg_sqs=[],
                state_steps=[step for place in some for step in self.steps_SM[place].unbind()],
                fused=True,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=rate,
                weight_decay=decay,
                eps=EPSILON,
                maximize=False,
            )

    def _of_all(
        self, of: Callable[..., Any], *arguments: Any, dims: tuple[int | None, ...]
    ) -> Any:
        """What a function of a module gives for each place; dims: as `torch.vmap` has them."""
        called = _Called(self.module, of)

        def of_one(tensors: dict[str, Tensor], *own: Any) -> Any:
            named = {f"module.{name}": tensor for name, tensor in tensors.items()}
            return torch.func.functional_call(called, named, own)

        tensors = self.trained.views | self.rest.views
        return torch.vmap(of_one, in_dims=(0, *dims))(tensors, *arguments)

    # After an epoch

    def measured(self) -> dict[int, tuple[float, list[float], list[tuple[str, str, str, float]]]]:
        """Of each training: its mean loss, its validation figures, and what goes on inside.

        The last as (split, task, metric, value).
        """
        self.module.eval()
        values_KS = self._figures()
        inner = self._inner()
        loss_S = (self.loss_S / self.steps).tolist()
        return {
            place: (loss_S[place], [value_S[place] for value_S in values_KS], inner[place])
            for place in self.rates
        }

    @torch.no_grad()
    def _figures(self) -> list[list[float]]:
        """Of each task and place, its own metric on validation."""
        parts = [
            self._of_all(_scores, *(column[rows] for column in self.valid[:2]), dims=(None, None))
            for rows in _parts(len(self.valid[0]), EVALUATION_BATCH)
        ]
        score_SNK, (label_NK, *rest) = torch.cat(parts, 1), self.valid[2:]
        weight_N = rest.pop(0).float() if self.schema.weighted else None
        groups = dict(zip(self.module.groups, rest, strict=True))
        figures = []
        for k, task in enumerate(self.schema.tasks):
            score_SN, label_N = score_SNK[:, :, k], label_NK[:, k].float()
            if task.metric in FIGURES:
                figures.append(figure(task.metric, score_SN, label_N, weight_N).tolist())
                continue
            own = label_N.cpu().numpy(), None if weight_N is None else weight_N.cpu().numpy()
            codes = {name: code_N.cpu().numpy() for name, code_N in groups.items()}
            values = [
                measured(METRICS[task.metric], score_N, *own, codes)
                if np.isfinite(score_N).all()
                else None
                for score_N in score_SN.cpu().numpy()
            ]
            figures.append([math.nan if value is None else value for value in values])
        return figures

    def _inner(self) -> dict[int, list[tuple[str, str, str, float]]]:
        """As `fsmd.callbacks.Diagnostics`."""
        told: dict[int, list[tuple[str, str, str, float]]] = {p: [] for p in self.rates}
        tasks = names(self.schema.tasks)
        if self.shared and len(tasks) > 1:
            batch = tuple(column[:GRADIENT_ROWS] for column in self.train)
            loss_SK = self._of_all(_losses, batch, dims=(None,))
            slopes = [
                torch.cat(
                    [
                        slope.flatten(1)
                        for slope in torch.autograd.grad(
                            loss_S.sum(), self.shared, retain_graph=True, materialize_grads=True
                        )
                    ],
                    1,
                )
                for loss_S in loss_SK.unbind(1)
            ]
            for place, own in told.items():
                pairs = [(t, slope_SP[place]) for t, slope_SP in zip(tasks, slopes, strict=True)]
                own += [("train", pair, "gradient_cosine", c) for pair, c in cosines(pairs)]
        with torch.no_grad():
            batch = tuple(column[:GATE_ROWS] for column in self.valid)
            figures = self._of_all(_inner, batch, dims=(None,))
        if figures:
            for (name, metric), value_S in figures.items():
                values = value_S.tolist()
                for place, own in told.items():
                    own.append(("valid", name, metric, values[place]))
        return told


class _Graph:
    """A step that a GPU replays as a whole; where it cannot be captured it runs as it is."""

    def __init__(self, do: Callable[[Tensor, Tensor | None], None]) -> None:
        self.do, self.refused = do, False
        self.rows = torch.empty(0)
        """What the graph reads."""
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        """Of the first steps and of the capture: each stream has memory of its own."""
        self.forget()

    def forget(self) -> None:
        """Capture anew: another training moves."""
        self.graph: torch.cuda.CUDAGraph | None = None
        self.warmed = 0

    def step(self, row_SB: Tensor, bits: Tensor | None) -> None:
        """As `do`; bits always lie at the same place."""
        if self.refused:
            self.do(row_SB, bits)
            return
        if self.warmed < WARM_STEPS:
            self.warmed += 1
            usual = torch.cuda.current_stream()
            self.stream.wait_stream(usual)
            with torch.cuda.stream(self.stream):
                self.do(row_SB, bits)
            usual.wait_stream(self.stream)
            return
        if self.graph is None:
            self.rows, graph = row_SB.clone(), torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, stream=self.stream):
                    self.do(self.rows, bits)
            except RuntimeError as error:
                say(f"steps are not captured as a graph, which is slower: {error}")
                self.refused = True
                self.do(row_SB, bits)
                return
            self.graph = graph
        self.rows.copy_(row_SB)
        self.graph.replay()


# Of one place, which `torch.vmap` batches


def _joined(module: FSMDModule, batch: Batch, bits: Tensor | None, rate: Tensor) -> Tensor:
    """The joined loss of a batch."""
    weighted_K = module.weight_K * _losses(module, batch, bits, rate)
    joined: Tensor = module.balancing(weighted_K) if module.balancing else weighted_K.sum()
    return joined


def _losses(
    module: FSMDModule, batch: Batch, bits: Tensor | None = None, rate: Tensor | None = None
) -> Tensor:
    """As `FSMDModule.losses`, which waits for a look at the rows."""
    ids_BC, dense_BD, label_BK, *weights = batch
    with Batchable(bits, rate):
        logit_BK = module.model(ids_BC, dense_BD.to(module.dtype))
    return task_losses(
        *(logit_BK, label_BK, module.model.parents),
        weight_B=weights[0] if weights else None,
        masked=module.schema.masked,
    )


def _scores(module: FSMDModule, ids_BC: Tensor, dense_BD: Tensor) -> Tensor:
    with Batchable():
        logit_BK = module.model(ids_BC, dense_BD.to(module.dtype))
        return scores(logit_BK, module.model.parents)


def _inner(module: FSMDModule, batch: Batch) -> dict[tuple[str, str], Tensor]:
    with Batchable():
        return inner_tensors(module, batch)


def _floats(module: FSMDModule) -> dict[str, Tensor]:
    """What differs from training to training: parameters, statistics, weights."""
    tensors = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return tensors | {n: t for n, t in module.named_buffers() if t.is_floating_point()}


def _module(training: Training, schema: Schema) -> FSMDModule:
    assert isinstance(training.config, FSMDConfig)
    precision = training.runtime.precision
    return FSMDModule.create(training.config, schema, training.seed, precision)


def _parts(rows: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, rows, size)]
