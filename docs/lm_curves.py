"""Draw how the language models of the package were trained: docs/figures/en-small.svg.

Perplexity on held-out tokens over the tokens read, from the logs in the model folders. A model that
was trained in several runs has a line that goes on, with a mark where the next run began.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from ulmfit.experiments.figures import FAINT, STYLE
from ulmfit.storage import atomic_write

FIGURES = Path(__file__).resolve().parent / "figures"
COLOURS = {"forward": "#0072b2", "backward": "#d55e00"}  # Okabe and Ito 2008
SIZE = (6.4, 3.4)  # inches


def runs(folder: Path) -> list[list[tuple[float, float]]]:
    """(million tokens, perplexity) of each validation, a list for each run."""
    settings = json.loads((folder / "config.json").read_text("utf-8"))["info"]["settings"]
    per_step = settings["batch_size"] * settings["bptt"] / 1e6
    found: list[list[tuple[float, float]]] = []
    before, last = 0, 0
    for text in (folder / "log.jsonl").read_text("utf-8").splitlines():
        record = json.loads(text)
        if "perplexity" not in record:
            continue
        if not found or record["step"] < last:
            before += last
            found.append([])
        last = record["step"]
        found[-1].append(((before + last) * per_step, record["perplexity"]))
    return found


def draw(name: str, folder: Path) -> Path:
    """Both directions of a model in one picture."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = FIGURES / f"{name}.svg"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
        for direction, part in (("forward", folder), ("backward", folder / "backward")):
            parts = runs(part)
            points = [point for part in parts for point in part]
            ax.plot(*zip(*points, strict=True), color=COLOURS[direction], linewidth=2)
            for earlier in parts[:-1]:
                ax.plot(*earlier[-1], "o", color=COLOURS[direction], markersize=5)
            x, y = points[-1]
            place = (x + 0.5, y) if direction == "forward" else (x - 2.5, y / 1.05)
            ax.text(*place, direction, color=COLOURS[direction], va="center")
        ax.set_xlabel("million tokens read (a dot: the next run begins)")
        ax.set_ylabel("perplexity, 100,000 held-out tokens")
        ax.set_yscale("log")
        ticks = [50, 60, 70, 80, 90, 100]
        ax.set_yticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color=FAINT, linewidth=0.7)
        ax.set_xlim(0, ax.get_xlim()[1] * 1.15)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    atomic_write(path, buffer.getvalue())
    return path


def main() -> None:
    """Draw all that come along."""
    from ulmfit.apps.pretrained import shipped_lms

    for name, folder in shipped_lms().items():
        print(draw(name, folder))


if __name__ == "__main__":
    main()
