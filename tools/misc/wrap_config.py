"""Write a semi-supervised config from a plain MMSegmentation config."""

from __future__ import annotations

import argparse
import os.path as osp
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.config import Config

from mmseg_u2pl.datasets.unlabeled import complete_unlabeled
from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl_tools.errors import UsageError, run_tool
from mmseg_u2pl_tools.image_folder import left_out
from mmseg_u2pl_tools.wrapping import (
    Images,
    build_model,
    dropped_hooks,
    labeled_sets,
    read_plain_config,
    relative_base,
    supervised_twin,
    training_schedule,
    training_sets,
    try_data,
    unlabeled_sets,
    wrap_with_method,
)

METHODS = Path(__file__).resolve().parents[2] / "configs/_base_/methods"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Lists hold one image name per line, relative to the config's image directory and "
        "without suffix, as in MMSegmentation's ann_file. If the config trains on several data "
        "sets (ConcatDataset), give one list per data set, or a single list for the data set that "
        "has all its files. A folder of unlabeled images may replace the list.",
    )
    add = parser.add_argument
    add("config", help="plain config: a file, or mmseg::... for a config of MMSegmentation")
    add("--labeled", nargs="+", required=True, metavar="LIST", help="lists of labeled images")
    add(
        "--unlabeled",
        nargs="+",
        default=[],
        metavar="LIST",
        help="lists of unlabeled images, or a folder of images",
    )
    add("-o", "--out", required=True, type=Path, help="config to write; it must not exist")
    methods = sorted(path.stem for path in METHODS.glob("*.py") if path.stem != "supervised")
    add("--method", choices=methods, default="u2pl", help="(default: %(default)s)")
    add(
        "--embedding-source",
        metavar="MODULE",
        help="dotted name of the module whose input is the feature map to contrast, such as "
        "decode_head.sep_bottleneck (default: the classifier of the decode head)",
    )
    add(
        "--sup-only",
        action="store_true",
        help="write the supervised-only twin instead: the plain config on the labeled images. "
        "A schedule in epochs needs --unlabeled too, for the same number of steps",
    )
    return parser


def wrap(args: argparse.Namespace) -> None:
    """Write the config, try it out, and print a summary.

    Raises:
        ValueError: The config or the lists cannot be used; no file is left behind.
    """
    if args.out.suffix != ".py":
        raise UsageError(f"-o/--out: the name of a config ends in .py, got '{args.out}'")
    if args.out.exists():
        raise UsageError(f"{args.out} already exists; remove it or give another name")
    plain = read_plain_config(args.config)
    sets = training_sets(plain)
    labeled = labeled_sets(sets, args.labeled)
    unlabeled = unlabeled_sets(sets, args.unlabeled) if args.unlabeled else []
    if not unlabeled and (training_schedule(plain).by_epoch or not args.sup_only):
        raise ValueError("--unlabeled is needed: a list of unlabeled images")

    base = relative_base(args.config, args.out)
    if args.sup_only:
        source = supervised_twin(plain, base, labeled, unlabeled)
    else:
        path = METHODS / f"{args.method}.py"
        method = relative_base(path, args.out), Config.fromfile(path)
        source = wrap_with_method(plain, base, method, labeled, unlabeled, args.embedding_source)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    title = "Supervised only" if args.sup_only else args.method
    args.out.write_text(f"# {title}, written by tools/misc/wrap_config.py.\n{source}")
    try:
        lines = try_out(args, plain, labeled, unlabeled)
    except BaseException:
        args.out.unlink()
        raise
    if unlabeled and osp.isdir(args.unlabeled[0]) and (rest := left_out(unlabeled[0].open())):
        lines["warning"] = rest
    for name, text in lines.items():
        print(f"{name:<10} {text}")


def try_out(
    args: argparse.Namespace, plain: Config, labeled: Images, unlabeled: Images
) -> dict[str, str]:
    """Build the written config, without data that are not on this machine, and describe it."""
    cfg, schedule = Config.fromfile(args.out), training_schedule(plain)
    model = None if args.sup_only else build_model(cfg)
    lines = {
        "written": f"{args.out}, which inherits from {args.config}",
        "labeled": describe_images(labeled, "images", "masks"),
    }
    if model is not None:
        lines |= describe_method(cfg, plain, model, unlabeled)
    lines["schedule"] = f"{schedule.length} {schedule.unit}, as in the plain config"
    absent = [part for part in [*labeled, *unlabeled] if not part.is_here]
    if absent:
        lines["not tried"] = f"the data: '{absent[0].directory('images')}' is not on this machine"
    else:
        try_data(cfg)
        lines["tried"] = "all listed files exist, and the first image of each list loads"
    lines["check"] = f"python tools/misc/check_data.py {args.out}"
    lines["train"] = f"python tools/train.py {args.out}"
    return lines


def describe_method(
    cfg: Config, plain: Config, model: SemiSegmentor, unlabeled: Images
) -> dict[str, str]:
    """Describe the choices made for the method."""
    first = unlabeled[0]
    pipeline = first.plain["pipeline"]
    kept = [step["type"] for step in complete_unlabeled(first.plain, first.changes)["pipeline"]]
    stripped = ", ".join(step["type"] for step in pipeline if step["type"] not in kept)
    unit, size = training_schedule(plain).unit, cfg.train_dataloader.batch_size
    sup_only = cfg.default_hooks.mean_teacher[f"sup_only_{unit}"]
    lines = {
        "unlabeled": f"{describe_images(unlabeled, 'images')}; pipeline without {stripped}",
        "batch": f"{size} images per GPU: {size // 2} labeled, as in the plain config, and "
        f"{size // 2} unlabeled",
        "sup. only": f"the first {sup_only} {unit} use only labeled images",
        "optimizer": "parameter groups of the plain config",
    }
    network = next(iter(model.trained_networks.values()))
    if network.projector is not None:
        lines["embedding"] = f"input of {network.embedding_source}"
        lines["optimizer"] += "; the projector is treated as a decode head"
    if dropped_hooks(plain):
        lines["left out"] = f"{', '.join(dropped_hooks(plain))}, replaced by the teacher"
    return lines


def describe_images(images: Images, *kinds: str) -> str:
    """Number of images, and their folders."""
    places = [
        f"{kind} in {' and '.join(dict.fromkeys(part.directory(kind) for part in images))}"
        for kind in kinds
    ]
    return f"{sum(part.count() for part in images)} {', '.join(places)}"


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), wrap, argv)


if __name__ == "__main__":
    main()
