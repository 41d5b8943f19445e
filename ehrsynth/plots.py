"""Pictures of patient tables, one style for the whole book.

Real data is always blue, synthetic orange and holdout green (Okabe-Ito colors, which color-blind
readers can tell apart), on an opaque near-white background that reads the same on a dark page.
"""

import warnings
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from textwrap import shorten

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import roc_auc_score, roc_curve

from .protection import LEAST_PATIENTS, ends
from .schema import Schema
from .statistics import kaplan_meier

_STYLE = dict(mpl.rc_params_from_file(Path(__file__).with_name("book.mplstyle"), False, False))
_CYCLE = _STYLE["axes.prop_cycle"].by_key()["color"]
COLORS = dict(zip(("real", "synthetic", "holdout"), _CYCLE, strict=False), neutral="#6B7280")
BACKGROUND, INK = _STYLE["figure.facecolor"], _STYLE["text.color"]


def use_style() -> None:
    """Make every picture drawn from now on look like the book's."""
    sns.set_theme(context="notebook", style="whitegrid", rc=_STYLE)


def _axes(size: tuple[float, float]) -> Axes:
    """New axes in the book's style, whatever the caller's."""
    return _grid(1, 1, size)[1][0, 0]


def _grid(
    rows: int, columns: int, size: tuple[float, float], **options
) -> tuple[Figure, np.ndarray]:
    with plt.rc_context(sns.axes_style("whitegrid") | _STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
        interactive = plt.isinteractive()
    # A notebook's first figure switches interactive drawing on; leaving the context undid that,
    # and later figures appeared below the wrong cell or not at all.
    plt.rcParams["interactive"] = interactive
    return figure, axes


def _in_both(schema: Schema, kind: str, *tables: pd.DataFrame) -> list[str]:
    return [name for name in schema.of_kind(kind) if all(name in t.columns for t in tables)]


def prevalence(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema | None = None,
    ax: Axes | None = None, name_farthest: int = 4,
) -> Axes:  # fmt: skip
    """Prevalence of every binary column, real against synthetic, on log axes.

    The band is where a sample as large as `synthetic` falls in 95 of 100 cases when nothing is
    wrong. A code that one side never has is drawn at half a patient.

    Parameters
    ----------
    real, synthetic : DataFrame
    schema, ax : Schema, Axes, optional
        Of the codes to draw, by default that of `real`; where to draw, by default anew.
    name_farthest : int
        How many of the codes farthest outside the band are named.
    """
    schema = schema or Schema.of(real)
    names = _in_both(schema, "binary", real, synthetic)
    ax = ax or _axes((5.2, 5))
    x, y = (np.maximum(t[names].to_numpy(float).mean(0), 0.5 / len(t)) for t in (real, synthetic))
    low = min(x.min(initial=0.5), y.min(initial=0.5)) * 0.7
    line = np.geomspace(max(low, 1e-6), 1, 200)
    per_patient = 1 / len(synthetic) + 1 / len(real)
    error = 1.96 * np.sqrt(line * (1 - line) * per_patient)
    ax.fill_between(
        line, np.maximum(line - error, low), np.minimum(line + error, 1),
        color=COLORS["neutral"], alpha=0.15, linewidth=0, label="chance alone (95 %)",
    )  # fmt: skip
    ax.plot(line, line, color=COLORS["neutral"], linewidth=1)
    ax.scatter(x, y, s=14, alpha=0.65, color=COLORS["synthetic"], linewidth=0)
    off = np.abs(y - x) / np.maximum(np.sqrt(x * (1 - x) * per_patient), 1e-9)
    for i in np.argsort(-off, kind="stable")[:name_farthest]:
        if off[i] > 4:
            ax.annotate(_label(schema, names[i], 26), (x[i], y[i]), fontsize=7.5,
                        xytext=(5, -3), textcoords="offset points")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlim=(low, 1.2), ylim=(low, 1.2))
    ax.set(xlabel="Real patients with the code (%)", ylabel="Synthetic patients with the code (%)")
    ax.set_title(f"Prevalence of {len(names)} codes", loc="left")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    ax.legend(loc="upper left", frameon=False)
    return ax


def distributions(real: pd.DataFrame, synthetic: pd.DataFrame) -> Figure:
    """One panel a continuous column: how it is distributed where it is not missing.

    Parameters
    ----------
    real, synthetic : DataFrame
        `real` has the schema.
    """
    schema = Schema.of(real)
    names = _in_both(schema, "continuous", real, synthetic)
    across, down = min(max(len(names), 1), 2), max(1, -(-len(names) // 2))
    figure, axes = _grid(down, across, (2.9 * across + 0.4, 2.6 * down))
    for ax, name in zip(axes.flat, names, strict=False):
        a, b = (table[name].dropna().to_numpy(float) for table in (real, synthetic))
        a = np.clip(a, *ends(a)) if len(a) >= LEAST_PATIENTS else a[:0]  # nobody alone is outermost
        edges = _edges(np.concatenate([a, b]), schema[name].decimals)
        for values, role in ((a, "real"), (b, "synthetic")):
            if len(values):
                same = {"bins": edges, "weights": _percent(values), "color": COLORS[role]}
                ax.hist(values, **same, histtype="stepfilled", alpha=0.25, linewidth=0)
                ax.hist(values, **same, histtype="step", linewidth=1.6, label=role)
        ax.set(xlabel=schema[name].title, ylabel="Patients (%)")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    if names:
        axes.flat[0].legend(frameon=False)
    else:
        axes.flat[0].text(0, 0.5, "no continuous columns in both tables")
    return figure


def _percent(values: np.ndarray) -> np.ndarray:
    """Weights that make the bars of a histogram sum to 100."""
    return np.full(len(values), 100 / max(len(values), 1))


def _edges(values: np.ndarray, decimals: int | None) -> np.ndarray:
    """Edges of 30 bins; whole numbers get a whole width, so that no bin is fuller by accident."""
    low, high = np.quantile(values, [0.001, 0.999]) if len(values) else (0, 1)
    if decimals == 0 and len(values) and max(-low, high) < 2**52:  # beyond, halves are lost
        width = max(1, int(np.ceil((high - low) / 30)))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + width + 0.5, width)
    return np.linspace(low, high if high > low else low + 1, 31)


def monitor(history: pd.DataFrame) -> Figure:
    """What the critic says in training, above what the quality monitor found.

    The band is one standard error; the dotted line is the look that ``keep="best"`` keeps.

    Parameters
    ----------
    history : DataFrame
        ``history_`` of a model whose recipe has looks.
    """
    looks = history.dropna(subset="c2st")
    step, score, error = (looks[name].to_numpy() for name in ("step", "c2st", "c2st_error"))
    figure, axes = _grid(3, 1, (6.8, 5.6), sharex=True)
    top, middle, bottom = axes[:, 0]
    begun = history[history["step"] > 0.1 * history["step"].max()]  # the first losses are huge
    top.plot(begun["step"], begun["critic_loss"], color=COLORS["neutral"])
    top.axhline(0, color=COLORS["neutral"], linewidth=1)
    middle.fill_between(step, score - error, score + error, color=COLORS["synthetic"], alpha=0.2)
    middle.plot(step, score, marker="o", color=COLORS["synthetic"])
    middle.axhline(0.5, color=COLORS["neutral"], linewidth=1)
    bottom.plot(step, looks["correlation"], marker="o", color=COLORS["synthetic"])
    for ax in axes[:, 0]:
        ax.axvline(step[looks["kept"] == 1][-1], color=COLORS["holdout"], ls=":", lw=2.5)
    top.set_ylabel("Critic loss")
    middle.set_ylabel("Two-sample test\n(AUROC)")
    bottom.set(ylabel="Pair correlations:\nagreement (r)", xlabel="Training step")
    return figure


def sensitivity(paths: pd.DataFrame, current: float | None = None) -> Axes:
    """How the candidates' scores change with the weights; the first place is shaded.

    Parameters
    ----------
    paths, current : DataFrame, float, optional
        From :func:`ehrsynth.evaluation.sensitivity`; and the use case's own weight, a line.
    """
    ax = _axes((7, 3.8))
    palette = sns.color_palette("colorblind", len(paths.columns))
    drawn = dict(zip(paths.columns, palette, strict=True))
    for name, style in zip(paths.columns, cycle(["-", "--", ":", "-."]), strict=False):
        ax.plot(paths.index, paths[name], style, linewidth=2, color=drawn[name], label=str(name))
    at = paths.index.to_numpy(float)
    edges = [at[0], *(at[1:] + at[:-1]) / 2, at[-1]]
    for low, high, (_, row) in zip(edges[:-1], edges[1:], paths.iterrows(), strict=True):
        if row.notna().any():  # else nobody is ranked
            ax.axvspan(low, high, color=drawn[row.idxmax()], alpha=0.10, linewidth=0)
    if current is not None:
        ax.axvline(current, color=COLORS["neutral"], linewidth=1.2, linestyle=":")
        ax.text(current, 1.06, " use case", color=COLORS["neutral"], fontsize=8.5, va="center")
    ax.set(xlim=(at[0], at[-1]), ylim=(-0.03, 1.1), ylabel="Score (0 worst, 1 best)")
    ax.set_xlabel("Share of the weight on privacy (background: who is first)")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.legend(frameon=False, loc="lower left")
    return ax


def noticed(table: pd.DataFrame) -> Axes:
    """Which metric notices which defect (orange); a ring marks what was expected to be.

    Parameters
    ----------
    table : DataFrame
        From :func:`ehrsynth.evaluation.validation.results`; what is not believed is left out.
    """
    table = table[table["believed"]]
    defects, titles = table["defect"].unique(), table["title"].unique()
    grid, ring = (
        table.pivot(index="title", columns="defect", values=name).loc[titles, defects].eq(True)
        for name in ("notices", "expected")
    )
    ax = _axes((0.3 * len(defects) + 3.3, 0.24 * len(titles) + 1.9))
    mix = ["#E4E7EB", COLORS["synthetic"]]
    sns.heatmap(grid, cmap=mix, vmin=0, vmax=1, cbar=False, lw=2, linecolor=BACKGROUND, ax=ax)
    row, column = np.nonzero(ring.to_numpy())
    ax.scatter(column + 0.5, row + 0.5, s=34, facecolor="none", edgecolor=INK, linewidth=1.2)
    ax.xaxis.tick_top()
    ax.set_xticks(ax.get_xticks(), defects, rotation=45, ha="left", fontsize=8.5)
    ax.tick_params(axis="y", labelsize=8)
    ax.tick_params(length=0)
    ax.set(xlabel="", ylabel="")
    return ax


def farthest(columns: list[dict], pairs: list[dict]) -> Figure:
    """The columns and pairs of columns that differ most from real patients, by name.

    Parameters
    ----------
    columns, pairs : list of dict
        From :func:`ehrsynth.evaluation.farthest.farthest`.
    """
    parts = [part for part in (columns, pairs) if part]
    size = (6.4, 0.6 + 0.34 * sum(map(len, parts)) + 0.8 * len(parts))
    figure, axes = _grid(len(parts), 1, size, height_ratios=[len(part) + 1 for part in parts])
    for ax, part in zip(axes[:, 0], parts, strict=True):
        place, rows = np.arange(len(part)), pd.DataFrame(part)
        if part is columns:
            ax.barh(place, rows["distance"], color=COLORS["synthetic"], height=0.6)
            ax.set(xlabel="Difference in standard deviations")
            names = rows["column"]
        else:
            ax.hlines(place, rows["real"], rows["synthetic"], color=COLORS["neutral"], lw=1.5)
            for side in ("real", "synthetic"):
                ax.plot(rows[side], place, "o", color=COLORS[side], label=side)
            ax.set(xlabel="Correlation")
            ax.legend(frameon=False, fontsize=8)
            names = rows["first"] + " and " + rows["second"]
        ax.set_yticks(place, [shorten(name, 52) for name in names], fontsize=8)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    return figure


def distances(train: np.ndarray, holdout: np.ndarray) -> Axes:
    """Whether patients whose data was used are nearer to the synthetic data than others.

    Parameters
    ----------
    train, holdout : array of float
        For each patient the distance to the nearest synthetic patient.
    """
    ax = _axes((6.4, 3.4))
    edges = np.linspace(0, max(np.quantile([*train, *holdout], 0.995), 1e-9), 40).tolist()
    named = (train, "real", "train (data was used)"), (holdout, "holdout", "holdout (never seen)")
    for values, role, name in named:
        ax.hist(np.minimum(values, edges[-1]), bins=edges, weights=_percent(values),
                histtype="step", linewidth=2, color=COLORS[role], label=name)  # fmt: skip
        ax.axvline(np.median(values), color=COLORS[role], linestyle=":", linewidth=1.2)
    ax.set(xlabel="Distance to the nearest synthetic patient", ylabel="Patients (%)")
    ax.legend(frameon=False)
    return ax


def importance(real: pd.Series, synthetic: pd.Series, schema: Schema, top: int = 20) -> Axes:
    """The most important features of a model trained on real data, and the same on synthetic.

    Parameters
    ----------
    real, synthetic : Series
        Mean absolute SHAP value by feature name.
    schema, top : Schema, int
        Has the names to show; how many, the most important in real data first.
    """
    order = real.sort_values(ascending=False, kind="stable").index[:top]
    ax = _axes((6.4, 0.32 * max(len(order), 1) + 1.1))
    shown = pd.DataFrame({"trained on real": real, "trained on synthetic": synthetic})
    shown = shown.reindex(order).fillna(0.0).rename(index=lambda name: _label(schema, name, 40))
    shown.plot.barh(ax=ax, width=0.78, color=[COLORS["real"], COLORS["synthetic"]], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlabel("Mean absolute SHAP value (log odds)")
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right", frameon=False)
    return ax


def roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Axes:
    """ROC curves with their areas.

    Parameters
    ----------
    curves : mapping of str to (truth, score)
        `truth` is 0/1, `score` grows with the risk. A name that begins with "real", "synthetic"
        or "holdout" has the usual color.
    """
    ax = _axes((4.8, 4.6))
    ax.plot([0, 1], [0, 1], color=COLORS["neutral"], linewidth=1, linestyle=":")
    for name, (truth, score) in curves.items():
        color = next((c for role, c in COLORS.items() if name.lower().startswith(role)), None)
        label = f"{name} (AUROC {roc_auc_score(truth, score):.3f})"
        ax.plot(*roc_curve(truth, score)[:2], color=color, label=label)
    ax.set(xlabel="False positive rate", ylabel="True positive rate")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    ax.legend(loc="lower right", frameon=False)
    return ax


def survival(tables: Mapping[str, pd.DataFrame]) -> Axes:
    """Kaplan and Meier's curves of tables by role; the band is what chance does to the holdout's.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        "train", "holdout" and "synthetic", with a time and its event in the schema.
    """
    ax, names = _axes((5.2, 4)), {"train": "real", "holdout": "holdout", "synthetic": "synthetic"}
    schema = Schema.of(tables["train"])
    time, event = schema[str(schema.time)], schema[str(schema.outcome)]
    for role, name in names.items():
        table = tables[role][tables[role][time.name].notna()]
        if len(table) < LEAST_PATIENTS:
            continue
        times = table[time.name].to_numpy(float)  # of whom the last is one patient
        curve = kaplan_meier(np.clip(times, *ends(times)), schema.outcome_values(table))
        x, y = np.append(0, curve.quantiles), np.append(1, curve.probabilities)
        ax.step(x, y, where="post", color=COLORS[name], label=name, linewidth=1.6)
        if role == "holdout":
            with warnings.catch_warnings(action="ignore"):  # there is none where nobody is left
                band = curve.confidence_interval()
            low, high = (np.append(1, end.probabilities) for end in band)
            ax.fill_between(x, low, high, step="post", alpha=0.15, color=COLORS[name], linewidth=0)
    ax.set(xlabel=time.title, ylabel=f"Without {event.title} (%)", ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    ax.legend(loc="lower left", frameon=False)
    return ax


def _label(schema: Schema, name: str, most: int) -> str:
    """The column's label, cut to so many letters."""
    text = (schema[name].label if name in schema else "") or name
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
