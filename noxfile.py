"""Environments that the tests run in, beside that of `make test`: `nox -s oldest`, `nox --list`.

Each session makes its environment from the package index, whose PyTorch brings CUDA: gigabytes. An
interpreter is looked for in the PATH, as `python3.10`. Arguments after `--` go to pytest.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.sessions = ["onedl"]
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"

# MMCV compiles for half an hour, so a wheel is built once for each session.
WHEELS = Path(".cache/mmcv").resolve()


def make_test(session: nox.Session, python: str) -> None:
    """Run what continuous integration runs, in an environment of its own."""
    folder = f"VENV=.nox/{session.name}"
    arguments = " ".join(session.posargs)
    session.run("make", "test", folder, f"PYTHON={python}", f"ARGS={arguments}", external=True)


@nox.session(venv_backend="none")
def onedl(session: nox.Session) -> None:
    """OneDL's stack and the newest PyTorch on Python 3.11, as `make test`."""
    make_test(session, "python3.11")


@nox.session(name="onedl-py310", venv_backend="none")
def onedl_py310(session: nox.Session) -> None:
    """The same on Python 3.10."""
    make_test(session, "python3.10")


@nox.session(name="onedl-py312", venv_backend="none")
def onedl_py312(session: nox.Session) -> None:
    """The same on Python 3.12."""
    make_test(session, "python3.12")


@nox.session(name="torch-2.11", python="3.12")
def torch_2_11(session: nox.Session) -> None:
    """OneDL's stack with compiled operators, MMPretrain and MMDetection on PyTorch 2.11."""
    session.install("torch>=2.11,<2.12", "torchvision>=0.26,<0.27")
    install_compiled_mmcv(session, "onedl-mmcv==2.3.6")
    session.install("onedl-mmpretrain>=1.3.6,<1.4", "onedl-mmdetection>=3.5.1,<3.6")
    session.install("--editable", ".[onedl,dev]")
    test_all(session)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """OpenMMLab's originals and the lowest versions that the package takes.

    The originals' MMCV is compiled, and MMPretrain and MMDetection are there.
    """
    project = nox.project.load_toml("pyproject.toml")["project"]
    lowest = [
        dependency.replace(">=", "==")
        for dependency in project["dependencies"]
        if not dependency.startswith(("torch", "packaging"))  # a newer one builds the wheel
    ]
    lowest += ["torch==2.1.2", "torchvision==0.16.2"]
    session.install(*lowest)
    install_compiled_mmcv(session, "mmcv==2.1.0")
    originals = ["mmengine==0.10.7", "mmsegmentation==1.2.2", "mmpretrain==1.2.0", "mmdet==3.3.0"]
    # Not editable: MMEngine 0.10.7 finds configs of an installed package alone.
    session.install(*lowest, *originals, ".[openmmlab,dev]")
    test_all(session)


def install_compiled_mmcv(session: nox.Session, requirement: str) -> None:
    """Install MMCV with its operators for the CPU compiled against the session's PyTorch.

    Pip's cache is left out of it: wheels in it may be without operators, or for another PyTorch.
    """
    folder = WHEELS / session.name
    if not list(folder.glob("*.whl")):
        session.install("setuptools>=77,<81", "wheel", "ninja", "psutil")
        session.run(
            *("python", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
            *("--no-cache-dir", "--no-binary", ":all:", "--wheel-dir", str(folder), requirement),
            env={"MMCV_WITH_OPS": "1", "FORCE_CUDA": "0"},
        )
    session.install(*map(str, folder.glob("*.whl")))


def test_all(session: nox.Session) -> None:
    """Run the tests, those of all families of MMSegmentation's configs too."""
    workers = ("-n", "auto", "--maxprocesses", "4")
    env = {"OMP_NUM_THREADS": "1"}
    session.run("python", "-m", "pytest", *workers, "-m", "", *session.posargs, env=env)
