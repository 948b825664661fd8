"""What must hold of any drawn figure."""

import pytest
from matplotlib.figure import Figure


def ticks_are_true(figure: Figure) -> None:
    """The labels of a panel stand where they say, more than one on each axis, and are whole."""
    axis = figure.axes[0]
    figure.draw_without_rendering()
    for each in (axis.xaxis, axis.yaxis):
        low, high = each.get_view_interval()
        ticks = zip(each.get_ticklabels(), each.get_ticklocs(), strict=True)
        pairs = [(float(label.get_text()), at) for label, at in ticks if low <= at <= high]
        assert len(pairs) > 1
        assert all(written == pytest.approx(at, abs=1e-9) for written, at in pairs)
        box = each.get_tightbbox()
        assert box is not None
        assert min(box.x0, box.y0) >= 0
