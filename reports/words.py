"""How numbers and values are written on the page."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from fsmd.metrics import METRICS, Metric
from fsmd.stats.estimates import Estimate
from fsmd.tasks import MEAN, Target

DASH, MINUS = "\u2013", "\u2212"


# Figures and their differences


def decimals(value: float, digits: int) -> str:
    """So many decimals and a true minus; a dash for NaN."""
    return DASH if value != value else f"{value:.{digits}f}".replace("-", MINUS)


def figure(value: float, metric: Metric) -> str:
    """A figure with its metric's decimals; a dash for NaN."""
    return decimals(value, metric.digits)


def signed(value: float, digits: int = 5) -> str:
    """A difference with its sign; a true minus.

    >>> signed(-0.00123), signed(-0.000001)
    ('−0.00123', '0.00000')
    """
    text = f"{value:+.{digits}f}"
    return (text if float(text) else text[1:]).replace("-", MINUS)


def short(value: float) -> str:
    """A round difference, as on an axis.

    >>> short(0.001), short(-0.00051), short(0.0)
    ('+0.001', '−0.0005', '0')
    """
    return signed(value, 4).rstrip("0").rstrip(".") if abs(value) >= 5e-5 else "0"


def number(value: float, digits: int | None = None) -> str:
    """All digits that count, or so many, without a power of ten; a true minus.

    >>> number(0.00125), number(1e-06), number(0.0012345, 2), number(234.0, 2), number(0.5)
    ('0.00125', '0.000001', '0.0012', '230', '0.5')
    """
    text = np.format_float_positional(value, precision=digits, fractional=False, trim="-")
    return text.replace("-", MINUS)


def bounds(estimate: Estimate, digits: int = 4, sign: bool = False) -> str:
    """The interval alone, `[0.7204, 0.7216]`; empty if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    write = signed if sign else decimals
    return f"[{write(estimate.low, digits)}, {write(estimate.high, digits)}]"


def interval(estimate: Estimate, metric: Metric) -> str:
    """A mean and its interval: `0.7210 [0.7204, 0.7216]`."""
    return f"{figure(estimate.mean, metric)} {bounds(estimate, metric.digits)}".rstrip()


def difference(estimate: Estimate, digits: int = 5) -> str:
    """A difference and its interval: `+0.00123 [−0.00040, +0.00286]`."""
    if estimate.n == 0:
        return DASH
    return f"{signed(estimate.mean, digits)} {bounds(estimate, digits, sign=True)}".rstrip()


# Targets and metrics


def on_target(key: str) -> str:
    """`on click`, `on the mean`."""
    return "on the mean" if key == MEAN else f"on {key}"


def column(target: Target) -> str:
    """The heading of a target's column: `AUC, click`."""
    return f"{METRICS[target.metric].label}, {target.key}"


def measured(targets: Iterable[Target]) -> str:
    """What is measured on the targets: `AUC`, or `AUC and log loss`."""
    return listed(dict.fromkeys(METRICS[target.metric].label for target in targets))


def less_is_better(targets: Iterable[Target]) -> str:
    """A sentence with a blank before it, where of some target less is better; else empty."""
    metrics = dict.fromkeys(METRICS[target.metric] for target in targets)
    turned = [metric.label for metric in metrics if not metric.higher]
    return f" Of {listed(turned)} less is better." if turned else ""


# Probabilities


def percent(share: float) -> str:
    """A share as `1.2 %`; a dash for NaN."""
    return DASH if share != share else f"{100 * share:.1f} %"


def p(value: float) -> str:
    """A p-value with its relation; a dash for NaN.

    >>> p(0.0004), p(0.0312), p(0.5)
    ('p < 0.001', 'p = 0.031', 'p = 0.50')
    """
    if value != value:
        return DASH
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def p_alone(value: float) -> str:
    """A p-value where a heading says that it is one: `0.031`, `< 0.001`."""
    return p(value).removeprefix("p ").removeprefix("= ")


def probability(value: float) -> str:
    """Two decimals; never 0 or 1 where it is neither.

    >>> probability(0.9534), probability(0.9999), probability(0.0)
    ('0.95', '> 0.99', '0')
    """
    if value in (0.0, 1.0):
        return f"{value:g}"
    return "< 0.01" if value < 0.005 else "> 0.99" if value > 0.995 else f"{value:.2f}"


def chance(value: float) -> str:
    """Whole per cents; never 0 or 100.

    >>> chance(0.874), chance(0.999), chance(0.0)
    ('87 %', '> 99 %', '< 1 %')
    """
    return "< 1 %" if value < 0.01 else "> 99 %" if value > 0.99 else f"{100 * value:.0f} %"


# Words


def called(arm: str, factor: str) -> str:
    """An arm in a sentence; one that is called by a number alone with what it is a value of.

    >>> called("fsmd", "model"), called("3", "gate depth"), called("0.5", "")
    ('fsmd', 'gate depth = 3', '0.5')
    """
    is_number = arm.replace(".", "", 1).isdecimal()
    return f"{factor} = {arm}" if factor and is_number else arm


def count(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun: `1 replicate`, `5 replicates`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def counted(numbers: Iterable[int], noun: str, plural: str = "") -> str:
    """The same number for all, or the range.

    >>> counted([5, 5], "pair"), counted([5, 1, 4], "pair")
    ('5 pairs', '1 to 5 pairs')
    """
    different = sorted(set(numbers))
    first = "" if len(different) == 1 else f"{different[0]:,} to "
    return first + count(different[-1], noun, plural)


def listed(values: Iterable[Any], last: str = "and") -> str:
    """`a, b and c`."""
    words = [str(value) for value in values]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def by_key(groups: Iterable[tuple[str, Iterable[str]]]) -> str:
    """`click: a 0.72, b 0.71; like: a 0.69`."""
    return "; ".join(f"{key}: {', '.join(of_key)}" for key, of_key in groups)


def capital(sentence: str) -> str:
    """With a capital letter; the rest stays."""
    return sentence[:1].upper() + sentence[1:]


def plain(value: Any) -> str:
    """A setting's value: tuples and lists as `256, 128`, an empty one as a dash."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value)) or DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return DASH if value is None else str(value)
