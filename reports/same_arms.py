"""A study as it is read where some of its arms are one model, of which one alone is trained."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from studies.definition import Rule, Study


def read_as_trained(study: Study, same: Iterable[tuple[str, str]]) -> Study:
    """The study whose reference and claims name the arm that is trained.

    same: (arm that is left out, arm that is the same model), as a plan has them.
    """
    kept = dict(same)
    if not kept:
        return study

    def read(rule: Rule) -> Rule:
        sides = {side: getattr(rule, side) for side in ("arm", "other") if hasattr(rule, side)}
        arms: dict[str, Any] = {side: kept.get(arm, arm) for side, arm in sides.items()}
        if among := getattr(rule, "among", ()):
            arms["among"] = tuple(dict.fromkeys(kept.get(arm, arm) for arm in among))
        return replace(rule, **arms)

    claims = (replace(claim, rules=tuple(map(read, claim.rules))) for claim in study.claims)
    reference = kept.get(study.reference, study.reference)
    return replace(study, reference=reference, claims=tuple(claims))
