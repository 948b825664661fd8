"""The combined score: one number from the tasks' probabilities, as `click ** 1.0 * buy ** 0.5`.

The grammar is that of a description's expressions without columns: names are tasks (all others are
written `column("add to cart")`), and there are numbers, + - * /, ** by a constant and brackets.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fsmd.data.description.expression import Node
from fsmd.data.description.expression import parse as parse_expression
from fsmd.errors import UserError, alternatives, shown

Operator: TypeAlias = Literal["+", "-", "*", "/", "**"]
WHAT = "[score] formula"

_OF: Mapping[Operator, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}


@dataclass(frozen=True)
class Term:
    """A part of a formula, and a whole one: a number, a task's probability, or two terms."""

    number: float | None = None
    task: str | None = None
    operator: Operator | None = None
    """Of `left` and `right`; the right one of ** is a number."""
    left: "Term | None" = None
    right: "Term | None" = None


@dataclass(frozen=True)
class Formula:
    """A formula that could be read; see `parse`."""

    text: str
    tasks: tuple[str, ...]
    """That it names, in order of appearance, each once."""
    root: Term = field(repr=False)

    def evaluate(self, probabilities: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """The score of each of N rows, of N probabilities (over all rows) by task.

        Computed with 64 bits. What has no value, as a quotient by 0, is inf or NaN.
        """
        with np.errstate(all="ignore"):
            return np.asarray(_value(self.root, probabilities), np.float64)


def parse(text: str, tasks: Sequence[str], what: str = WHAT) -> Formula:
    """The formula that a text is; UserError, naming part and column of the text, for none.

    >>> parse("click ** 1.0 * buy ** 0.5", ["click", "buy"]).tasks
    ('click', 'buy')
    """
    expression = parse_expression(text, what)
    for name in expression.columns:
        if name not in tasks:
            raise UserError(f"{what}: no task {name!r}{alternatives(name, tasks)}")
    if not expression.columns:
        raise UserError(f"{what}: a score must name a task; got {shown(text)}")
    return Formula(text, expression.columns, _term(expression.root, text, what))


def _term(part: Node, text: str, what: str) -> Term:
    match part.op:
        case "column":
            return Term(task=part.value)
        case "constant" if isinstance(part.value.as_py(), int | float):
            return Term(number=float(part.value.as_py()))
        case "positive":
            return _term(part.args[0], text, what)
        case "negative":
            return Term(None, None, "*", Term(-1.0), _term(part.args[0], text, what))
        case "+" | "-" | "*" | "/" | "**":
            left, right = (_term(each, text, what) for each in part.args)
            return Term(None, None, part.op, left, right)
    raise UserError(
        f"{what}: a score has tasks, numbers, + - * /, ** by a constant and brackets alone; got "
        f"{shown(part.part)}, column {part.at} of {shown(text)}"
    )


def _value(term: Term, probabilities: Mapping[str, NDArray[Any]]) -> Any:
    if term.task is not None:
        return np.asarray(probabilities[term.task], np.float64)
    if term.operator is None:
        return np.float64(term.number or 0.0)
    assert term.left is not None
    assert term.right is not None
    return _OF[term.operator](_value(term.left, probabilities), _value(term.right, probabilities))
