"""Stacks on a GPU beside one training at a time: all ratios in one run; its last line is JSON.

Each part's end tells what was found so far. `--device cpu --tiny` only shows that it runs.
"""

import argparse
import gc
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data import load
from fsmd.errors import UserError
from fsmd.layers import Batchable
from fsmd.module import FSMDModule
from fsmd.runtime import Runtime
from fsmd.stack import _Member, _Program, train_together
from fsmd.trainer import alone
from fsmd.training import Job, Training, TrainingProgress, TrainingResult, train
from tests.bench.ours import workload
from tests.bench.rivals import DeepCTR, installed

GOALS = {
    "time_of_32_over_one_in_one_place": "at most 3",
    "throughput_over_lightning": "at least 20",
    "throughput_over_deepctr_torch": "at least 10",
}
Figures = dict[str, Any]


class Size(NamedTuple):
    """How much is trained."""

    data: str
    batch_size: int
    replicates: int
    epochs: int
    matrix: int
    """Rows and columns of the products that the device's rate is measured by."""
    layers: tuple[int, ...] = (256, 128)


SIZES = {
    False: Size("census", 2048, 32, 6, 8192),
    True: Size("planted:rows=600", 128, 2, 2, 64, (16, 8)),
}


class EpochClock:
    """When each epoch ended, and the whole."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")
        self.at: dict[int, float] = {}
        self.began = self.now()

    def now(self) -> float:
        """Seconds, when all that was begun on the device has ended."""
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def tell(self, progress: TrainingProgress) -> None:
        """Of one training of several that go on together; within an epoch nothing is noted."""
        if progress.done == int(progress.done):
            self.at.setdefault(int(progress.done), self.now())

    def epoch(self) -> float:
        """Seconds of an epoch with its validation; the first, which has the start, is not one."""
        return median(b - a for a, b in pairwise(self.at[epoch] for epoch in sorted(self.at)))


class Bench:
    """The trainings, and what was found so far."""

    def __init__(self, device: str, tiny: bool) -> None:
        self.size, self.device = SIZES[tiny], device
        try:
            self.data = load(self.size.data)
        except UserError:  # it is not here, and cannot be fetched
            self.data = load("planted:rows=300000")
        self.found: Figures = {}

    def trainings(self, model: str, places: int, precision: str = "float32") -> list[Training]:
        """Of one shape and different seeds; none ends early."""
        epochs = self.size.epochs
        base = Training.on(self.data, self.config(model))
        runtime = Runtime(self.device, precision, places)
        return [
            replace(base, seed=seed, epochs=epochs, patience=epochs, runtime=runtime)
            for seed in range(places)
        ]

    def config(self, model: str) -> FSMDConfig:
        """At the bench's widths for what others have too, else the model as it is."""
        if model == "fsmd":
            config = fitted(MODELS[model], self.data.schema.tasks)
            return replace(config, batch_size=self.size.batch_size, layers=self.size.layers)
        config = workload(self.data, model, self.size.batch_size, self.size.batch_size).config
        return replace(config, layers=self.size.layers)

    def stacked(self, trainings: Sequence[Training]) -> tuple[Figures, list[TrainingResult]]:
        """What a stack of them takes."""
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        clock = EpochClock(self.device)
        outcomes = train_together([Job(training, None, clock.tell) for training in trainings])
        results = [outcome for outcome in outcomes if isinstance(outcome, TrainingResult)]
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        whole = clock.now() - clock.began
        figures: Figures = {
            "epoch_s": clock.epoch(),
            "whole_s": whole,
            "trainings_per_s": len(trainings) / whole,
        }
        if self.device.startswith("cuda"):
            figures["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return figures, results

    def alone(self, training: Training) -> tuple[Figures, TrainingResult]:
        """What one takes by Lightning."""
        clock = EpochClock(self.device)
        result = train(training, on_progress=clock.tell)
        whole = clock.now() - clock.began
        return {"epoch_s": clock.epoch(), "whole_s": whole, "trainings_per_s": 1 / whole}, result

    def rates(self) -> None:
        """Products and copies of the device: what a step can be compared with."""
        n, found = self.size.matrix, dict[str, float]()
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(n, n, device=self.device, dtype=dtype)
            found[f"{str(dtype)[6:]}_tflops"] = 2 * n**3 / self.seconds(x.matmul, x) / 1e12
        y = torch.randn(16 * n, n, device=self.device)
        seconds = self.seconds(y.clone)
        found["copy_gb_per_s"] = 2 * y.numel() * 4 / seconds / 1e9
        self.found["device"] = {
            "name": torch.cuda.get_device_name() if self.device != "cpu" else "cpu",
            "torch": torch.__version__,
            **found,
        }

    def seconds(self, do: Callable[..., object], *given: object, times: int = 10) -> float:
        """Of one call, the median."""
        do(*given)
        clock, taken = EpochClock(self.device), []
        for _ in range(times):
            before = clock.now()
            do(*given)
            taken.append(clock.now() - before)
        return median(taken)

    def fsmd(self, precision: str) -> None:
        """A stack beside a stack of one, and beside Lightning."""
        places, found = self.size.replicates, dict[str, Any]()
        trainings = self.trainings("fsmd", places, precision)
        self.found[f"fsmd_{precision}"] = found
        found["all"], results = self.stacked(trainings)
        found["one_in_one_place"], _ = self.stacked(self.trainings("fsmd", 1, precision))
        found["one_by_lightning"], wanted = self.alone(self.trainings("fsmd", 1, precision)[0])
        many, lightning = found["all"], found["one_by_lightning"]
        found["time_of_32_over_one_in_one_place"] = (
            many["epoch_s"] / found["one_in_one_place"]["epoch_s"]
        )
        found["time_of_32_over_one_by_lightning"] = many["epoch_s"] / lightning["epoch_s"]
        found["throughput_over_lightning"] = many["trainings_per_s"] / lightning["trainings_per_s"]
        found["epochs_over_lightning"] = lightning["epoch_s"] * places / many["epoch_s"]
        for metric in ("loss", "auc"):
            found[f"{metric}_apart"] = apart(results[0], wanted, metric)
        _, (single,) = self.stacked(trainings[:1])
        found["same_bits_whatever_is_beside"] = single.measurements == results[0].measurements
        again, (*_, last) = self.stacked(trainings[::-1])
        found["same_bits_in_another_place"] = last.measurements == results[0].measurements
        found["all_again"] = again
        found["step_of_all"] = self.step(trainings)
        found["step_of_one"] = self.step(self.trainings("fsmd", 1, precision))
        found |= self.share(found["step_of_all"]["step_s"], precision)

    def step(self, trainings: Sequence[Training], times: int = 20) -> Figures:
        """Of a full batch of all of them: its time and, on a GPU, its kernels."""
        first, device = trainings[0], torch.device(self.device)
        with alone():
            program = _Program(first, self.data, device)
            members = dict(enumerate(_Member(Job(each), self.data) for each in trainings))
            for place, member in members.items():
                member.begin()
                program.put(place, member.config, member.held)
            program.begin_epoch({place: member.rows() for place, member in members.items()})
            draws = {place: member.draw(device) for place, member in members.items()}

            def several() -> None:
                for _ in range(times):
                    program.step(0, draws)

            found: Figures = {"step_s": self.seconds(several, times=3) / times}
            if program.graph:
                kinds = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
                with profile(activities=kinds, acc_events=True) as profiler:
                    program.step(0, draws)
                    torch.cuda.synchronize()
                kernels = [e for e in profiler.key_averages() if e.device_type != DeviceType.CPU]
                found["kernels"] = sum(event.count for event in kernels)
                busy = {e.key[:100]: e.self_device_time_total / 1e6 for e in kernels}
                found["busy_s"] = sum(busy.values())
                largest = sorted(busy, key=lambda key: -busy[key])[:12]
                found["largest_kernels_s"] = {key: busy[key] for key in largest}
        return found

    def share(self, step_s: float, precision: str) -> Figures:
        """Of the rate of products; and the least bytes that the optimiser moves."""
        training, size = self.trainings("fsmd", 1)[0], self.size
        assert isinstance(training.config, FSMDConfig)
        module = FSMDModule.create(training.config, self.data.schema, 0)
        split, rows = self.data.train, size.batch_size
        batch = [torch.from_numpy(array[:rows]) for array in (split.ids, split.dense)]
        with FlopCounterMode(display=False) as counter, Batchable():
            module.model(*batch).sum().backward()
        operations = counter.get_total_flops()
        rate = self.found["device"][f"{precision}_tflops"] * 1e12
        parameters = sum(p.numel() for p in module.parameters())
        moved = 7 * 4 * parameters * size.replicates  # read 4, write 3
        copied = self.found["device"]["copy_gb_per_s"] * 1e9
        return {
            "gflop_of_a_step_of_one": operations / 1e9,
            "share_of_the_rate_of_products": operations * size.replicates / rate / step_s,
            "share_of_copies_by_the_optimiser": moved / copied / step_s,
        }

    def rival(self) -> None:
        """A stack of MMoE beside DeepCTR-Torch's own loop, in epochs of as many rows.

        Ours with validation and its figures, theirs without.
        """
        if "deepctr_torch" not in installed():
            self.found["mmoe"] = "deepctr_torch is not installed (the group `rivals`)"
            return
        places = self.size.replicates
        many, _ = self.stacked(self.trainings("mmoe", places, "bfloat16"))
        work = workload(self.data, "mmoe", self.size.batch_size, len(self.data.train))
        theirs, clock, taken = DeepCTR(work, self.device), EpochClock(self.device), list[float]()
        for epoch in range(3):
            before = clock.now()
            theirs.epoch(epoch)
            taken.append(clock.now() - before)
        epoch_s = min(taken) * len(self.data.train) / len(work.train)
        self.found["mmoe"] = {
            "all": many,
            "deepctr_torch_epoch_s": epoch_s,
            "throughput_over_deepctr_torch": epoch_s * places / many["epoch_s"],
        }


def apart(one: TrainingResult, other: TrainingResult, metric: str) -> list[float]:
    """The largest difference of a curve's figure, epoch by epoch."""
    both = [
        {(m.epoch, m.task): m.value for m in result.measurements if m.metric == metric}
        for result in (of_curve(one), of_curve(other))
    ]
    epochs = sorted({epoch for epoch, _ in both[0]})
    return [max(abs(v - both[1][k]) for k, v in both[0].items() if k[0] == e) for e in epochs]


def of_curve(result: TrainingResult) -> TrainingResult:
    """Without what is measured at the end alone."""
    kept = tuple(m for m in result.measurements if m.split in ("train", "valid"))
    return replace(result, measurements=kept)


def main() -> None:
    """See the module."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--device", default="cuda", help="default: %(default)s")
    p.add_argument("--tiny", action="store_true", help="so small that it only shows that it runs")
    options = p.parse_args()
    began, bench = time.perf_counter(), Bench(options.device, options.tiny)
    size = {**bench.size._asdict(), "data": bench.data.name, "rows": len(bench.data.train)}
    parts: dict[str, Callable[[], None]] = {
        "rates": bench.rates,
        "fsmd in bfloat16": partial(bench.fsmd, "bfloat16"),
        "rival": bench.rival,
        "fsmd in float32": partial(bench.fsmd, "float32"),
    }
    for name, part in parts.items():
        try:
            part()
        except Exception:  # what was found is told all the same
            bench.found[f"{name}_failed"] = traceback.format_exc()
        gc.collect()
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        print(json.dumps({"size": size, "goals": GOALS, **rounded(bench.found)}), flush=True)


def rounded(value: Any) -> Any:
    """Numbers of four digits."""
    if isinstance(value, Mapping):
        return {name: rounded(own) for name, own in value.items()}
    if isinstance(value, list):
        return [rounded(own) for own in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
