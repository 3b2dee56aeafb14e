"""Test environments in addition to that of `make test`: `nox -s oldest`, `nox --list`.

Each session installs its environment from the package index, with gigabytes for PyTorch and CUDA.
Interpreters, such as `python3.10`, must be in the PATH. Arguments after `--` go to pytest.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.sessions = ["onedl"]
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"

# Compiling MMCV takes half an hour, so its wheel is built once per session.
WHEELS = Path(".cache/mmcv").resolve()


def make_test(session: nox.Session, python: str) -> None:
    """Run the commands of continuous integration in a separate environment."""
    folder = f"VENV=.nox/{session.name}"
    arguments = " ".join(session.posargs)
    session.run("make", "test", folder, f"PYTHON={python}", f"ARGS={arguments}", external=True)


@nox.session(venv_backend="none")
def onedl(session: nox.Session) -> None:
    """OneDL's stack and the newest PyTorch on Python 3.11, as in `make test`."""
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
    """OpenMMLab's originals and the lowest supported versions.

    MMCV is compiled, and MMPretrain and MMDetection are installed.
    """
    project = nox.project.load_toml("pyproject.toml")["project"]
    lowest = [
        dependency.replace(">=", "==")
        for dependency in project["dependencies"]
        if not dependency.startswith(("torch", "packaging"))  # building needs a newer packaging
    ]
    lowest += ["torch==2.1.2", "torchvision==0.16.2"]
    session.install(*lowest)
    install_compiled_mmcv(session, "mmcv==2.1.0")
    originals = ["mmengine==0.10.7", "mmsegmentation==1.2.2", "mmpretrain==1.2.0", "mmdet==3.3.0"]
    # Not editable, because MMEngine 0.10.7 only finds configs of installed packages.
    session.install(*lowest, *originals, ".[openmmlab,dev]")
    test_all(session)


def install_compiled_mmcv(session: nox.Session, requirement: str) -> None:
    """Install MMCV with CPU operators compiled against the session's PyTorch.

    Pip's cache is not used, because its wheels may lack operators or be for another PyTorch.
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
    """Run the tests, including those of all families of MMSegmentation's configs."""
    workers = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
    env = {"OMP_NUM_THREADS": "1"}
    session.run("python", "-m", "pytest", *workers, "-m", "", *session.posargs, env=env)
