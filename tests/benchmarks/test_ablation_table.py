"""Budgets of every row of section 4.4, and the small trained table."""

import pytest

from benchmarks import ablation_training
from benchmarks.ablations import ROWS, build, format_row, main
from benchmarks.flops import count_macs

# Parameters and multiply-adds, counted on the official PyTorch modules, patched.
BUDGETS = {
    "RegionViT-S": (30_586_618, 5_339_039_232),
    "no regional tokens": (30_350_362, 5_184_162_048),
    "2x2 convolution": (32_122_810, 5_513_567_232),
    "3x3 convolution": (34_058_170, 5_734_751_232),
    "no weight sharing": (40_413_178, 5_339_039_232),
    "all keys": (30_586_618, 6_044_874_240),
    "no position": (30_559_240, 5_339_039_232),
    "absolute position": (30_860_296, 5_339_039_232),
    "both positions": (30_887_674, 5_339_039_232),
    "overlapped windows": (30_660_490, 18_933_007_872),
    "overlapped, 1-conv stem": (30_626_218, 18_820_111_872),
    "shifted window": (28_288_354, 4_490_566_656),
    "R2L in Swin's frame": (32_077_594, 5_357_319_168),
}


def test_no_row_is_missing():
    assert set(BUDGETS) == set(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUDGETS)
def test_budget(name):
    model = build(ROWS[name])
    parameters, macs = BUDGETS[name]
    assert model.count_params() == parameters
    # two encoders' regional attention of one token is no product here, of 768 channels
    single = 0 if ROWS[name].arguments.get("regional_tokens") is False else 2 * 2 * 768
    assert count_macs(model) == macs - single


@pytest.mark.parametrize("name", BUDGETS)
def test_printed_values_are_met_or_explained(name):
    parameters, macs = BUDGETS[name]
    paper, note = ROWS[name].paper, ROWS[name].note
    met = round(parameters / 1e6, 1) == paper.parameters and round(macs / 1e9, 1) == paper.gflops
    assert met != bool(note)


def test_line():
    line = format_row("all keys", ROWS["all keys"], 30_586_618, 6_044_871_168)
    expected = ["all", "keys", "11", "30,586,618", "6.045", "30.6", "+0.0", "6.0", "+0.7"]
    assert line.split() == expected
    line = format_row("shifted window", ROWS["shifted window"], 28_288_354, 4_490_566_656)
    assert line.split()[2:9] == ["14", "28,288,354", "4.491", "29.0", "-2.5", "4.5", "-0.2"]
    assert line.endswith("  Swin-T has 28.29 M; 29 M is how its own paper rounds it")


def test_an_unknown_row_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--rows", "all keys", "some keys"])
    assert "'some keys'" in capsys.readouterr().err


# --- the trained table ---------------------------------------------------------------------

NAMES = ("RegionViT-S", "all keys")
ROWS_TRAINED = {name: ROWS[name] for name in NAMES}


def runs(accuracies, **changed):
    """Runs of two rows, as a file holds them."""
    settings = ablation_training.SETTINGS | changed
    return [
        {"row": name, "seed": seed, "parameters": 1234, "accuracy": a, "seconds": 5.0, **settings}
        for name, column in zip(NAMES, accuracies, strict=True)
        for seed, a in enumerate(column)
    ]


def test_finished_runs_are_not_trained_again(tmp_path, capsys):
    path = tmp_path / "new" / "runs.csv"
    ablation_training.write_runs(path, runs([(0.8, 0.81, 0.82), (0.9, 0.9, 0.9)]))
    before = path.read_bytes()
    found = ablation_training.run(ROWS_TRAINED, [0, 1, 2], path)
    assert found == {"RegionViT-S": [80, 81, 82], "all keys": [90, 90, 90]}
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
    assert capsys.readouterr().out == ""


def test_line_of_a_trained_row():
    line = format_row("all keys", ROWS["all keys"], 30_586_618, 6_044_871_168, [80.0, 81.0, 82.0])
    assert line.split()[9:] == ["82.7", "81.00", "1.00", "80.0", "81.0", "82.0"]


def test_runs_of_another_budget_are_refused(tmp_path):
    path = tmp_path / "runs.csv"
    ablation_training.write_runs(path, runs([(0.8,), (0.9,)], epochs=3))
    with pytest.raises(ValueError, match=r"runs\.csv holds runs with epochs=3, not 5"):
        ablation_training.run(ROWS_TRAINED, [0], path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"runs\.csv has not the columns row, seed"):
        ablation_training.run(ROWS_TRAINED, [0], path)


@pytest.mark.slow
def test_goes_on_where_it_stopped(tmp_path, capsys):
    path, small = tmp_path / "runs.csv", {"epochs": 1, "training_images": 60}
    ablation_training.write_runs(path, runs([(0.8,), ()], **small))
    command = ["--train", "fashion_mnist", "--rows", *NAMES, "--seeds", "0", "--csv", str(path)]
    main([*command, "--epochs", "1", "--images", "60"])
    found = ablation_training.read_runs(path, ablation_training.SETTINGS | small)
    assert list(found) == [("RegionViT-S", 0), ("all keys", 0)]
    assert found["RegionViT-S", 0]["accuracy"] == "0.8"
    assert 0 < float(found["all keys", 0]["accuracy"]) <= 1
    assert int(found["all keys", 0]["parameters"]) > 1e5
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("seed 0, all keys: ") and "ours, mean" in out[1]
    assert out[2].split()[:2] == ["RegionViT-S", "8-13"]
    assert out[2].split()[-4:] == ["82.6", "80.00", "-", "80.0"]
    assert "60 images for 1 epochs" in out[4]
    with pytest.raises(SystemExit):  # before anything is trained or counted
        main(command)
    error = capsys.readouterr().err
    assert "holds runs with epochs=1, not 5" in error
    with pytest.raises(SystemExit):
        main([*command, "--images", "7000"])
    assert "--images must be from 1 to 5,000, not 7000" in capsys.readouterr().err


@pytest.mark.parametrize("name", ROWS)
def test_first_stage_has_regions_to_tell_apart(name):
    training, _ = ablation_training.fashion_mnist.load()
    model = ablation_training.build(ROWS[name], training.images, drop_path_rate=0.0)
    backbone = model.get_layer(index=3)
    height, width = backbone.pyramid_outputs["P1"].shape[1:3]
    assert height // backbone.window_size[0] >= 2 and width // backbone.window_size[0] >= 2
