"""Shared parts of the tests of tools/misc/wrap_config.py."""

from pathlib import Path

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS

from datatrees import load_tool


def wrap(plain, *arguments, labeled=("data/labeled.txt",), unlabeled=("data/unlabeled.txt",)):
    """Run the tool and load the written config."""
    out = Path("out/wrapped.py")
    out.unlink(missing_ok=True)
    flags = ["--labeled", *labeled, *(["--unlabeled", *unlabeled] if unlabeled else [])]
    load_tool("wrap_config").main([plain, *flags, "-o", str(out), *arguments])
    return Config.fromfile(out)


def fails(capsys, match, plain, *arguments, **lists):
    with pytest.raises(SystemExit, match="2"):
        wrap(plain, *arguments, **lists)
    error = " ".join(capsys.readouterr().err.split())
    assert f"error: {match}" in error
    assert not Path("out/wrapped.py").exists()


@TRANSFORMS.register_module()
class NeedsMaskFile(BaseTransform):
    def transform(self, results):
        assert results["seg_map_path"]
        return results


def images(cfg, stream):
    """Names of the images that a stream of the written config lists."""
    semi = DATASETS.build(cfg.train_dataloader.dataset)
    datasets = getattr(semi, f"{stream}_datasets")
    infos = [ds.get_data_info(index) for ds in datasets for index in range(len(ds))]
    return [Path(info["img_path"]).stem for info in infos]
