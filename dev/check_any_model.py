"""Train a model of each family in MMSegmentation's configs with each method; tabulate results."""

from __future__ import annotations

import argparse
import csv
import gc
import io
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any, NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import mmseg
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_u2pl.methods import SemiSegmentor
from other_method import has_option, method_names, with_head_options, with_method

CONFIGS = Path(mmseg.__file__).parent / ".mim" / "configs"
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "any_model.md"
RESULTS = DOCUMENT.parent / "results" / "any_model.csv"
START, END = "<!-- table: python dev/check_any_model.py -->\n", "<!-- end of table -->\n"
HEAD = "| trains with | embedding tapped at | families |\n|---|---|---|\n"
ALL = "all methods"
NUM_STEPS, NUM_LABELED, NUM_UNLABELED = 3, 2, 2


class Family(NamedTuple):
    """A folder of MMSegmentation's configs, and a config that represents it.

    Attributes:
        config: A small config, as in ``mmseg::``.
        crop: Side of the images in pixels: the smallest multiple of the strides that the model
            accepts.
        size_option: Name of the model's option for the size of the images, if it has one.
        needs: Requirements in addition to ``requirements.txt``.
    """

    config: str
    crop: int = 64
    size_option: str = ""
    needs: str = ""


class Result(NamedTuple):
    """Outcome for a family: a row of the results.

    Attributes:
        family: Name of the family.
        trains_with: ``ALL``, or what it needs, or why it does not train.
        config: Name of its config without folder and suffix.
        embedding_source: Module whose input is the embedding; empty if no model could be built.
        parameters_m: Parameters of the segmentor in millions; empty if no model could be built.
    """

    family: str
    trains_with: str
    config: str
    embedding_source: str
    parameters_m: str


OPERATORS = "MMCV's compiled operators"
MMDETECTION = f"MMDetection and {OPERATORS}"
FAMILIES = {
    "ann": Family("ann/ann_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "apcnet": Family("apcnet/apcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    # Its position biases are for a fixed image size.
    "beit": Family(
        "beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py",
        size_option="backbone.img_size",
    ),
    "bisenetv1": Family("bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py"),
    "bisenetv2": Family("bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py"),
    "ccnet": Family("ccnet/ccnet_r50-d8_4xb2-40k_cityscapes-512x1024.py", needs=OPERATORS),
    "cgnet": Family("cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py"),
    "convnext": Family(
        "convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py", needs="mmpretrain"
    ),
    "danet": Family("danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "ddrnet": Family("ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py"),
    "deeplabv3": Family("deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py"),
    "deeplabv3plus": Family("deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py"),
    "dmnet": Family("dmnet/dmnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "dnlnet": Family("dnlnet/dnl_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "dpt": Family("dpt/dpt_vit-b16_8xb2-160k_ade20k-512x512.py"),
    "dsdl": Family("dsdl/voc.py"),
    "emanet": Family("emanet/emanet_r50-d8_4xb2-80k_cityscapes-512x1024.py"),
    "encnet": Family("encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "erfnet": Family("erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024.py"),
    "fastfcn": Family("fastfcn/fastfcn_r50-d32_jpu_enc_4xb2-80k_cityscapes-512x1024.py"),
    "fastscnn": Family("fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py"),
    "fcn": Family("fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"),
    "gcnet": Family("gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "hrnet": Family("hrnet/fcn_hr18s_4xb2-40k_cityscapes-512x1024.py"),
    "icnet": Family("icnet/icnet_r18-d8_4xb2-80k_cityscapes-832x832.py"),
    "isanet": Family("isanet/isanet_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "knet": Family("knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py"),
    "mae": Family(
        "mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py",
        size_option="backbone.img_size",
    ),
    "mask2former": Family(
        "mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py", needs=MMDETECTION
    ),
    "maskformer": Family(
        "maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py", needs=MMDETECTION
    ),
    "mobilenet_v2": Family("mobilenet_v2/mobilenet-v2-d8_fcn_4xb2-80k_cityscapes-512x1024.py"),
    # Its head pools 49 x 49 features at stride 8.
    "mobilenet_v3": Family(
        "mobilenet_v3/mobilenet-v3-d8-scratch-s_lraspp_4xb4-320k_cityscapes-512x1024.py", crop=392
    ),
    "nonlocal_net": Family("nonlocal_net/nonlocal_r50-d8_4xb2-40k_cityscapes-512x1024.py"),
    "ocrnet": Family("ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024.py"),
    "pidnet": Family("pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py"),
    "point_rend": Family(
        "point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py", needs=OPERATORS
    ),
    "poolformer": Family(
        "poolformer/fpn_poolformer_s12_8xb4-40k_ade20k-512x512.py", needs="mmpretrain"
    ),
    "psanet": Family("psanet/psanet_r50-d8_4xb2-40k_cityscapes-512x1024.py", needs=OPERATORS),
    "pspnet": Family("pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py"),
    "resnest": Family("resnest/resnest_s101-d8_fcn_4xb2-80k_cityscapes-512x1024.py"),
    "san": Family("san/san-vit-b16_voc12aug-640x640.py"),
    "segformer": Family("segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"),
    "segmenter": Family("segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py"),
    "segmenter (FCN head)": Family("segmenter/segmenter_vit-s_fcn_8xb1-160k_ade20k-512x512.py"),
    "segnext": Family("segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py"),
    "sem_fpn": Family("sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py"),
    "setr": Family("setr/setr_vit-l_naive_8xb1-80k_cityscapes-768x768.py"),
    "stdc": Family("stdc/stdc1_4xb12-80k_cityscapes-512x1024.py"),
    "swin": Family("swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"),
    "twins": Family("twins/twins_pcpvt-s_fpn_fpnhead_8xb4-80k_ade20k-512x512.py"),
    "unet": Family("unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py"),
    "upernet": Family("upernet/upernet_r18_4xb2-40k_cityscapes-512x1024.py"),
    "vit": Family("vit/vit_deit-s16_upernet_8xb2-80k_ade20k-512x512.py"),
    "vpd": Family("vpd/vpd_sd_4xb8-25k_nyu-480x480.py"),
}


def build(family: Family, method: str = "u2pl") -> SemiSegmentor:
    """A method around a config's model, to be trained from scratch on the CPU.

    Raises:
        Exception: Any error of building it.
    """
    init_default_scope("mmseg")
    cfg = Config.fromfile(CONFIGS / family.config, import_custom_modules=False)
    drop_pretrained(cfg.model)
    for option in filter(None, ("data_preprocessor.size", family.size_option)):
        cfg.merge_from_dict({f"model.{option}": (family.crop, family.crop)})
    # Small queues. Untrained models are not confident, so any pixel may supervise and be an anchor.
    head = dict(queue_size=200, num_anchors=8, num_negatives=8, min_prob=0.0)
    options = with_head_options(with_method(cfg.model, method), **head)
    if has_option(options, "tau"):
        options["tau"] = 0.0
    torch.manual_seed(0)
    model = MODELS.build(options)
    model.init_weights()
    return revert_sync_batchnorm(model)


def drop_pretrained(node: Any) -> None:
    """Remove weights to download from a model config, in place."""
    if isinstance(node, dict):
        if "Pretrained" in str(node.get("init_cfg")):
            node["init_cfg"] = None
        if "pretrained" in node:
            node["pretrained"] = None
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            drop_pretrained(child)


def random_batch(side: int, num_classes: int, seed: int) -> dict[str, list]:
    """Raw batch of noise, labeled images first; labels are blocks of 16 x 16 pixels."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    inputs, data_samples = [], []
    for index in range(NUM_LABELED + NUM_UNLABELED):
        inputs.append(draw(256, 3, side, side).to(torch.uint8))
        sample = SegDataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side)))
        if index < NUM_LABELED:
            blocks = draw(num_classes, 1, -(-side // 16), -(-side // 16))
            label = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
            sample.gt_sem_seg = PixelData(data=label[:, :side, :side].contiguous())
            sample.gt_edge_map = PixelData(data=draw(2, 1, side, side))  # for PIDNet
        data_samples.append(sample)
    return dict(inputs=inputs, data_samples=data_samples)


def train(model: SemiSegmentor, side: int) -> list[dict[str, Tensor]]:
    """Train a few steps; return the log of each."""
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optim_wrapper = OptimWrapper(torch.optim.SGD(trained, lr=1e-3))
    logs = []
    for step in range(NUM_STEPS):
        model.progress = step / NUM_STEPS
        logs.append(model.train_step(random_batch(side, model.num_classes, step), optim_wrapper))
        model.after_optimizer_step()
    return logs


def predict(model: SemiSegmentor, side: int) -> list[SegDataSample]:
    """Predict a batch with the trained model in evaluation mode."""
    return model.eval().test_step(random_batch(side, model.num_classes, NUM_STEPS))


def try_method(family: Family, method: str) -> tuple[str, SemiSegmentor | None]:
    """Whether a family trains with a method, and the model if it could be built."""
    try:
        model = build(family, method)
    except Exception as error:
        return f"needs {family.needs}" if family.needs else _no(error), None
    try:
        logs = train(model, family.crop)
        predict(model, family.crop)
    except Exception as error:
        return _no(error), model
    bad = sorted({key for log in logs for key, value in log.items() if not value.isfinite()})
    if bad:
        return f"no: not finite: {', '.join(bad)}", model
    # U2PLReference finds negatives in few images, so its contrastive loss may be 0.
    idle = [key for key, value in logs[-1].items() if key.startswith("unsup.loss") and value == 0]
    return f"no: zero: {', '.join(idle)}" if idle else "yes", model


def _no(error: Exception) -> str:
    return f"no: {str(error).partition('. ')[0]}"


def try_family(name: str) -> Result:
    """Train a family with each method."""
    family = FAMILIES[name]
    outcome, model = try_method(family, "u2pl")
    tap = size = ""
    if model is not None:
        tap = model.student.embedding_source
        size = f"{sum(p.numel() for p in model.student.segmentor.parameters()) / 1e6:.1f}"
        del model
        outcome = try_others(family, outcome)
    return Result(name, outcome, Path(family.config).stem, tap, size)


def try_others(family: Family, with_u2pl: str) -> str:
    """Outcome of all methods, given that of U2PL; methods that do not train are named."""
    outcomes = {"u2pl": with_u2pl}
    for method in method_names():
        if method not in outcomes:
            outcomes[method], _ = try_method(family, method)
        gc.collect()  # one model at a time in memory
    failed = [f"{method}: {outcome}" for method, outcome in outcomes.items() if outcome != "yes"]
    return f"not {'; '.join(failed)}" if failed else ALL


def grouped(results: Sequence[Result]) -> str:
    """Markdown table with a row for each outcome and embedding, the most frequent ones first."""
    frequency = Counter(result.trains_with for result in results)
    groups: dict[tuple[str, str], list[str]] = {}
    for result in results:
        key = result.trains_with, result.embedding_source
        groups.setdefault(key, []).append(result.family)
    ordered = sorted(groups, key=lambda key: (-frequency[key[0]], key[0], -len(groups[key])))
    rows = [
        f"| {outcome} | {tap and f'`{tap}`'} | {', '.join(groups[outcome, tap])} |\n"
        for outcome, tap in ordered
    ]
    return "".join([HEAD, *rows])


def to_csv(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def read_results() -> dict[str, Result]:
    """Recorded results by family; none if there is no file yet."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="") as file:
        return {row["family"]: Result(**row) for row in csv.DictReader(file)}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        help="families to train (default: all); results of the others are kept",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with docs/results/any_model.csv and the table in docs/any_model.md, and exit "
        "1 if they differ, instead of writing them",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if unknown := set(args.families) - FAMILIES.keys():
        parser.error(
            f"unknown family {', '.join(sorted(unknown))}; choose from {', '.join(FAMILIES)}"
        )
    before, start, rest = DOCUMENT.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not end:
        parser.error(f"{DOCUMENT} lacks the lines {START.strip()} and {END.strip()}")
    results = read_results()
    for name in args.families or FAMILIES:
        results[name] = try_family(name)
        print(to_csv([results[name]]), end="", flush=True)
    ordered = [results[name] for name in FAMILIES if name in results]
    new = {
        RESULTS: to_csv([Result._fields, *ordered]),
        DOCUMENT: before + start + grouped(ordered) + end + after,
    }
    if args.check:
        if different := "".join(difference(path, text) for path, text in new.items()):
            sys.exit(different)
        return
    for path, text in new.items():
        path.write_text(text)


def difference(path: Path, new: str) -> str:
    """Lines in which a file differs from a text; empty if there are none."""
    old = path.read_text() if path.exists() else ""
    return "".join(unified_diff(old.splitlines(True), new.splitlines(True), str(path), "now", n=0))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    main()
