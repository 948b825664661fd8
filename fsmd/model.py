"""The model of the paper, in the paper's order; every variant is a value of `FSMDConfig`.

Shape suffixes: B rows, F categorical fields, C columns of their ids (one a field, or several, L),
D dense fields, G = F + D, E embedding size, I = F * E + D inputs of the deep part, N experts,
H a hidden width, K tasks.
A list indexed by task has the suffix _K before the shapes of its members: `x_K_BH`.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsmd.config import FSMDConfig, check_fits
from fsmd.data.schema import Field, Schema
from fsmd.errors import UserError
from fsmd.layers import AT_ONCE, HiddenLayer, HiddenLayers, mix
from fsmd.tasks import parents

_EMBEDDING_STD = 0.01
_BIAS_WIDTH = 16
_table_backward = torch.ops.aten.embedding_dense_backward
ROW_WISE = 2**19
"""Tables of more rows are updated row by row (`fsmd.adamw`). Measured on a CPU: AdamW over all
rows costs less below some 2**18 of them with batches of 256, below 2**20 with those of 2,048."""

# --- Building blocks ----------------------------------------------------------------------


def _hidden(config: FSMDConfig, d_in: int, widths: Sequence[int], count: int = 1) -> HiddenLayers:
    return HiddenLayers(d_in, widths, config.batch_norm, config.dropout or 0.0, count)


class EmbeddingTable(nn.Embedding):
    """A vector for each id. With `blank` one more row is of no id: zeros, which nothing moves."""

    def __init__(self, rows: int, size: int, blank: bool) -> None:
        super().__init__(
            num_embeddings=rows + blank,
            embedding_dim=size,
            padding_idx=rows if blank else None,
            sparse=rows > ROW_WISE,
            _weight=torch.zeros(rows + blank, size),  # `initialise` draws it
        )

    def forward(self, row: Tensor) -> Tensor:
        """Rows of the table, in any shape; seven times faster back than torch's own on a CPU."""
        if self.sparse:
            return super().forward(row)
        if row.device.type in AT_ONCE:
            vector: Tensor = _LookedUp.apply(self.weight, row, self.padding_idx, 1)  # type: ignore[no-untyped-call]
            return vector
        row_R = row.flatten().long()
        vector_RS = self.weight.gather(0, row_R.unsqueeze(1).expand(-1, self.embedding_dim))
        if self.padding_idx is not None:
            is_blank_R1 = (row_R == self.padding_idx).unsqueeze(1)
            vector_RS = torch.where(is_blank_R1, vector_RS.detach(), vector_RS)
        return vector_RS.view(*row.shape, self.embedding_dim)


class _LookedUp(torch.autograd.Function):
    """Rows of a table on a GPU, to which torch's own goes row by row: twelve times as long."""

    @staticmethod
    def forward(weight_RS: Tensor, row: Tensor, padding: int | None, tables: int) -> Tensor:
        """Row's shape x S, of a table or of several below each other; padding: a row of each."""
        size = weight_RS.shape[1]
        row = row if weight_RS.numel() < 2**31 else row.long()
        unit_S = torch.arange(size, device=row.device, dtype=row.dtype)
        return weight_RS.flatten()[row.unsqueeze(-1) * size + unit_S]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight_RS, row, ctx.padding, ctx.tables = inputs
        ctx.rows = len(weight_RS)
        ctx.save_for_backward(row)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        (row,) = ctx.saved_tensors
        slope_RS = _table_backward(slope, row, ctx.rows, -1, False)
        if ctx.padding is not None:  # nothing moves it
            slope_RS.view(ctx.tables, -1, slope_RS.shape[1])[:, ctx.padding] = 0
        return slope_RS, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], weight: Tensor, row: Tensor, *rest: Any
    ) -> tuple[Tensor, int]:
        """Of all places of a stack."""
        of_weight, of_row, *_ = in_dims
        assert of_weight is not None
        places, table_PRS = info.batch_size, weight.movedim(of_weight, 0)
        row = row.expand(places, *row.shape) if of_row is None else row.movedim(of_row, 0)
        first_P = torch.arange(places, device=row.device, dtype=row.dtype) * table_PRS.shape[1]
        row = row + first_P.view(-1, *[1] * (row.dim() - 1))
        vector: Tensor = _LookedUp.apply(table_PRS.flatten(0, 1), row, rest[0], places)  # type: ignore[no-untyped-call]
        return vector, 0


class Lookup(NamedTuple):
    """Where the rows of a batch stand in a table."""

    row_BC: Tensor
    lengths: list[int]
    """Columns of each field."""
    count_BF: Tensor | None
    """Ids that a row has of each field, 1 at least; None where each field is one column."""

    def of(self, table: nn.Module) -> Tensor:
        """Each field's vector of a table, B x F x size: the mean over the row's ids, or zeros."""
        vector_BCS: Tensor = table(self.row_BC)
        if self.count_BF is None:
            return vector_BCS
        sums = [part_BLS.sum(1) for part_BLS in torch.split(vector_BCS, self.lengths, 1)]
        return torch.stack(sums, 1) / self.count_BF.unsqueeze(2)


def places(fields: Sequence[Field], i: int) -> slice:
    """The columns of ids of one of the fields."""
    first = sum(field.length for field in fields[:i])
    return slice(first, first + fields[i].length)


class Columns(nn.Module):
    """Where the ids of some `chosen` of the fields (None: all) stand in one table for all fields.

    Fields that share a table stand at the same rows. Raises UserError for one that shares that
    of no field before it, or has another number of ids.
    """

    def __init__(self, fields: Sequence[Field], chosen: Sequence[int] | None = None) -> None:
        super().__init__()
        first: dict[str, int] = {}
        sizes: dict[str, int] = {}
        self.rows = 0
        for field in fields:
            if field.share is None:
                first[field.name], self.rows = self.rows, self.rows + field.cardinality
            elif sizes.get(field.share) != field.cardinality:
                raise UserError(
                    f"the field {field.name!r} must share the ids of a field before it and have "
                    f"as many of them; got {field.cardinality} and share={field.share!r}"
                )
            else:
                first[field.name] = first[field.share]
            sizes[field.name] = field.cardinality
        self.blank = any(field.length > 1 for field in fields)
        """Whether the table has a row more, for no id."""
        own = fields if chosen is None else [fields[i] for i in chosen]
        self.lengths = [field.length for field in own]
        offsets = [first[field.name] for field in own for _ in range(field.length)]
        kind = torch.int32 if self.rows < 2**31 else torch.int64
        self.register_buffer("offset_C", torch.tensor(offsets, dtype=kind), persistent=False)
        self.offset_C: Tensor

    def forward(self, ids_BC: Tensor) -> Lookup:
        """Of ids of the fields; -1 stands for none."""
        row_BC = ids_BC + self.offset_C
        if not self.blank:
            return Lookup(row_BC, self.lengths, None)
        there_BC = ids_BC >= 0
        counts = [part_BL.sum(1) for part_BL in torch.split(there_BC, self.lengths, 1)]
        row_BC = torch.where(there_BC, row_BC, self.rows)
        return Lookup(row_BC, self.lengths, torch.stack(counts, 1).clamp(min=1))


class Embeddings(nn.Module):
    """One table for all categorical fields (V of Eq. 2)."""

    def __init__(self, columns: Columns, size: int) -> None:
        super().__init__()
        self.table = EmbeddingTable(columns.rows, size, columns.blank)

    def forward(self, lookup: Lookup) -> Tensor:
        """Vectors of the categorical fields, B x F x E."""
        return lookup.of(self.table)


# --- III.A: factorization machine and shared bottom ---------------------------------------


class FactorizationMachine(nn.Module):
    """First and second order of Eq. (2), or the first order only; `outputs` scalars for each row.

    The paper's one scalar couples the tasks. Of several outputs each has its own first order and
    a learned scale on the second, which all share.

    NOTE[PAPER]: Eq. (2) is typeset wrongly. Meant is w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j>
    x_i x_j, computed in linear time as 1/2 sum_f [(sum_i v_if x_i)^2 - sum_i v_if^2 x_i^2].
    """

    def __init__(self, config: FSMDConfig, columns: Columns, dense: int, outputs: int) -> None:
        super().__init__()
        size = config.embedding_size
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight = EmbeddingTable(columns.rows, outputs, columns.blank)
        self.dense_weight = nn.Parameter(torch.zeros(dense, outputs))
        first_only = config.fm == "linear"
        self.dense_vector = None if first_only else nn.Parameter(torch.zeros(dense, size))
        self.scale = nn.Parameter(torch.ones(outputs)) if outputs > 1 else None

    def forward(self, lookup: Lookup, dense_BD: Tensor, vector_BFE: Tensor) -> Tensor:
        """y_FM, B x outputs."""
        first_BO = lookup.of(self.weight).sum(1) + dense_BD @ self.dense_weight
        if self.dense_vector is None:
            return self.bias + first_BO
        dense_BDE = dense_BD.unsqueeze(2) * self.dense_vector
        sum_BE = vector_BFE.sum(1) + dense_BDE.sum(1)
        squares_BE = vector_BFE.square().sum(1) + dense_BDE.square().sum(1)
        second_B1 = 0.5 * (sum_BE.square() - squares_BE).sum(1, keepdim=True)
        if self.scale is not None:
            second_B1 = second_B1 * self.scale
        return self.bias + first_BO + second_B1


class BiasTower(nn.Module):
    """A small tower on fields that say how an item was shown (Section II.C).

    NOTE[PAPER]: the paper gives no equation. Here it has a logit for each task that follows no
    other, as the exposure biases those. They are added while training and left out when
    predicting, so that the main part need not explain the bias. Each field has a table of its
    own here, even one that shares another's elsewhere.
    """

    def __init__(self, schema: Schema, fields: Sequence[int], size: int) -> None:
        super().__init__()
        roots = [k for k, task in enumerate(schema.tasks) if task.after is None]
        self.register_buffer("root_R", torch.tensor(roots), persistent=False)
        self.root_R: Tensor
        self.places = [places(schema.categorical, i) for i in fields]
        alone = [replace(schema.categorical[i], share=None) for i in fields]
        self.columns = nn.ModuleList(Columns([field]) for field in alone)
        self.tables = nn.ModuleList(
            EmbeddingTable(field.cardinality, size, blank=field.length > 1) for field in alone
        )
        self.hidden = HiddenLayers(len(fields) * size, [_BIAS_WIDTH], batch_norm=False)
        self.logit = nn.Linear(_BIAS_WIDTH, len(roots))

    def forward(self, ids_BC: Tensor) -> Tensor:
        """The bias of each root, B x roots."""
        vectors = [
            columns(ids_BC[:, place]).of(table).squeeze(1)
            for place, columns, table in zip(self.places, self.columns, self.tables, strict=True)
        ]
        bias_BR: Tensor = self.logit(self.hidden(torch.cat(vectors, 1)).squeeze(1))
        return bias_BR


class SharedBottom(nn.Module):
    """One MLP whose output all tasks read (Fig. 2; `f` of Eq. 3)."""

    def __init__(self, config: FSMDConfig, d_in: int, tasks: int) -> None:
        super().__init__()
        self.bottom = _hidden(config, d_in, config.layers)

    def forward(self, x_K_BI: list[Tensor]) -> list[Tensor]:
        """The same B x H for each task."""
        return [self.bottom(x_K_BI[0]).squeeze(1)] * len(x_K_BI)


class OwnNetworks(nn.Module):
    """A separate MLP for each task (single task, DeepFM, ESMM)."""

    def __init__(self, config: FSMDConfig, d_in: int, tasks: int) -> None:
        super().__init__()
        self.own = nn.ModuleList(_hidden(config, d_in, config.layers) for _ in range(tasks))

    def forward(self, x_K_BI: list[Tensor]) -> list[Tensor]:
        """B x H for each task."""
        return [own(x_BI).squeeze(1) for own, x_BI in zip(self.own, x_K_BI, strict=True)]


# --- III.B and III.C: experts behind gates ------------------------------------------------


class Gate(nn.Module):
    """Weights over experts, each row summing to 1 (Eq. 4, Fig. 6).

    NOTE[PAPER]: Eq. (4) has one linear layer, Fig. 6 an MLP. `gate_depth` counts linear layers:
    depth 1 is Eq. (4), depth d has d - 1 hidden ReLU layers, without batch norm or dropout.
    """

    def __init__(self, config: FSMDConfig, d_in: int, experts: int) -> None:
        super().__init__()
        self.experts = experts
        widths = [config.gate_width] * (config.gate_depth - 1)
        self.learned = config.gate == "learned"
        if self.learned:
            self.hidden = HiddenLayers(d_in, widths, batch_norm=False)
            self.score = nn.Linear([d_in, *widths][-1], experts)

    def forward(self, x_BI: Tensor) -> Tensor:
        """B x N."""
        if not self.learned:
            return x_BI.new_full((len(x_BI), self.experts), 1 / self.experts)
        hidden_BH = self.hidden(x_BI.to(self.score.weight.dtype)).squeeze(1)
        weight_BN: Tensor = self.score(hidden_BH).softmax(1)
        return weight_BN


class ExtractionLayer(nn.Module):
    """One level of shared and own experts (Eq. 8); without own experts it is one of MMoE.

    Task k's gate reads task k's input and weighs the shared and task k's own experts. The shared
    gate weighs ALL experts for the next level; the last level has none.
    """

    def __init__(self, config: FSMDConfig, d_in: int, tasks: int, own: int, last: bool) -> None:
        super().__init__()
        shared, self.own_count = config.expert_count - own, own
        self.shared = _hidden(config, d_in, config.layers, shared)
        self.own = nn.ModuleList(_hidden(config, d_in, config.layers, own) for _ in range(tasks))
        self.gates = nn.ModuleList(Gate(config, d_in, shared + own) for _ in range(tasks))
        self.shared_gate = None if last else Gate(config, d_in, shared + tasks * own)

    def forward(
        self, x_K_BI: list[Tensor], shared_BI: Tensor
    ) -> tuple[list[Tensor], Tensor | None]:
        """Task outputs and, except at the last level, the shared output, B x H each."""
        gates = [gate(x_BI) for gate, x_BI in zip(self.gates, x_K_BI, strict=True)]
        if self.shared_gate is not None:
            gates.append(self.shared_gate(shared_BI))
        shared, own = self.shared.count, self.own_count
        out = mix([weight_BN[:, :shared] for weight_BN in gates], self.shared(shared_BI))
        for k, (experts, x_BI) in enumerate(zip(self.own, x_K_BI, strict=True)):
            if not own:
                break
            weights = {k: gates[k][:, shared:]}  # a gate's, of task k's own experts
            if self.shared_gate is not None:
                first = shared + k * own
                weights[-1] = gates[-1][:, first : first + own]
            mixed = mix(list(weights.values()), experts(x_BI))
            for gate, mixed_BH in zip(weights, mixed, strict=True):
                out[gate] = out[gate] + mixed_BH
        return out[: len(x_K_BI)], None if self.shared_gate is None else out[-1]


class Experts(nn.Module):
    """Extraction levels one after the other (`g` of Eq. 9), after an optional shared bottom."""

    def __init__(self, config: FSMDConfig, d_in: int, tasks: int) -> None:
        super().__init__()
        self.bottom = _hidden(config, d_in, config.bottom)
        d_first = config.bottom[-1] if config.bottom else d_in
        self.levels = nn.ModuleList(
            ExtractionLayer(
                config,
                d_in=config.layers[-1] if level else d_first,
                tasks=tasks,
                own=config.own_count,
                last=level == config.extraction_levels - 1,
            )
            for level in range(config.extraction_levels)
        )

    @property
    def last(self) -> ExtractionLayer:
        """The level that the towers read."""
        level = self.levels[-1]
        assert isinstance(level, ExtractionLayer)
        return level

    def forward(self, x_K_BI: list[Tensor]) -> list[Tensor]:
        """B x H for each task."""
        shared_BI = self.bottom(x_K_BI[0]).squeeze(1)
        x_K_BI = [shared_BI] * len(x_K_BI)
        for level in self.levels:
            x_K_BI, shared_BI = level(x_K_BI, shared_BI)
        return x_K_BI


# --- Towers and the whole -----------------------------------------------------------------


class Tower(nn.Module):
    """Hidden layers of `tower_shape` and one logit (`h^k` of Eq. 3), B x H -> B."""

    def __init__(self, config: FSMDConfig, d_in: int) -> None:
        super().__init__()
        self.hidden = _hidden(config, d_in, config.tower_dims)
        self.logit = nn.Linear(config.tower_dims[-1], 1)

    def forward(self, x_BH: Tensor) -> Tensor:
        """y_Deep of one task, B."""
        hidden_BH = self.hidden(x_BH).squeeze(1)
        logit_B: Tensor = self.logit(hidden_BH.to(self.logit.weight.dtype)).squeeze(1)
        return logit_B


def _sharing(config: FSMDConfig, d_in: int, tasks: int) -> OwnNetworks | SharedBottom | Experts:
    if config.sharing in ("none", "embeddings"):
        return OwnNetworks(config, d_in, tasks)
    if config.sharing == "bottom":
        return SharedBottom(config, d_in, tasks)
    return Experts(config, d_in, tasks)


class FSMD(nn.Module):
    """Any of the paper's models: embeddings, FM, sharing, towers (Fig. 3).

    Raises `UserError` where the schema's tasks cannot carry the configuration.
    """

    def __init__(self, config: FSMDConfig, schema: Schema, seed: int) -> None:
        super().__init__()
        check_fits(config, schema.tasks)
        self.config = config
        self.precision: torch.dtype | None = None
        """Of the hidden layers while they train; None: that of the parameters."""
        self.parents = parents(schema.tasks) if config.chain else None
        tasks = len(schema.tasks)
        sources = tasks if config.sharing == "none" else 1
        self.columns = Columns(schema.categorical)
        self.embeddings = nn.ModuleList(
            Embeddings(self.columns, config.embedding_size) for _ in range(sources)
        )
        outputs = tasks if config.fm == "per_task" and sources == 1 else 1
        self.fms = nn.ModuleList(
            FactorizationMachine(config, self.columns, len(schema.dense), outputs)
            for _ in range(0 if config.fm == "none" else sources)
        )
        biased = field_positions("bias_fields", config, schema)
        self.bias_tower = BiasTower(schema, biased, config.embedding_size) if biased else None
        d_in = len(schema.categorical) * config.embedding_size + len(schema.dense)
        self.sharing = _sharing(config, d_in, tasks)
        self.towers = nn.ModuleList(Tower(config, config.layers[-1]) for _ in range(tasks))
        initialise(self, seed)

    def forward(self, ids_BC: Tensor, dense_BD: Tensor) -> Tensor:
        """Logits B x K: of each task or, with the chain, of each given the one that it follows.

        In training mode they hold the bias tower's, if there is one. Of single precision at
        least, whatever the layers compute in: losses and scores need it.
        """
        lookup = self.columns(ids_BC)
        deep, wide = [], []
        for source, embeddings in enumerate(self.embeddings):
            vector_BFE = embeddings(lookup)
            deep_BI = torch.cat([vector_BFE.flatten(1), dense_BD], 1)
            deep.append(
                deep_BI.to(self.precision) if self.precision and self.training else deep_BI
            )
            if self.fms:
                wide.append(self.fms[source](lookup, dense_BD, vector_BFE))
        x_K_BI = deep if len(deep) > 1 else deep * len(self.towers)
        task_K_BH = self.sharing(x_K_BI)
        logits = [tower(x_BH) for tower, x_BH in zip(self.towers, task_K_BH, strict=True)]
        logit_BK = torch.stack(logits, 1)
        if wide:
            logit_BK = logit_BK + torch.cat(wide, 1)
        if self.bias_tower is not None and self.training:
            bias_BR = self.bias_tower(ids_BC)
            logit_BK = logit_BK.index_add(1, self.bias_tower.root_R, bias_BR)
        return logit_BK.to(torch.promote_types(logit_BK.dtype, torch.float32))

    def own_state(self, task: int) -> dict[str, Tensor]:
        """What `state_dict` holds of one task alone, where the tasks share nothing."""
        lists = {"embeddings", "fms", "own", "towers"}
        return {
            name: value
            for name, value in self.state_dict().items()
            if any(f"{part}.{task}." in name for part in lists)
        }

    def shared_parameters(self) -> list[nn.Parameter]:
        """What all tasks share: all but towers, gates, own experts and own networks."""
        if self.config.sharing == "none":
            return []
        own = {"towers", "bias_tower", "own", "gates"}
        parameters = {
            name: parameter
            for name, parameter in self.named_parameters()
            if not own & set(name.split("."))
        }
        if self.config.fm == "per_task":  # only the dense fields' vectors are shared
            return [p for n, p in parameters.items() if "fms" not in n or "dense_vector" in n]
        return list(parameters.values())

    def last_shared_layer(self) -> list[Tensor]:
        """The weights of the last layer that all tasks share."""
        layers = None
        if isinstance(self.sharing, SharedBottom):
            layers = self.sharing.bottom
        elif isinstance(self.sharing, Experts):
            layers = self.sharing.last.shared
        if layers:
            return [layers[-1].get_parameter("weight")]
        return list(self.embeddings[0].parameters())


def field_positions(option: str, config: FSMDConfig, schema: Schema) -> list[int]:
    """Positions of the fields that an option names; UserError for one the data has not."""
    position = {field.name: i for i, field in enumerate(schema.categorical)}
    for name in getattr(config, option):
        if name not in position:
            raise UserError(
                f"`{option}` must name categorical fields of {schema.name}: "
                f"{', '.join(position)}; got {name!r}"
            )
    return [position[name] for name in getattr(config, option)]


# --- III.D: the chain ---------------------------------------------------------------------


Parents = Sequence[int | None] | None
"""For each task the one that it follows, if any (`fsmd.tasks.parents`); None: no chain."""


def log_probabilities(logit_BK: Tensor, parents: Parents) -> tuple[Tensor, Tensor]:
    """log p and log(1 - p) of each task over all rows, B x K each, stable at any logit.

    With the chain p_k is the product of the sigmoids from the root of the tree to k (Eq. 10), so
    it never exceeds that of the task which k follows.
    """
    log_p, log_q = F.logsigmoid(logit_BK), F.logsigmoid(-logit_BK)
    if parents is None:
        return log_p, log_q
    reached, missed = list(log_p.unbind(1)), list(log_q.unbind(1))
    for k, parent in enumerate(parents):
        if parent is not None:
            # 1 - p_k: the row fell out before k, or it came to k and fell out there.
            missed[k] = torch.logaddexp(missed[parent], reached[parent] + missed[k])
            reached[k] = reached[parent] + reached[k]
    return torch.stack(reached, 1), torch.stack(missed, 1)


def scores(logit_BK: Tensor, parents: Parents) -> Tensor:
    """Log-odds of each task over all rows, B x K; of one that follows none, its logit itself."""
    if parents is None:
        return logit_BK
    log_p_BK, log_q_BK = log_probabilities(logit_BK, parents)
    chained_K = torch.tensor([parent is not None for parent in parents], device=logit_BK.device)
    return torch.where(chained_K, log_p_BK - log_q_BK, logit_BK)


def task_losses(
    logit_BK: Tensor,
    label_BK: Tensor,
    parents: Parents,
    weight_B: Tensor | None = None,
    masked: bool = False,
) -> Tensor:
    """Mean cross-entropy of each task over all rows, K (Eq. 7; with the chain, Eq. 11).

    With `masked`, over the rows whose label is not NaN; 0 where a task was observed on none.
    """
    log_p_BK, log_q_BK = log_probabilities(logit_BK, parents)
    if weight_B is None and not masked:
        return -(label_BK * log_p_BK + (1 - label_BK) * log_q_BK).mean(0)
    weight_BK = (~label_BK.isnan()).to(log_p_BK.dtype)
    if weight_B is not None:
        weight_BK = weight_BK * weight_B.unsqueeze(1)
    label_BK = label_BK.nan_to_num()
    loss_BK = -(label_BK * log_p_BK + (1 - label_BK) * log_q_BK)
    total_K = weight_BK.sum(0)
    return (weight_BK * loss_BK).sum(0) / torch.where(total_K > 0, total_K, 1.0)


# --- Start --------------------------------------------------------------------------------


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator that depends on (seed, names) alone."""
    text = "/".join(map(str, (seed, *names)))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return torch.Generator().manual_seed(key & (2**63 - 1))


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Draw each submodule's start from (seed, its name) alone.

    So two models that differ in one part start alike in all others. Linear: U(+-1/sqrt(fan in));
    embeddings: N(0, 0.01); batch norm: identity.
    """
    for name, module in model.named_modules():
        draw = generator(seed, name)
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            module.weight.uniform_(-bound, bound, generator=draw)
            module.bias.uniform_(-bound, bound, generator=draw)
        elif isinstance(module, HiddenLayer):
            bound = 1 / math.sqrt(module.weight.shape[1])
            for network, weight_IO in enumerate(module.weight):
                own = generator(seed, name, network)
                weight_IO.uniform_(-bound, bound, generator=own)
                if module.bias is not None:
                    module.bias[network].uniform_(-bound, bound, generator=own)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0, _EMBEDDING_STD, generator=draw)
            if module.padding_idx is not None:
                module.weight[module.padding_idx] = 0
        elif isinstance(module, FactorizationMachine) and module.dense_vector is not None:
            module.dense_vector.normal_(0, _EMBEDDING_STD, generator=draw)
