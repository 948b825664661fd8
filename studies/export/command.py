"""The command line of `python -m studies.export`."""

import argparse
from collections.abc import Sequence

from fsmd.command_line import CommandLine, check_folders, exit_code, place, print_lines
from fsmd.errors import UserError
from studies.options import DEFAULT_STORAGE, memory

# The rest is imported where it is used, so that --help and a user's mistake are answered at once.

COMMAND = "python -m studies.export"
REFITS = ("train+validation",)
_EPILOG = """
examples:
  %(prog)s tower_shape --out model/            the arm that the report says to use
  %(prog)s tower_shape --pick arm:diamond --replicate 2 --out model/
  %(prog)s pareto-kuairand --pick knee --refit train+validation --out model/
  %(prog)s pareto --pick trial:17 --score "click ** 1.0 * long_view ** 0.5" --out model/

picks:
  best            what the report's answer says: the highest on validation (the default)
  knee            the knee of the front of the tasks, or of what a search is for
  best:TARGET     the highest on validation of a task, of `mean`, or of a search's cost
  weights:A,B     the highest weighted sum, one weight a task
  floor:TASK      the best of the others among those that are nearly best on the task
  arm:NAME        an arm of a study, a trial of a search, by its name
  trial:N         a trial of a search by its number

The chosen configuration is trained again, from the seed of one of its replicates, on the same
data, and it is said whether its figures equal the stored ones. --refit then trains it once more on
train and validation, for the epochs that were chosen before.
--out becomes a folder with weights, encoder, an ONNX file that takes raw rows, a model card and an
example, written as a whole: see its README.md. --force replaces a model, and nothing else.
The rows of the example are made up out of values of the data; --example-rows takes real ones of
test. Vocabularies hold the categories of train in any case, such as ids of users.
"""


def parser(prog: str = COMMAND) -> argparse.ArgumentParser:
    """The command line."""
    about = "Train a chosen configuration of a study or a search again, and write its folder."
    p = CommandLine(prog, about, _EPILOG)
    p.add_argument("study", help="its stored name")
    p.add_argument("--pick", default="best", metavar="RULE", help="which arm (default: best)")
    p.add_argument("--out", type=place, required=True, help="folder of the model")
    p.add_argument("--force", action="store_true", help="replace a model that is there")
    p.add_argument(
        "--replicate",
        type=int,
        metavar="N",
        help="whose seed to train with (default: the first one, of a search on fresh seeds)",
    )
    p.add_argument("--refit", choices=REFITS, help="train the weights on validation too")
    p.add_argument(
        "--score",
        metavar="FORMULA",
        help="the combined score, of the tasks' names (default: the description's)",
    )
    p.add_argument(
        "--example-rows",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="rows of test as the example, not made-up ones",
    )
    p.add_argument("--licence", metavar="ID", help="of the model, for its card")
    p.add_argument("--storage", default=DEFAULT_STORAGE, metavar="URL", help="the database")
    p.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto (the study's), cpu, cuda or cuda:N; on another one figures differ a little",
    )
    p.add_argument("--memory", type=memory, metavar="SIZE", help="to encode the data in")
    return p


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Run the command line, which is told as `prog`; the exit code."""
    stopped = "Stopped; nothing was written. The same command begins anew."
    return exit_code(lambda: _run(parser(prog).parse_args(arguments)), stopped)


def _run(options: argparse.Namespace) -> int:
    from fsmd.saved.model import SavedModel, check_exporting, check_place, save_model

    check_exporting()
    check_folders("--out", options.out.absolute().parent, options.out)
    check_place(options.out)
    if options.out.is_dir() and any(options.out.iterdir()) and not options.force:
        raise UserError(
            f"--out must be a new folder; {options.out} holds a model: say --force to replace it"
        )

    from fsmd.half import rows_of_half
    from fsmd.score import parse
    from fsmd.tasks import names
    from reports.chosen import choose
    from studies.export.again import compared, data_of, refitted, trained, training_of
    from studies.export.example import example_of
    from studies.export.told import facts_of, head_of
    from studies.store.database import opened

    with opened(options.storage) as engine:
        chosen = choose(engine, options.study, options.pick, options.replicate)
    if options.score is not None:
        parse(options.score, names(chosen.record.plan.tasks), "--score")
    print_lines(f"Arm: {chosen.arm.name}, {chosen.why}; replicate {chosen.replicate}.")
    loaded = data_of(chosen, options.memory)
    training = training_of(chosen, loaded.data, options.device)
    result = trained(training, f"training {chosen.arm.name}")
    repeat = compared(training, result, chosen)
    print_lines(f"Trained again in {result.seconds:.0f} s: {repeat.told}.")
    if training.half is not None:
        rows = len(loaded.data.train)
        print_lines(
            f"It saw half of the training rows, {rows_of_half(rows):,} of {rows:,}, as the "
            "study's --resample-train has it."
        )
    if options.refit:
        result = refitted(training, loaded.data, result, chosen.arm.name)
        print_lines(f"Trained on train and validation in {result.seconds:.0f} s.")
    assert result.model is not None
    encoder = loaded.encoder(options.score)
    model = SavedModel(
        head=head_of(chosen, training, encoder, loaded.data),
        encoder=encoder,
        trained=result.model,
        facts=facts_of(chosen, training, result, loaded, repeat, options),
        example=example_of(
            loaded.asked, encoder, result.model, real=options.example_rows, memory=options.memory
        ),
        description=loaded.description,
    )
    save_model(model, options.out)
    print_lines(f"Model: {options.out}")
    return 0
