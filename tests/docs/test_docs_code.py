"""Code in the documents: configs build, programs run, and the tools accept the commands."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import mmseg
import mmseg.registry
import numpy as np
import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope
from mmseg.registry import MODELS
from PIL import Image

import mmseg_u2pl
import two_students
from datatrees import load_tool
from mmseg_u2pl.__main__ import find_tools

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = ROOT / "configs"
SEMI = "u2pl/u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb16-demo_builtin-1of16-128x128.py"
PLAIN_U2PL = "u2pl/u2pl_segformer_mit-b0_8xb4-160k_ade20k-1of8-512x512.py"  # no options
REGISTRIES = [value for value in vars(mmseg.registry).values() if isinstance(value, Registry)]


def blocks(language):
    """Fenced blocks of a language, with page and line."""
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S):
            line = text[: block.start()].count("\n") + 1
            yield pytest.param(block[1], id=f"{page.relative_to(ROOT)}:{line}")


def test_every_block_names_a_language_whose_blocks_are_checked():
    for page in PAGES:
        fences = re.findall(r"^ *```(.*)$", page.read_text(), re.M)
        directives = {fence for fence in fences if fence.startswith("{")}  # Sphinx runs them
        assert set(fences[::2]) - directives <= {"python", "shell", "bash", "text"}, page
        assert set(fences[1::2]) <= {""}, page


def is_program(block):
    return re.search(r"^(import|from) ", block, re.M) is not None


CONFIG_BLOCKS = [block for block in blocks("python") if not is_program(block.values[0])]
[BASE_OF_A_METHOD] = [block for block in CONFIG_BLOCKS if "./u2pl.py" in block.values[0]]
CONFIG_BLOCKS.remove(BASE_OF_A_METHOD)  # not a whole config; tested below
PROGRAMS = [block for block in blocks("python") if is_program(block.values[0])]


@pytest.mark.parametrize("block", CONFIG_BLOCKS)
def test_config_builds(block, tmp_path):
    """Load as configs/my/config.py; a config without a base inherits one of ours."""
    shutil.copytree(CONFIGS, tmp_path / "configs")
    path = tmp_path / "configs/my/config.py"
    path.parent.mkdir()
    if not re.search(r"^_base_ = ", block, re.M):
        block = f'_base_ = "../{SEMI}"\n{block}'
    path.write_text(block)
    cfg = Config.fromfile(path)
    init_default_scope("mmseg")
    for name in types_in(cfg.to_dict()):
        assert any(name in registry for registry in REGISTRIES), f"nothing is registered as {name}"
    MODELS.build(cfg.model)


def types_in(node):
    """Values of all keys `type` of a config."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node["type"]
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from types_in(child)


def test_programs_stand_on_pages_that_a_test_follows():
    """test_guide.py runs all commands of that page in order; the other pages are below."""
    pages = {block.id.split(":")[0] for block in PROGRAMS}
    assert pages == {"CONTRIBUTING.md", "docs/guide.md", "docs/datasets.md"}


def test_colors_become_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = np.array([[[0, 0, 0], [255, 255, 255], [9, 9, 9]]], np.uint8)
    (tmp_path / "data/mine/drawn/a").mkdir(parents=True)
    Image.fromarray(drawn).save(tmp_path / "data/mine/drawn/a/colors.png")
    Image.fromarray(drawn[..., 0]).save(tmp_path / "data/mine/drawn/gray.png")
    (program,) = (block for block in PROGRAMS if block.id.startswith("docs/datasets.md"))
    exec(program.values[0], {})
    for name in ("a/colors.png", "gray.png"):
        assert np.asarray(Image.open(tmp_path / "data/mine/masks" / name)).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("block", list(blocks("(?:shell|bash)")))
def test_commands_exist(block):
    """The shell parses the block, and our programs in it accept their arguments."""
    done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in block.replace("\\\n", " ").splitlines():
        check_command(line)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_in_the_text_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for command in re.findall(r"`((?:python|make|pip|pytest|torchrun|bash) [^`]+)`", text):
        check_command(" ".join(command.split()))


def check_command(line):
    """Find this project's program in a command, whatever starts it (torchrun, srun, variables)."""
    words = shlex.split(line, comments=True)
    for number, word in enumerate(words):
        rest = words[number + 1 :]
        if re.fullmatch(r"(\./)?(tools/\S+|dev/\w+)\.py", word):
            parse(ROOT / word, rest)
        elif word == "mmseg_u2pl" and words[number - 1] == "-m" and rest[0] != "--help":
            parse(find_tools()[rest[0]], rest[1:])
        elif re.fullmatch(r"(\./)?tools/\S+\.sh", word):
            check_script(ROOT / word, rest)
        elif word == "pytest":
            assert all((ROOT / path).exists() for path in rest if path.startswith("tests")), line
        elif "/.mim/tools/" in word:  # MMSegmentation's
            tool = word.split("/.mim/")[1]
            assert (Path(mmseg.__file__).parent / ".mim" / tool).is_file(), line
    if words[:1] == ["make"]:
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        assert {word for word in words[1:] if "=" not in word} <= set(targets), line
    if words[:2] == ["pip", "install"]:
        check_install(words[2:])


def parse(path, arguments):
    assert path.is_file(), path
    if "--help" in arguments:
        return
    parser = load_tool(path.stem).build_parser()
    parser.allow_abbrev = False
    parser.parse_args(arguments)  # ends the test if a flag or a number of arguments is wrong


def check_script(path, arguments):
    """Launchers take the arguments of their usage line, then those of the tool."""
    names = re.search(r"usage: \$0 (.*?) \[arguments of tools/(\w+)\.py\]", path.read_text())
    own = names[1].split()
    assert len(arguments) >= len(own), f"{path.name} {arguments}"
    given = dict(zip(own, arguments, strict=False))
    of_tool = [given[name] for name in ("CONFIG", "CHECKPOINT") if name in given]
    parse(ROOT / f"tools/{names[2]}.py", [*of_tool, *arguments[len(own) :]])


def check_install(arguments):
    """Requirement files and extras of this project exist."""
    extras = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1]
    for option, value in zip(["", *arguments], arguments, strict=False):
        if option in ("-r", "--requirement"):
            assert (ROOT / value).is_file()
        if match := re.fullmatch(r"\.\[(.*)\]", value):
            assert all(f"\n{extra} = [" in extras for extra in match[1].split(",")), value


def test_contributing_shows_the_toy_method_as_it_is():
    """tests/methods/test_toy_method.py trains it."""
    [shown] = (block.values[0] for block in PROGRAMS if block.id.startswith("CONTRIBUTING.md"))
    assert shown == (ROOT / "tests/helpers/two_students.py").read_text()


def test_the_base_config_of_a_new_method_builds(tmp_path):
    shutil.copytree(CONFIGS, tmp_path / "configs")
    (tmp_path / "configs/_base_/methods/two_students.py").write_text(BASE_OF_A_METHOD.values[0])
    u2pl = tmp_path / "configs" / PLAIN_U2PL
    u2pl.write_text(u2pl.read_text().replace("methods/u2pl.py", "methods/two_students.py"))
    cfg = Config.fromfile(u2pl)
    init_default_scope("mmseg")
    assert isinstance(MODELS.build(cfg.model), two_students.TwoStudents)


def test_workflows_run_targets_and_sessions_that_exist():
    matrices = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        [job] = yaml.safe_load(path.read_text())["jobs"].values()
        matrices |= job["strategy"]["matrix"]
        [variable] = job["strategy"]["matrix"]
        assert f"${{{{ matrix.{variable} }}}}" in job["steps"][-1]["run"]
    check_command(f"make {' '.join(matrices['target'])}")
    noxfile = (ROOT / "noxfile.py").read_text()
    sessions = re.findall(r'@nox\.session\((?:name="([\w.-]+)")?.*?\ndef (\w+)\(', noxfile)
    assert set(matrices["session"]) <= {name or function for name, function in sessions}


def test_commands_are_found():
    lines = "\n".join(block.values[0] for block in blocks("(?:shell|bash)"))
    assert lines.count("tools/") > 30


def test_api_reference_has_all_that_is_registered():
    registered = {
        item.__name__
        for registry in REGISTRIES
        for item in registry.module_dict.values()
        if item.__module__.startswith("mmseg_u2pl.")
    }
    assert {"U2PL", "MeanTeacherHook", "DualStreamSampler"} <= registered
    page = (ROOT / "docs/api.md").read_text()
    documented = {
        name
        for module in re.findall(r"automodule:: mmseg_u2pl\.(\w+)\n", page)
        for name in getattr(mmseg_u2pl, module).__all__
    }
    assert registered <= documented
