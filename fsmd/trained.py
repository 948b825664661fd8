"""A trained model as a value: what it is, and its tensors at the epoch that validation chose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fsmd.baselines import Baseline, Config
from fsmd.data.schema import Floats, Ids, Schema

if TYPE_CHECKING:
    from fsmd.module import FSMDModule


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What scores encoded rows; plain arrays, so that it goes anywhere without pickle of code."""

    config: Config
    schema: Schema
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)
    """Name -> array: the model's state. Where tasks share nothing, each task's own part is of its
    own chosen epoch."""

    def logits(self, ids_NC: Ids, dense_ND: Floats) -> Floats:
        """What the model gives of N encoded rows, N x K float32, before any chain."""
        return self.logits_and_scores(ids_NC, dense_ND)[0]

    def scores(self, ids_NC: Ids, dense_ND: Floats) -> Floats:
        """Log-odds of each task over all rows, N x K float32."""
        return self.logits_and_scores(ids_NC, dense_ND)[1]

    def logits_and_scores(self, ids_NC: Ids, dense_ND: Floats) -> tuple[Floats, Floats]:
        """Both by one pass over the rows. A network loads torch."""
        if isinstance(self.config, Baseline):
            from fsmd.baselines.scoring import log_odds

            score_NK = log_odds(self.tensors, self.schema, ids_NC, dense_ND)
            return score_NK, score_NK
        from fsmd.forward import scored_rows

        scored = scored_rows(self._module, ids_NC, dense_ND)
        return scored.logit_NK, scored.score_NK

    @cached_property
    def _module(self) -> "FSMDModule":
        from fsmd.forward import module_of

        return module_of(self)
