"""Bad boxes and masks from the command line: one sentence, exit status 2, no run begun."""

import pytest
from PIL import Image

from tests.support.dense_sets import coco, coco_box, put_coco, put_masks
from training import train


def run(capsys, task, folder, output, *more):
    words = ["--recipe", f"quickstart_{task}", "--smoke", "--data", str(folder)]
    status = train.main([*words, "--output", str(output), *more])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (coco(2, [coco_box(category_id=99)]), "99"),
        (coco(2, [coco_box()], categories=[]), "categories"),
        (coco(3, [coco_box(image_id=i) for i in (10, 11, 12)]), "2.png"),
        ("{", "JSON"),
    ],
    ids=["class", "no categories", "missing image", "no JSON"],
)
def test_a_coco_file(content, said, tmp_path, capsys):
    folder = put_coco(tmp_path / "data", "annotations.json", content)
    output = tmp_path / "run"
    status, error = run(
        capsys, "detection", folder, output, "--set", "data.source=coco",
        "--set", "data.batch_size=1",
    )  # fmt: skip
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1, error
    assert said in error and not (output / "checkpoints").exists()


def test_a_mask_of_another_size(tmp_path, capsys):
    folder = put_masks(tmp_path / "data", "images", "masks", count=4)
    Image.new("L", (5, 5)).save(folder / "masks" / "1.png")
    status, error = run(
        capsys, "segmentation", folder, tmp_path / "run", "--set", "data.source=folder",
        "--set", "data.batch_size=1",
    )  # fmt: skip
    assert status in (1, 2) and "1.png" in error, error
