"""How the figures look: one accent for the model, quiet greys for what it is compared with."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from churn.core.model_words import number

INK, ACCENT, BAND, QUIET, FAINT = "#22303c", "#c2410c", "#fed7aa", "#8795a8", "#e5e9ef"


def titled_axes(figure: Figure, title: str, x: str = "", y: str = "") -> Axes:
    """The one frame of a figure."""
    axes = figure.subplots()
    headline(figure, title)
    plain(axes)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    return axes


def headline(figure: Figure, title: str) -> None:
    """What the figure shows, with its number, on the upper left."""
    figure.suptitle(title, x=0.02, ha="left", color=INK, fontsize=11.5, fontweight="bold")


def plain(axes: Axes) -> None:
    """Only the lines that help to read off a number."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK, labelsize=9, color=QUIET)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def in_percent(value: float, _: float) -> str:
    """Writes the ticks of an axis of shares."""
    return f"{100 * value:.4g}%"


def in_money(value: float, _: float) -> str:
    """Writes the ticks of an axis of sums."""
    return number(value, 0)
