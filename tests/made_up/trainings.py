"""What a made-up training measured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fsmd.baselines import Config
from fsmd.config import GATED, FSMDConfig
from fsmd.metrics import METRICS
from fsmd.metrics.steps import step_scores
from fsmd.packing import pack, unpack
from fsmd.tasks import ALL, Task
from fsmd.training import Measurement, TrainingResult, pair_key, step_key
from studies.failure import Failure
from tests.made_up.rows import MadeUpRows, Scores
from tests.made_up.tasks import positive_rate

FAILURE = Failure("loss is not finite <b>", 'Traceback:\n  File "x.py"\nRuntimeError: <script>')
"""Of which a page must escape the characters."""
PARAMETERS = 123_456
SECONDS = 41.5
_AUC = (0.721, 0.7117, 0.735, 0.702, 0.728)
_ENTROPY = (0.90, 0.91, 0.89, 0.92, 0.9)
"""The share of the labels' entropy that a model leaves."""


def usual(tasks: Sequence[Task], k: int) -> float:
    """The figure of task k around which made-up trainings lie."""
    metric = METRICS[tasks[k].metric]
    if metric.higher:
        return _AUC[k % len(_AUC)]
    rate = positive_rate(tasks, k)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    relative = _ENTROPY[k % len(_ENTROPY)]
    return float(relative * (1.0 if metric.name == "normalized_entropy" else entropy))


@dataclass(frozen=True)
class MadeUpTraining:
    """One training of a study: what it is of, and how good it turns out."""

    config: Config
    index: int
    """Of the arm in the plan."""
    seed: int
    tasks: tuple[Task, ...]
    gain: Callable[[str], float]
    """Task -> by how much it is better than a usual one."""
    rows: MadeUpRows | None = None
    """Scores of these are kept, and are what the test figures are of."""
    chosen: Mapping[str, int] | None = None
    """Task -> the epoch that validation chose; 5 where nothing is said."""

    def result(self) -> TrainingResult:
        """All that a training measures, of a length of 6 to 8 epochs."""
        shared = np.random.default_rng(self.seed)
        own = np.random.default_rng([self.seed, self.index])
        chosen = {task.name: 5 for task in self.tasks} | dict(self.chosen or {})
        epochs = max(6 + int(own.integers(3)), max(chosen.values()))
        measurements: list[Measurement] = []
        predictions: dict[str, bytes] = {}
        for k, task in enumerate(self.tasks):
            noise = float(0.0008 * shared.normal() + 0.0004 * own.normal())
            sign, best = METRICS[task.metric].sign, chosen[task.name]
            top = usual(self.tasks, k) + sign * (noise + self.gain(task.name))
            for epoch in range(1, epochs + 1):
                value = top - sign * (0.03 * 0.4**epoch + 0.0006 * abs(epoch - best))
                measurements.append(Measurement(epoch, "valid", task.name, task.metric, value))
            if self.rows is None:
                figures = self._stated(k, top, own)
            else:
                score_N = self.rows.scores(k, top, self.index, self.seed)
                predictions[task.name] = pack(score_N)
                figures = self._measured(k, score_N)
            figures["valid", "log_loss"] = 0.6
            for (split, metric), value in figures.items():
                if (split, metric) != ("valid", task.metric):  # is in the curve
                    measurements.append(Measurement(best, split, task.name, metric, value))
            measurements += self._steps(k, best, noise, predictions)
        for epoch in range(1, epochs + 1):
            measurements.append(Measurement(epoch, "train", ALL, "loss", 1.0 / epoch))
            measurements += self._inner(epoch, own)
        return TrainingResult(
            measurements=tuple(measurements),
            chosen_epochs=chosen,
            epochs=epochs,
            finished=True,
            seconds=SECONDS,
            parameters=PARAMETERS,
            predictions=predictions,
        )

    def _stated(
        self, k: int, top: float, own: np.random.Generator
    ) -> dict[tuple[str, str], float]:
        """Test figures of no rows at all: the task's own is exactly `top`."""
        task = self.tasks[k]
        return {
            ("test", "log_loss"): 0.61,
            ("test", "ece"): 0.01 + 0.001 * own.random(),
            ("test", "pcoc"): 1.0 + 0.01 * own.normal(),
            ("test", task.metric): top,
            ("test_unseen", task.metric): top - METRICS[task.metric].sign * 0.002,
        }

    def _steps(
        self, k: int, epoch: int, noise: float, predictions: Mapping[str, bytes]
    ) -> Iterator[Measurement]:
        """Test figures of the step from the task that task k follows, by the scores if any."""
        task, rows = self.tasks[k], self.rows
        if task.after is None:
            return
        figures: dict[str, float | None] = {"auc": 0.68 + noise, "pcoc": 1.02 + noise}
        if rows is not None:
            scores = (unpack(predictions[name]).astype(float) for name in (task.name, task.after))
            step_N, reached_N = step_scores(*scores).astype(np.float32), rows.reached(k)
            figures = {
                name: rows.figure(metric, k, step_N, reached_N) for name, metric in METRICS.items()
            }
        for name, value in figures.items():
            if value is not None:
                step = step_key(task.name, task.after)
                yield Measurement(epoch, "test", step, name, value)

    def _measured(self, k: int, score_N: Scores) -> dict[tuple[str, str], float]:
        """Test figures of the scores, as a training measures them."""
        assert self.rows is not None
        rows, task = self.rows, self.tasks[k]
        figures = {("test", name): rows.figure(each, k, score_N) for name, each in METRICS.items()}
        own = METRICS[task.metric]
        figures["test_unseen", own.name] = rows.figure(own, k, score_N, rows.unseen_N)
        return {key: value for key, value in figures.items() if value is not None}

    def _inner(self, epoch: int, own: np.random.Generator) -> Iterator[Measurement]:
        """What is recorded of a model's inside: nothing where nothing is shared."""
        config, step = self.config, self.index % 10
        if not isinstance(config, FSMDConfig) or config.sharing in ("none", "embeddings"):
            return
        names = [task.name for task in self.tasks]
        for i, (task, other) in enumerate(combinations(names, 2)):
            cosine = 0.5 - 0.1 * epoch - 0.03 * step + 0.02 * own.normal() + 0.05 * i
            yield Measurement(epoch, "train", pair_key(task, other), "gradient_cosine", cosine)
        yield Measurement(epoch, "valid", ALL, "dead_units", 0.01 * step)
        if config.sharing in GATED:
            for name in names:
                weights = own.dirichlet(np.full(config.expert_count, 2.0))
                for i, weight in enumerate(weights):
                    yield Measurement(epoch, "valid", name, f"gate_weight_{i}", float(weight))
                yield Measurement(epoch, "valid", name, "gate_entropy", 0.8 + 0.01 * step)
