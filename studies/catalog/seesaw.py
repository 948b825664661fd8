"""When do FSMD's parts matter? Models across the planted data's conflict between the tasks."""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import Above, Arm, Claim, Study, models

_BASE = replace(MODELS["base"], layers=(64, 32), tower_width=32)
_MODELS = models(("single_task", "shared_bottom", "mmoe", "ple", "base", "fs", "fsmd"), _BASE)


def _on(model: Arm, conflict: float) -> Arm:
    return replace(
        model,
        name=f"{model.name} @ {conflict:g}",
        params=(*model.params, ("conflict", conflict)),
        data=f"planted:conflict={conflict:g}",
    )


STUDY = Study(
    name="seesaw",
    title="Conflict between the tasks",
    question="How does each model's gain over single-task networks depend on the tasks' conflict?",
    factor="model @ conflict",
    base=_BASE,
    arms=tuple(_on(model, c) for c in (0.0, 0.25, 0.5, 0.75, 1.0) for model in _MODELS),
    reference="single_task @ 0.5",
    claims=(
        Claim(
            id="seesaw-alike",
            text="Where the tasks are alike, sharing helps: Base gains on both over single-task.",
            source="this project, stated before the run",
            rules=tuple(
                Above(target, "base @ 0", "single_task @ 0") for target in ("click", "long_view")
            ),
        ),
        Claim(
            id="seesaw-opposed",
            text="Where the tasks are opposed, own experts help: FS gains on both over Base.",
            source="this project, stated before the run",
            rules=tuple(Above(target, "fs @ 1", "base @ 1") for target in ("click", "long_view")),
        ),
    ),
    data="planted:conflict=0",
    about="",
)
