"""Simple models that a network has to beat: trainings like any other, without torch.

Each task is a model of its own. All of them see what a network sees: ids N x C, numbers N x D, and
the rows of train; validation alone ends a training and chooses the epoch.

A trained baseline is plain arrays (`TrainedModel.tensors`), K tasks. Schema field f has columns of
ids of its own, `length` side by side, and rows of its own in each table, also where it shares its
words with another: row `offset_f + id`, where `offset_f` is the sum of the cardinalities of the
fields before it, R rows in all. Of a field of tags a row takes the mean over its members (ids that
are not -1), and what is said below where it has none. A score is the log-odds of task k over all
rows, float32.

constant
    bias  float32 K: the score of every row.

logistic
    bias  float32 K, ids float32 R x K, dense float32 D x K.
    score_k = bias[k] + sum over fields of ids[offset_f + id, k] + dense_D @ dense[:, k].
    Tags without a member add 0.

trees, lightgbm, catboost
    rates   float32 R x K: the smoothed mean label of each id.
    counts  float32 R x K: log(1 + rows of train that have it), of those where task k was observed.
    overall float32 K: the mean label, which stands for tags without a member (whose count is 0).
    Row n of task k becomes F = 2 C' + D numbers float32, C' fields: first the rates[., k] of each
    field, then the counts[., k] of each, then the dense numbers. None is ever NaN.
    For each task k, of M nodes and T trees, names that begin with `k.`, as in `0.feature`:
    feature   int32 M: position among the F numbers; -1 at a leaf.
    threshold float32 M: a row goes left where number <= threshold (compared as float32), else
              right; 0 at a leaf.
    left, right int32 M: positions of the next nodes; a leaf's own position at a leaf.
    value     float32 M: what a leaf adds to the score; 0 at a split.
    roots     int32 T: position of each tree's first node; it may be a leaf. Empty of a task whose
              labels in train are of one class.
    base      float32 1: the score before the trees.
    score_k = base + sum over trees of value at the leaf that the row comes to.
"""

from fsmd.baselines.config import BASELINES, Baseline, Config, config_class
from fsmd.baselines.libraries import check_library

__all__ = ["BASELINES", "Baseline", "Config", "check_library", "config_class"]
