"""The converters of LabelMe and CVAT annotations, run by their command lines."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from datatrees import labelme_json, load_tool, make_cvat_masks, run_main, write_image

LABELME = load_tool("dataset_converters/labelme")
CVAT = load_tool("dataset_converters/cvat")
SIZE = (6, 8)


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def box(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def lists(out):
    return {path.stem: path.read_text().split() for path in (out / "splits").iterdir()}


@pytest.fixture
def photos(tmp_path):
    """Six images, the last two in a folder; one is a PNG."""
    folder = tmp_path / "photos"
    for name in ("a.jpg", "b.jpg", "c.JPG", "d.png", "more/e.jpg", "more/f.jpg"):
        write_image(folder / name, SIZE)
    return folder


@pytest.fixture
def labelme(photos):
    square = dict(label="cat", points=box(1, 1, 3, 2))
    labelme_json(photos / "a.json", SIZE, [square, dict(label="dog", points=box(3, 2, 5, 4))])
    labelme_json(photos / "b.json", SIZE, [square, dict(label="dog", points=box(6, 0, 7, 5))])
    labelme_json(photos / "more/e.json", SIZE, [])
    return photos


def test_labelme_shapes_become_classes_in_their_order(labelme, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_main(LABELME, labelme, out) == 0
    assert 'classes = ("background", "cat", "dog")' in capsys.readouterr().out
    expected = np.zeros(SIZE, np.uint8)
    expected[1:3, 1:4] = 1
    expected[2:5, 3:6] = 2  # drawn later, so it lies on top
    np.testing.assert_array_equal(read(out / "masks/a.png"), expected)
    assert not read(out / "masks/more/e.png").any()
    assert sorted(path.stem for path in (out / "images").rglob("*.jpg")) == list("abcdef")
    assert (out / "classes.txt").read_text().split() == ["background", "cat", "dog"]
    found = lists(out)
    assert found["unlabeled"] == ["c", "d", "more/f"]
    assert len(found["val"]) == 1
    assert sorted(found["labeled"] + found["val"]) == ["a", "b", "more/e"]


def test_labelme_other_shapes_and_special_labels(photos, tmp_path):
    stencil = io.BytesIO()
    Image.fromarray(np.array([[1, 0], [1, 1]], bool)).save(stencil, "PNG")
    encoded = base64.b64encode(stencil.getvalue()).decode()
    shapes = [
        dict(label="cat", shape_type="rectangle", points=[[5, 3], [2, 1]]),
        dict(label="dog", shape_type="mask", points=[[0, 4], [1, 5]], mask=encoded),
        dict(label="__ignore__", points=box(4, 0, 5, 2)),
        dict(label="dog", shape_type="circle", points=[[6.5, 4], [6.5, 5]]),
        dict(label="_background_", points=box(2, 3, 2, 3)),
    ]
    for name in "ab":
        labelme_json(photos / f"{name}.json", SIZE, shapes)
    assert run_main(LABELME, photos, tmp_path / "out") == 0
    mask = read(tmp_path / "out/masks/a.png")
    assert mask[1, 2] == 1
    assert mask[3, 2] == 0
    np.testing.assert_array_equal(mask[4:, :2], [[2, 0], [2, 2]])
    assert (mask[:3, 4:6] == 255).all()
    assert mask[4, 6] == 2


def test_classes_set_the_numbers_and_what_is_left_blank(labelme, tmp_path):
    (labelme / "more/e.json").unlink()
    assert run_main(LABELME, labelme, tmp_path / "out", "--classes", "dog", "cat") == 0
    mask = read(tmp_path / "out/masks/a.png")
    assert (mask[0] == 255).all()
    assert mask[1, 1] == 1
    assert mask[4, 4] == 0


def test_photographs_are_turned_as_annotation_programs_show_them(labelme, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.new("RGB", (SIZE[0], SIZE[1])).save(labelme / "a.jpg", exif=exif)
    assert run_main(LABELME, labelme, tmp_path / "out") == 0
    assert read(tmp_path / "out/images/a.jpg").shape == (*SIZE, 3)


def test_dry_run_writes_nothing(labelme, tmp_path, capsys):
    assert run_main(LABELME, labelme, tmp_path / "out", "--dry-run") == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.fixture
def masks():
    first = np.zeros(SIZE, np.uint8)
    first[1:3, 1:4] = 1
    first[4:, 5:] = 2
    return {"a": first, "b": first[::-1].copy(), "more/e": np.zeros(SIZE, np.uint8)}


def test_cvat_masks_become_classes(photos, masks, tmp_path):
    export = make_cvat_masks(tmp_path / "export", masks, ["background", "cat", "dog"])
    assert run_main(CVAT, export, photos, tmp_path / "out") == 0
    for name, mask in masks.items():
        np.testing.assert_array_equal(read(tmp_path / f"out/masks/{name}.png"), mask)
    assert lists(tmp_path / "out")["unlabeled"] == ["c", "d", "more/f"]


XML = """<annotations><meta><task><labels><label><name>cat</name></label><label><name>dog</name>
</label></labels></task></meta>
<image id="0" name="a.jpg" width="8" height="6">
<box label="dog" xtl="3" ytl="2" xbr="5" ybr="4" z_order="1"/>
<polygon label="cat" points="1,1;3,1;3,2;1,2" z_order="0"/></image>
<image id="1" name="b.jpg" width="8" height="6">
<polygon label="cat" points="1,1;3,1;3,2;1,2"/><box label="dog" xtl="6" ytl="0" xbr="7" ybr="5"/>
</image><image id="2" name="c.JPG" width="8" height="6"/></annotations>"""


def test_cvat_xml_is_drawn_in_z_order(photos, tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    (export / "annotations.xml").write_text(XML)
    assert run_main(CVAT, export, photos, tmp_path / "out") == 0
    expected = np.zeros(SIZE, np.uint8)
    expected[1:3, 1:4] = 1
    expected[2:5, 3:6] = 2
    np.testing.assert_array_equal(read(tmp_path / "out/masks/a.png"), expected)
    assert lists(tmp_path / "out")["unlabeled"] == ["c", "d", "more/e", "more/f"]


@pytest.mark.parametrize("xml", [False, True])
def test_cvat_labels_that_nobody_drew_need_not_be_classes(photos, masks, tmp_path, capsys, xml):
    export = make_cvat_masks(tmp_path / "export", masks, ["background", "cat", "dog", "cow"])
    if xml:
        no_map(export)
        label = "<label><name>cow</name></label>"
        (export / "annotations.xml").write_text(XML.replace("<labels>", f"<labels>{label}"))
    assert run_main(CVAT, export, photos, tmp_path / "out") == 2
    assert "cow\nAnnotate them, or give --classes without them" in capsys.readouterr().err
    chosen = ["--classes", "background", "cat"]
    assert run_main(CVAT, export, photos, tmp_path / "out", *chosen) == 2
    message = capsys.readouterr().err
    assert ("annotations.xml" if xml else "a.png") in message
    assert "shows classes that are not among --classes:\n  dog" in message
    assert run_main(CVAT, export, photos, tmp_path / "out", *chosen, "dog") == 0
    assert (tmp_path / "out/classes.txt").read_text().split() == ["background", "cat", "dog"]


def add_stray(root):
    labelme_json(root / "z.json", SIZE, [])


def break_json(root):
    (root / "a.json").write_text("{}")


def add_line(root):
    labelme_json(root / "a.json", SIZE, [dict(label="cat", shape_type="line", points=[[0, 0]] * 2)])


def resize(root):
    content = json.loads((root / "a.json").read_text()) | dict(imageWidth=9)
    (root / "a.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "flags", "words"),
    [
        (add_stray, [], ["z.json", "have no image"]),
        (break_json, [], ["a.json", "not a LabelMe annotation"]),
        (add_line, [], ["a.json", "line with 2 points", "polygons"]),
        (resize, [], ["a.json", "9x6", "8x6"]),
        (None, ["--classes", "background", "cat"], ["not among --classes", "dog"]),
        (None, ["--classes", "cat", "dog", "cow"], ["without annotations", "cow"]),
        (None, ["--classes", "cat", "cat"], ["given twice"]),
        (None, ["--val", "3"], ["--val 3 holds out all 3", "fewer"]),
    ],
)
def test_labelme_errors_name_file_and_remedy(labelme, tmp_path, capsys, damage, flags, words):
    if damage:
        damage(labelme)
    assert run_main(LABELME, labelme, tmp_path / "out", *flags) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()


def unknown_color(export):
    Image.new("RGB", (8, 6), (1, 2, 3)).save(export / "SegmentationClass/a.png")


def other_size(export):
    Image.new("RGB", (9, 6)).save(export / "SegmentationClass/a.png")


def no_image(export):
    Image.new("RGB", (8, 6)).save(export / "SegmentationClass/zebra.png")


def bad_map(export):
    (export / "labelmap.txt").write_text("cat\n")


def no_map(export):
    (export / "labelmap.txt").unlink()


def line_in_xml(export):
    no_map(export)
    (export / "annotations.xml").write_text(XML.replace("<polygon", "<polyline"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (unknown_color, ["a.png", "(1, 2, 3)"]),
        (other_size, ["a.png", "9x6", "8x6"]),
        (no_image, ["zebra", "are not in"]),
        (bad_map, ["labelmap.txt", "line 1"]),
        (no_map, ["annotations.xml", "Export as"]),
        (line_in_xml, ["a.jpg: polyline", "Segmentation mask 1.1"]),
    ],
)
def test_cvat_errors_name_file_and_remedy(photos, masks, tmp_path, capsys, damage, words):
    export = make_cvat_masks(tmp_path / "export", masks, ["background", "cat", "dog"])
    damage(export)
    assert run_main(CVAT, export, photos, tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
