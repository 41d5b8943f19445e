"""Pictures of patient tables, one style for the whole book.

Real data is always blue, synthetic data orange and holdout green (Okabe-Ito colors, which
color-blind readers can tell apart). Figures have an opaque near-white background, so that
they read the same on a white and on a dark page. Every function takes tables and returns the
matplotlib Axes or Figure it drew; labels and units come from the :class:`~ehrsynth.schema.Schema`.
:func:`slider` makes a film of such figures.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Iterable, Mapping
from string import Template

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from .errors import InputError
from .schema import MISSING, Schema

COLORS = {
    "real": "#0072B2",
    "synthetic": "#D55E00",
    "holdout": "#009E73",
    "neutral": "#6B7280",
}
BACKGROUND = "#FCFCFB"
INK = "#1F2933"
_FAMILY_TITLES = {
    "fidelity": "Fidelity: does it look like the real data?",
    "utility": "Utility: can one learn from it?",
    "privacy": "Privacy: does it protect the patients?",
    "fairness": "Fairness: is it right for every group?",
}


def use_style() -> None:
    """Make every picture drawn from now on look like the book's."""
    sns.set_theme(context="notebook", style="whitegrid", rc=_style())


def _style() -> dict:
    return {
        "figure.facecolor": BACKGROUND,
        "axes.facecolor": BACKGROUND,
        "savefig.facecolor": BACKGROUND,
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.edgecolor": "#9AA5B1",
        "grid.color": "#E4E7EB",
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.labelsize": 10.5,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "legend.fontsize": 9.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": plt.cycler(
            color=[COLORS["real"], COLORS["synthetic"], COLORS["holdout"], "#CC79A7", "#56B4E9"]
        ),
    }


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or new ones in the book's style (whatever the caller's style is)."""
    if ax is not None:
        return ax
    return _grid(1, 1, size)[1][0, 0]


def _grid(rows: int, columns: int, size: tuple[float, float], **options):
    with plt.rc_context({**sns.axes_style("whitegrid"), **_style()}):
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
        interactive = plt.isinteractive()
    # A notebook's first figure switches interactive drawing on; leaving the context undid that,
    # and later figures appeared below the wrong cell or not at all.
    plt.rcParams["interactive"] = interactive
    return figure, axes


def _common(schema: Schema, names: Iterable[str], *tables: pd.DataFrame) -> list[str]:
    return [name for name in names if name in schema and all(name in t.columns for t in tables)]


def prevalence(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema | None = None,
    ax: Axes | None = None,
    name_farthest: int = 4,
) -> Axes:
    """Prevalence of every binary column, real against synthetic, on log axes.

    Points on the diagonal agree. The band is where a sample as large as `synthetic` falls
    in 95 of 100 cases when nothing is wrong. A code that one side never has is drawn at half
    a patient.

    Parameters
    ----------
    real, synthetic : DataFrame
        Patient tables.
    name_farthest : int
        How many of the codes farthest outside the band are named.

    Returns
    -------
    Axes
    """
    schema = schema or Schema.of(real)
    names = _common(schema, schema.of_kind("binary"), real, synthetic)
    ax = _axes(ax, (5.2, 5))
    p = real[names].to_numpy(float).mean(axis=0) if names else np.zeros(0)
    q = synthetic[names].to_numpy(float).mean(axis=0) if names else np.zeros(0)
    x, y = np.maximum(p, 0.5 / len(real)), np.maximum(q, 0.5 / len(synthetic))
    low = min(x.min(initial=0.5), y.min(initial=0.5)) * 0.7
    line = np.geomspace(max(low, 1e-6), 1, 200)
    error = 1.96 * np.sqrt(line * (1 - line) * (1 / len(synthetic) + 1 / len(real)))
    ax.fill_between(
        line, np.maximum(line - error, low), np.minimum(line + error, 1),
        color=COLORS["neutral"], alpha=0.15, linewidth=0, label="chance alone (95 %)",
    )  # fmt: skip
    ax.plot(line, line, color=COLORS["neutral"], linewidth=1)
    ax.scatter(x, y, s=14, alpha=0.65, color=COLORS["synthetic"], linewidth=0)
    spread = np.sqrt(x * (1 - x) * (1 / len(synthetic) + 1 / len(real)))
    off = np.abs(y - x) / np.maximum(spread, 1e-9)
    for i in np.argsort(-off, kind="stable")[:name_farthest]:
        if off[i] > 4:
            column = schema[names[i]]
            ax.annotate(
                _short(column.label or column.name, 26), (x[i], y[i]), fontsize=7.5,
                xytext=(5, -3), textcoords="offset points",
            )  # fmt: skip
    ax.set(
        xscale="log", yscale="log", xlim=(low, 1.2), ylim=(low, 1.2),
        xlabel="Real patients with the code (%)",
        ylabel="Synthetic patients with the code (%)",
    )  # fmt: skip
    ax.set_title(f"Prevalence of {len(names)} codes", loc="left")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    ax.legend(loc="upper left", frameon=False)
    return ax


def distributions(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Iterable[str] | None = None,
    schema: Schema | None = None,
    across: int = 4,
) -> Figure:
    """One panel a continuous column: the real and the synthetic distribution.

    Missing values are left out (see :func:`missingness`).
    """
    schema = schema or Schema.of(real)
    wanted = schema.of_kind("continuous") if columns is None else columns
    names = _common(schema, wanted, real, synthetic)
    across = min(max(len(names), 1), across)
    down = max(1, -(-len(names) // across))
    figure, axes = _grid(down, across, (2.9 * across + 0.4, 2.6 * down))
    for ax, name in zip(axes.flat, names, strict=False):
        a, b = real[name].dropna().to_numpy(float), synthetic[name].dropna().to_numpy(float)
        edges = _edges(np.concatenate([a, b]), schema[name].decimals)
        for values, role in ((a, "real"), (b, "synthetic")):
            if len(values):
                weights = np.full(len(values), 100 / len(values))
                ax.hist(
                    values, bins=edges, weights=weights, histtype="stepfilled",
                    alpha=0.25, color=COLORS[role], linewidth=0,
                )  # fmt: skip
                ax.hist(
                    values, bins=edges, weights=weights, histtype="step",
                    color=COLORS[role], linewidth=1.6, label=role,
                )  # fmt: skip
        ax.set(xlabel=schema[name].title, ylabel="Patients (%)")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    if names:
        axes.flat[0].legend(frameon=False)
    else:
        axes.flat[0].text(0, 0.5, "no continuous columns in both tables")
    return figure


def _edges(values: np.ndarray, decimals: int | None, most: int = 30) -> np.ndarray:
    """Bin edges; whole numbers get bins of a whole width, so that no bin is fuller by accident."""
    if len(values) == 0:
        return np.linspace(0, 1, most + 1)
    low, high = np.quantile(values, [0.001, 0.999])
    if decimals == 0:
        width = max(1, int(np.ceil((high - low) / most)))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + width + 0.5, width)
    if high <= low:
        high = low + 1
    return np.linspace(low, high, most + 1)


def categories(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    column: str,
    schema: Schema | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Share of each category of one column, real beside synthetic."""
    schema = schema or Schema.of(real)
    labels = list(schema[column].categories)
    ax = _axes(ax, (5.2, 0.5 * len(labels) + 1.2))
    place = np.arange(len(labels))
    for offset, table, role in ((-0.2, real, "real"), (0.2, synthetic, "synthetic")):
        shares = table[column].astype(str).value_counts(normalize=True)
        ax.barh(
            place + offset, [100 * shares.get(label, 0.0) for label in labels],
            height=0.38, color=COLORS[role], label=role,
        )  # fmt: skip
    ax.set_yticks(place, [label.strip("()") if label == MISSING else label for label in labels])
    ax.invert_yaxis()
    ax.set_xlabel("Patients (%)")
    ax.set_title(schema[column].title, loc="left")
    ax.grid(axis="y", visible=False)
    ax.legend(frameon=False)
    return ax


def correlations(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Iterable[str] | None = None,
    schema: Schema | None = None,
    most: int = 30,
) -> Figure:
    """Correlation matrices of real and synthetic data side by side, and their difference.

    Without `columns`, the continuous columns and the most frequent codes are shown
    (`most` in all).
    """
    schema = schema or Schema.of(real)
    if columns is None:
        continuous = _common(schema, schema.of_kind("continuous"), real, synthetic)
        binary = _common(schema, schema.of_kind("binary"), real, synthetic)
        frequent = real[binary].mean().sort_values(ascending=False, kind="stable").index
        columns = continuous + list(frequent[: max(most - len(continuous), 0)])
    names = _common(schema, columns, real, synthetic)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = real[names].astype(float).corr().to_numpy()
        b = synthetic[names].astype(float).corr().to_numpy()
    figure, axes = _grid(1, 3, (12, 4.2))
    limit = np.nanquantile(np.abs(a - np.diag(np.diag(a))), 0.995) if len(names) > 1 else 1.0
    limit = max(float(np.nan_to_num(limit)), 0.1)
    for ax, matrix, title in zip(
        axes.flat, (a, b, b - a), ("Real", "Synthetic", "Synthetic minus real"), strict=True
    ):
        image = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set_title(title, loc="left")
        ax.grid(False)
        ax.set_xticks([])
        ax.set_yticks([])
    if len(names) <= 40:
        labels = [_short(schema[name].label or name, 24) for name in names]
        axes[0, 0].set_yticks(range(len(names)), labels, fontsize=6.5)
    figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.8, label="Correlation")
    return figure


def missingness(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Share of patients without a value, for each column that has missing values anywhere."""
    schema = schema or Schema.of(real)
    rows = []
    for name in _common(schema, schema.of_kind("continuous", "categorical"), real, synthetic):
        shares = [_missing(table[name]) for table in (real, synthetic)]
        if max(shares) > 0:
            rows.append((schema[name].label or name, *shares))
    ax = _axes(ax, (5.2, 0.55 * max(len(rows), 1) + 1.2))
    place = np.arange(len(rows))
    for offset, position, role in ((-0.2, 1, "real"), (0.2, 2, "synthetic")):
        ax.barh(
            place + offset, [100 * row[position] for row in rows],
            height=0.38, color=COLORS[role], label=role,
        )  # fmt: skip
    ax.set_yticks(place, [row[0] for row in rows])
    ax.invert_yaxis()
    ax.set(xlabel="Patients without a value (%)", xlim=(0, 100))
    ax.grid(axis="y", visible=False)
    if rows:
        ax.legend(frameon=False)
    else:
        ax.text(2, 0, "no missing values", va="center")
    return ax


def _missing(values: pd.Series) -> float:
    return float((values.isna() | (values.astype(str) == MISSING)).mean())


def history(
    history: pd.DataFrame,
    columns: Iterable[str] | None = None,
    x: str = "step",
    smooth: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Curves over the training steps, for example the two losses.

    Parameters
    ----------
    history : DataFrame
        One row a logged step; the column `x` (or the index) is the horizontal axis.
    columns : iterable of str, optional
        What to draw; by default every column whose name ends in "loss".
    smooth : int
        Width of a running median, in rows; 1 draws the values as they are.
    """
    ax = _axes(ax, (6.4, 3.4))
    at = history[x] if x in history.columns else history.index
    if columns is None:
        columns = [name for name in history.columns if str(name).endswith("loss")]
        columns = columns or [name for name in history.columns if name != x]
    for name in columns:
        values = history[name].astype(float)
        if smooth > 1:
            values = values.rolling(smooth, center=True, min_periods=1).median()
        known = values.notna().to_numpy()
        ax.plot(
            np.asarray(at)[known], values[known], linewidth=1.6,
            label=str(name).replace("_", " "),
        )  # fmt: skip
    ax.set(xlabel=f"Training {x}", ylabel="Value")
    ax.legend(frameon=False)
    return ax


def monitor(history: pd.DataFrame) -> Figure:
    """What the critic says in training, above what the quality monitor found.

    The losses of the first tenth of the training are left out. The band is one standard error of
    the two-sample test; the dotted line is the look whose weights ``keep="best"`` keeps.

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


def overview(
    report,
    family: str | None = None,
    form: str | None = "corrected",
    ax: Axes | None = None,
) -> Axes:
    """How far each metric has come from the worst (0 %) to the best reachable (100 %).

    Parameters
    ----------
    report : Report or DataFrame
        What :func:`ehrsynth.evaluate` returns, or its ``to_frame()``.
    family : {"fidelity", "utility", "privacy", "fairness"}, optional
        Draw only this family.
    form : {"corrected", "published"} or None
        Which form of the metrics; None draws both. A metric that exists in one form only is
        always drawn.
    """
    frame = report if isinstance(report, pd.DataFrame) else report.to_frame()
    frame = frame[frame["share"].notna()]
    if family is not None:
        frame = frame[frame["family"] == family]
    if form is not None:
        twice = frame.groupby("name")["form"].transform("nunique") > 1
        frame = frame[~twice | (frame["form"] == form)]
    frame = frame.iloc[::-1]
    ax = _axes(ax, (6.4, 0.38 * max(len(frame), 1) + 1.1))
    place = np.arange(len(frame))
    share = frame["share"].to_numpy(float).clip(-0.05, 1.05)
    ends = np.sort(
        np.column_stack([_share_of(frame, "ci_low"), _share_of(frame, "ci_high")]), axis=1
    ).clip(-0.05, 1.05)
    ax.axvspan(0.9, 1.06, color=COLORS["holdout"], alpha=0.12, linewidth=0)
    ax.axvspan(-0.06, 0.5, color=COLORS["synthetic"], alpha=0.08, linewidth=0)
    ax.hlines(place, 0, share, color="#CBD2D9", linewidth=2)
    ax.hlines(place, ends[:, 0], ends[:, 1], color=COLORS["synthetic"], alpha=0.45, linewidth=5)
    ax.scatter(share, place, s=52, color=COLORS["synthetic"], zorder=3)
    ax.set_yticks(place, [_title(row, form) for row in frame.itertuples()])
    ax.set(xlim=(-0.06, 1.06), ylim=(-0.7, len(frame) - 0.3))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("0 %: worst reference, 100 %: real patients held out")
    ax.set_title(_FAMILY_TITLES.get(family, "From worst to best"), loc="left")
    ax.grid(axis="y", visible=False)
    return ax


def sensitivity(paths: pd.DataFrame, current: float | None = None, ax: Axes | None = None) -> Axes:
    """How the candidates' scores change with the weights; the first place is shaded.

    Parameters
    ----------
    paths : DataFrame
        What :func:`ehrsynth.evaluation.sensitivity` returns.
    current : float, optional
        The weight that the use case has, drawn as a line.
    """
    ax = _axes(ax, (7, 3.8))
    colors = plt.cycler(color=sns.color_palette("colorblind", len(paths.columns)))
    styles = ["-", "--", ":", "-."]
    drawn = {}
    for i, (name, options) in enumerate(zip(paths.columns, colors, strict=False)):
        drawn[name] = options["color"]
        ax.plot(
            paths.index, paths[name], linewidth=2, color=drawn[name],
            linestyle=styles[i % len(styles)], label=str(name),
        )  # fmt: skip
    at = paths.index.to_numpy(float)
    edges = np.concatenate([at[:1], (at[1:] + at[:-1]) / 2, at[-1:]])
    for low, high, name in zip(edges[:-1], edges[1:], paths.idxmax(axis=1), strict=True):
        ax.axvspan(low, high, color=drawn[name], alpha=0.10, linewidth=0)
    if current is not None:
        ax.axvline(current, color=COLORS["neutral"], linewidth=1.2, linestyle=":")
        ax.text(current, 1.06, " use case", color=COLORS["neutral"], fontsize=8.5, va="center")
    ax.set(xlim=(at[0], at[-1]), ylim=(-0.03, 1.1), ylabel="Score (0 worst, 1 best)")
    ax.set_xlabel("Share of the weight on privacy (background: who is first)")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.legend(frameon=False, loc="lower left")
    return ax


def noticed(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Which metric notices which defect: a heat map, metrics by defects.

    Orange cells are noticed. A ring marks what was expected to be.

    Parameters
    ----------
    table : DataFrame
        What :func:`ehrsynth.evaluation.validation.as_table` or ``results`` returns; only the
        forms that can be believed are drawn.
    """
    table = table[table["believed"]]
    defects, titles = table["defect"].unique(), table["title"].unique()
    grid, ring = (
        table.pivot(index="title", columns="defect", values=name).loc[titles, defects].eq(True)
        for name in ("notices", "expected")
    )
    ax = _axes(ax, (0.3 * len(defects) + 3.3, 0.24 * len(titles) + 1.9))
    mix = plt.matplotlib.colors.ListedColormap(["#E4E7EB", COLORS["synthetic"]])
    ax.imshow(grid, cmap=mix, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    row, column = np.nonzero(ring.to_numpy())
    ax.scatter(column, row, s=34, facecolor="none", edgecolor=INK, linewidth=1.2)
    ax.set_yticks(range(len(titles)), titles, fontsize=8)
    ax.set_xticks(range(len(defects)), defects, rotation=45, ha="left", fontsize=8.5)
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(defects) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(titles) + 1) - 0.5, minor=True)
    ax.grid(False)
    ax.grid(which="minor", color=BACKGROUND, linewidth=2)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _share_of(frame: pd.DataFrame, column: str) -> np.ndarray:
    """The way from worst to best of a bound of the interval (the value's where there is none)."""
    span = (frame["best"] - frame["worst"]).to_numpy(float)
    value = frame[column].fillna(frame["value"]).to_numpy(float)
    return (value - frame["worst"].to_numpy(float)) / np.where(span == 0, np.nan, span)


def _title(row, form: str | None) -> str:
    title = getattr(row, "title", None) or str(row.name).replace("_", " ").capitalize()
    return f"{title} ({row.form})" if form is None else title


def distances(
    train: np.ndarray,
    holdout: np.ndarray,
    ax: Axes | None = None,
    label: str = "Distance to the nearest synthetic patient",
) -> Axes:
    """Are patients whose data was used nearer to the synthetic data than others?

    Parameters
    ----------
    train, holdout : array of float
        For each patient the distance to the nearest synthetic patient, as
        :func:`ehrsynth.statistics.nearest_distance` gives it.
    """
    ax = _axes(ax, (6.4, 3.4))
    both = np.concatenate([np.asarray(train, float), np.asarray(holdout, float)])
    edges = np.linspace(0, max(np.quantile(both, 0.995), 1e-9), 40)
    for values, role, name in (
        (train, "real", "train (data was used)"),
        (holdout, "holdout", "holdout (never seen)"),
    ):
        values = np.asarray(values, float)
        ax.hist(
            np.minimum(values, edges[-1]), bins=edges,
            weights=np.full(len(values), 100 / max(len(values), 1)),
            histtype="step", linewidth=2, color=COLORS[role], label=name,
        )  # fmt: skip
        ax.axvline(np.median(values), color=COLORS[role], linestyle=":", linewidth=1.2)
    ax.set(xlabel=label, ylabel="Patients (%)")
    ax.legend(frameon=False)
    return ax


def importance(
    real: pd.Series,
    synthetic: pd.Series,
    schema: Schema | None = None,
    top: int = 20,
    ax: Axes | None = None,
) -> Axes:
    """The most important features of a model trained on real data, and the same on synthetic.

    Parameters
    ----------
    real, synthetic : Series
        Mean absolute SHAP value by feature name.
    """
    order = real.sort_values(ascending=False, kind="stable").index[:top]
    ax = _axes(ax, (6.4, 0.32 * max(len(order), 1) + 1.1))
    place = np.arange(len(order))
    for offset, values, role in ((-0.2, real, "real"), (0.2, synthetic, "synthetic")):
        ax.barh(
            place + offset, values.reindex(order).fillna(0.0), height=0.38,
            color=COLORS[role], label=f"trained on {role}",
        )  # fmt: skip
    labels = [schema[n].label or n if schema is not None and n in schema else n for n in order]
    ax.set_yticks(place, [_short(label, 40) for label in labels], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlabel("Mean absolute SHAP value (log odds)")
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right", frameon=False)
    return ax


def roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], ax: Axes | None = None) -> Axes:
    """ROC curves with their areas.

    Parameters
    ----------
    curves : mapping of str to (truth, score)
        `truth` is 0/1, `score` grows with the risk. The names "real", "synthetic" and
        "holdout" (or names that begin with them) get their usual colors.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    ax = _axes(ax, (4.8, 4.6))
    ax.plot([0, 1], [0, 1], color=COLORS["neutral"], linewidth=1, linestyle=":")
    for name, (truth, score) in curves.items():
        color = next((c for role, c in COLORS.items() if name.lower().startswith(role)), None)
        false_positive, true_positive, _ = roc_curve(truth, score)
        area = roc_auc_score(truth, score)
        ax.plot(false_positive, true_positive, color=color, label=f"{name} (AUROC {area:.3f})")
    ax.set(
        xlabel="False positive rate", ylabel="True positive rate",
        xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal",
    )  # fmt: skip
    ax.legend(loc="lower right", frameon=False)
    return ax


# The last frame stands in the page itself, the others wait in the script: wherever scripts are
# not run (print, GitHub, an untrusted notebook) there is one picture and no dead control.
_SLIDER = Template("""\
<div id="$id" class="es-slider" style="max-width:${width}px;padding:8px;border-radius:6px;\
background:$background;color:$ink">
<img src="$src" alt="$alt" width="$width" height="$height" style="max-width:100%;height:auto">
<div style="display:flex;flex-wrap:wrap;gap:4px 12px;align-items:center;margin-top:6px;\
font:14px sans-serif">
<label for="$id-range" style="min-width:11em">$name: <b>$label</b></label>
<input id="$id-range" type="range" min="0" max="$last" value="$last" autocomplete="off" hidden \
style="flex:1;min-width:12em;accent-color:$accent">
</div></div>
<script>(() => {
const frames = [
$frames
];
const box = document.getElementById("$id"), range = box.querySelector("input");
const picture = box.querySelector("img"), label = box.querySelector("b");
frames.push([label.textContent, picture.alt, picture.src]);
range.oninput = () => {
  [label.textContent, picture.alt, picture.src] = frames[range.value];
  range.setAttribute("aria-valuetext", label.textContent);
};
range.oninput();
range.hidden = false;
})()</script>
""")


def slider(
    frames: Iterable[Figure], labels: Iterable[str], alts: Iterable[str], name: str = "Training"
):
    """A film that the reader moves by hand: one picture at a time, and a slider below it.

    Pictures and script are inside the HTML, which asks no kernel and no other machine for
    anything. It begins with the last frame, which is also what is seen where scripts do not run.
    The same figures give the same HTML.

    Parameters
    ----------
    frames : iterable of Figure
        All of one size, about a dozen at most; they are closed once they are saved. A generator
        holds only one of them in memory at a time.
    labels : iterable of str
        What the slider says at each frame, for example "step 300".
    alts : iterable of str
        What is to be seen in each frame, for those who cannot see it.
    name : str
        What the slider moves through.

    Returns
    -------
    IPython.display.HTML

    Raises
    ------
    InputError
        Without frames, or when a frame has no label or alt text.
    """
    from IPython.display import HTML

    pictures, labels, alts = [_png(figure) for figure in frames], [*labels], [*alts]
    if not pictures:
        raise InputError("A slider needs at least one frame.")
    if not len(pictures) == len(labels) == len(alts) or not all([*labels, *alts]):
        raise InputError(
            "A slider needs a label and an alt text for every frame; there are "
            f"{len(pictures)} frames, {len([*filter(None, labels)])} labels and "
            f"{len([*filter(None, alts)])} alt texts."
        )
    rows = [
        [label, alt, "data:image/png;base64," + base64.b64encode(png).decode()]
        for label, alt, (png, _) in zip(labels, alts, pictures, strict=True)
    ]
    content = json.dumps([name, *rows])
    width, height = pictures[-1][1]
    label, alt, src = (html.escape(text) for text in rows[-1])
    page = _SLIDER.substitute(
        id="slider-" + hashlib.sha256(content.encode()).hexdigest()[:8],
        name=html.escape(name), label=label, alt=alt, src=src,
        width=width, height=height, last=len(rows) - 1,
        # In a script, "</script>" would end it: no angle bracket is left there.
        frames=",\n".join(json.dumps(row).replace("<", "\\u003c") for row in rows[:-1]),
        background=BACKGROUND, ink=INK, accent=COLORS["real"],
    )  # fmt: skip
    return HTML(page)


def _png(figure: Figure, sharpness: float = 1.5) -> tuple[bytes, tuple[int, int]]:
    """The figure as a small PNG with 64 colors, and the width and height to show it in pixels.

    It has more pixels than that (`sharpness`), for screens with small ones. Closes the figure.
    """
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=sharpness * figure.dpi, bbox_inches=None)
    plt.close(figure)  # or the notebook would show it once more
    picture = Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True)
    return small.getvalue(), tuple(round(side / sharpness) for side in picture.size)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
