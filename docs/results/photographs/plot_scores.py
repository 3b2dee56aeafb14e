"""Draw the scores of runs.csv over the number of labeled images.

python docs/results/photographs/plot_scores.py
"""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
SPLITS = {  # data set, number of labeled images: start of the names of its runs
    "CamVid": {46: "CamVid 1of8"},
    "VOC animals": {104: "VOC 104", 222: "VOC 222"},
    "IDD Lite": {44: "IDD 1of32", 88: "IDD 1of16"},
}
METHODS = {  # name: end of the names of its runs, color
    "start": (["start"], "black"),
    "sup-only": (["sup-only"], "gray"),
    "sup-only, 8 images a step": (["sup-only, 8 images a step"], "darkgray"),
    "CPS": (["CPS"], "tab:cyan"),
    "AEL": (["AEL"], "tab:purple"),
    "Mean Teacher": (["Mean Teacher"], "rosybrown"),
    "CutMix + Mean Teacher": (["CutMix + Mean Teacher"], "tab:brown"),
    "FixMatch, tau=0.95": (["FixMatch"], "gold"),
    "FixMatch, tau=0.8": (["FixMatch, tau=0.8"], "darkgoldenrod"),
    "FixMatch, tau=0": (["FixMatch, tau=0"], "tab:orange"),
    "UniMatch": (["UniMatch, tau=0", "UniMatch, tau=0.8"], "tab:olive"),
    "UniMatch V2": (["UniMatch V2, tau=0", "UniMatch V2, tau=0.8"], "tab:green"),
    "U2PL, authors' code": (["U2PL reference"], "tab:pink"),
    "U2PL, paper": (["U2PL paper"], "tab:blue"),
    "U2PL, best": (["U2PL best"], "tab:red"),
}
WIDTH = 0.8  # of the markers of one number of labels


def read_scores() -> dict[str, list[float]]:
    """Scores of the seeds of each run."""
    scores = defaultdict(list)
    with (HERE / "runs.csv").open() as file:
        for row in csv.DictReader(file):
            scores[row["run"]].append(float(row["miou"]))
    return scores


def draw_set(axis: Axes, splits: dict[int, str], scores: dict[str, list[float]]) -> None:
    """A dot for each seed, a bar at their mean, and a line between means of as many seeds."""
    for place, (method, (endings, color)) in enumerate(METHODS.items()):
        shift = WIDTH * (place / (len(METHODS) - 1) - 0.5)
        means, counts = {}, set()
        for column, split in enumerate(splits.values()):
            seeds = [score for end in endings for score in scores.get(f"{split} {end}", [])]
            if seeds:
                means[column + shift] = mean(seeds)
                counts.add(len(seeds))
                axis.plot([column + shift] * len(seeds), seeds, ".", color=color, alpha=0.5)
        style = "_-" if len(counts) == 1 else "_"
        axis.plot(means.keys(), means.values(), style, color=color, ms=10, mew=2.5, label=method)
    axis.set_xticks(range(len(splits)), [str(labels) for labels in splits])
    axis.set(xlim=(-0.5, len(splits) - 0.5), xlabel="labeled images")
    axis.grid(axis="y", alpha=0.3)


def main() -> None:
    """Draw scores.png."""
    scores = read_scores()
    figure = Figure(figsize=(11, 4), dpi=120, layout="constrained")
    widths = [len(splits) for splits in SPLITS.values()]
    axes = figure.subplots(1, len(SPLITS), width_ratios=widths)
    for axis, (name, splits) in zip(axes, SPLITS.items(), strict=True):
        draw_set(axis, splits, scores)
        axis.set_title(name)
    axes[0].set_ylabel("mIoU in %")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False)
    figure.savefig(HERE / "scores.png")


if __name__ == "__main__":
    main()
