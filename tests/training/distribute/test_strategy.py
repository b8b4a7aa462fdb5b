"""Many devices, many machines: the same result as one, and clear words where that cannot be."""

import argparse
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.files import WriteError
from training import train
from training.data.sampling import rows_of
from training.distribute import collectives as exchange
from training.distribute import options as devices
from training.distribute import strategy
from training.distribute.cluster import Cluster, cluster_of
from training.distribute.rendezvous import rendezvous
from training.distribute.replicas import endless
from training.engine import checkpoint
from training.engine.state import make_train_state
from training.engine.steps import evaluation_step, training_step
from training.recipes import catalogue as recipes
from training.runs import folder as run_folder
from training.runs.plan import Plan, begin, make_plan
from training.tasks.classification import Classification

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "support" / "strategy_program.py"
OTHERS = ["mirrored2", "mirrored4", "worker0", "worker1"]


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def start(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_CONFIG", None)
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process, seconds=300):
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, output


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """20 steps on one device, over 2 and 4 replicas, and in two processes: the folder of it all."""
    out = tmp_path_factory.mktemp("strategies")
    together = ",".join(free_addresses(2))
    for group in (
        [("one", "mirrored:2")],
        [("mirrored:4",)],  # groups of one size in a process
        [(together, 0), (together, 1)],
    ):
        for process in [start(PROGRAM, out, *words) for words in group]:
            status, output = finish(process)
            assert status == 0, output
    return out


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_weights_however_many_replicas(trained, name):
    """With repeats, MixUp, CutMix, accumulation, clipping and averaging on."""
    one, many = np.load(trained / "one.npz"), np.load(trained / f"{name}.npz")
    assert sorted(one) == sorted(many) and any(key.startswith("m") for key in one)
    for key in one:
        np.testing.assert_allclose(many[key], one[key], rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_metrics_with_an_uneven_last_batch(trained, name):
    one = json.loads((trained / "one.json").read_text())
    many = json.loads((trained / f"{name}.json").read_text())
    assert one["count"] % 30 and (one["count"] // 2) % 30  # of one worker, of each of two
    assert len(one["history"]) == len(many["history"]) == 5
    assert "auc" in one["history"][-1]  # as for images of several classes each
    for row, other in zip(one["history"], many["history"], strict=True):
        assert row.keys() == other.keys()
        for key in row:
            assert other[key] == pytest.approx(row[key], abs=2e-5), key


def test_the_steps_did_something(trained):
    """The weights moved by far more than what they may differ by."""
    one = np.load(trained / "one.npz")
    assert max(np.abs(one[f"w{i}"] - one[f"m{i}"]).max() for i in range(3)) > 1e-3
    assert not (trained / "run-worker1.npz").exists()  # the chief alone writes
    assert (trained / "run-worker0.npz" / "checkpoints" / "last.npz").exists()


def test_replicas_draw_masks_of_their_own(trained):
    one = np.load(trained / "masks-one.npz")
    two, four = (np.load(trained / f"masks-mirrored{n}.npz") for n in (2, 4))
    kept = four["kept"] != 0  # (calls, replicas, 64, 4)
    assert kept.shape == (2, 4, 64, 4) and 0.1 < kept.mean() < 0.4  # a quarter
    flat = kept.reshape(8, -1)
    for i in range(8):
        for j in range(i):  # neither replicas nor calls share a mask
            assert 0.1 < np.mean(flat[i] != flat[j]) < 0.6
    np.testing.assert_array_equal(one["kept"][:, 0], four["kept"][:, 0])
    np.testing.assert_array_equal(two["kept"], four["kept"][:, :2])
    # the states are the same everywhere after a step, whatever was drawn
    states = four["states"].reshape(-1, 4, 2)
    np.testing.assert_array_equal(states, np.repeat(states[:, :1], 4, axis=1))
    np.testing.assert_array_equal(states[:, 0], one["states"].reshape(-1, 2))
    assert set(states[..., 1].ravel()) == {2}  # two draws each


# Rows


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("replicas, workers", [(1, 1), (2, 1), (4, 2), (4, 4), (8, 2)])
def test_pairs_stay_with_a_worker(repeats, replicas, workers):
    parts = [
        rows_of(48, repeats=repeats, replicas=replicas, shard=(w, workers), pairs=True)
        for w in range(workers)
    ]
    assert sorted(np.concatenate(parts)) == list(range(48))
    for part in parts:
        assert len(part) == 48 // workers
        assert {47 - place for place in part} == set(part)
    dealt = np.concatenate(parts).reshape(replicas, -1)
    if repeats == 3 and replicas > 2:
        for places in dealt:  # copies of an image on different replicas, but for the middle
            originals = places // 3
            assert len(set(originals)) >= len(originals) - 1


def test_pairs_that_workers_would_tear_apart():
    with pytest.raises(ValueError, match="multiple of twice the replicas"):
        rows_of(12, replicas=4, shard=(0, 2), pairs=True)
    assert sorted(rows_of(12, replicas=4, pairs=True)) == list(range(12))  # one worker has all


def test_endless():
    data = tf.data.Dataset.range(3).map(lambda i: (tf.fill((2,), i), tf.cast(i, tf.float32)))
    rows = [(a.tolist(), float(b)) for a, b in endless(data).take(5).as_numpy_iterator()]
    assert rows[2:] == [([2, 2], 2.0), ([0, 0], 0.0), ([0, 0], 0.0)]
    assert endless(data).cardinality() == tf.data.INFINITE_CARDINALITY
    unknown = endless(data.filter(lambda a, b: b > 0))
    assert unknown.cardinality() == tf.data.INFINITE_CARDINALITY


# Refusals


def stand_in(replicas, workers=1, index=0):
    return types.SimpleNamespace(
        num_replicas_in_sync=replicas,
        extended=types.SimpleNamespace(worker_devices=["a device"] * (replicas // workers)),
        cluster_resolver=types.SimpleNamespace(task_id=index),
    )


@pytest.mark.parametrize(
    "replicas, changes, said",
    [
        (3, {}, "multiple of 3, 3 replicas times `optimizer.accumulation` 1. Received: 4096"),
        (
            8,
            {"optimizer.accumulation": 1024},
            "multiple of 8192, 8 replicas times `optimizer.accumulation` 1024",
        ),
        (
            2,
            {"compute.precision": "float16"},
            "`compute.precision` must be bfloat16 or float32 with 2 replicas",
        ),
    ],
)
def test_what_replicas_cannot_do(replicas, changes, said):
    recipe = recipes.load("imagenet1k").RECIPE.with_values(changes)
    with pytest.raises(ValueError, match=said) as error:
        strategy.check_fits(stand_in(replicas), recipe)
    assert "\n" not in str(error.value)
    assert "; `--strategy one` trains on one device" in str(error.value)  # the way out
    strategy.check_fits(stand_in(1), recipe)
    with pytest.raises(ValueError, match=said) as error:  # over machines it is none
        strategy.check_fits(stand_in(replicas, workers=replicas), recipe)
    assert "--strategy" not in str(error.value)


@pytest.mark.parametrize("mixed", ["mixup", "cutmix"])
def test_pairs_over_workers_are_refused_before_the_start(mixed):
    recipe = recipes.load("imagenet1k").RECIPE.with_values(
        {"data.batch_size": 12, "augment.mixup": 0.0, "augment.cutmix": 0.0, "augment.repeats": 1}
    )
    strategy.check_fits(stand_in(4, workers=2), recipe)
    recipe = recipe.with_values({f"augment.{mixed}": 0.8})
    strategy.check_fits(stand_in(4), recipe)  # one worker has all
    with pytest.raises(ValueError, match=r"twice the replicas.*Received: 12 and 4"):
        strategy.check_fits(stand_in(4, workers=2), recipe)


@pytest.mark.parametrize(
    "changes, jit, said",
    [
        ({}, True, "--jit is for --strategy one: .* a TPU compiles by itself"),
        ({"compute.deterministic": True}, False, "TPUs: .* or `--set compute.deterministic=false`"),
        ({"compute.precision": "float16"}, False, "must be bfloat16 or float32"),
    ],
)
def test_what_a_tpu_cannot_do(monkeypatch, changes, jit, said):
    monkeypatch.setattr(strategy, "is_tpu", lambda opened: True)
    recipe = recipes.load("imagenet1k").RECIPE.with_values(changes)
    for replicas in (1, 8):
        with pytest.raises(ValueError, match=said) as error:
            strategy.check_fits(stand_in(replicas), recipe, jit_compile=jit)
        assert "trains on one device" not in str(error.value)


def test_jit_and_mirrored():
    mirrored = tf.distribute.MirroredStrategy(["/cpu:0"])
    recipe = recipes.smoke("imagenet1k")
    strategy.check_fits(mirrored, recipe)
    with pytest.raises(ValueError, match="--jit is for --strategy one"):
        strategy.check_fits(mirrored, recipe, jit_compile=True)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"name": "two"}, "must be one of auto, one"),
        ({"name": "multiworker"}, "needs at least two workers"),
        ({"name": "mirrored", "workers": ["a:1", "b:1"], "index": 0}, "--workers is for"),
        ({"name": "one", "devices": 2}, "--devices is for --strategy mirrored"),
        ({"name": "mirrored", "devices": 2}, "must be known before TensorFlow starts"),
        ({"name": "tpu"}, "--strategy tpu finds no TPU: "),
    ],
)
def test_devices_that_are_not_there(arguments, said):
    tf.constant(0) + 1  # TensorFlow has started
    with pytest.raises(ValueError, match=said) as error:
        strategy.open_strategy(**arguments)
    assert "\n" not in str(error.value)


def test_clusters():
    two = ("10.0.0.1:7000", "10.0.0.2:7000")
    assert cluster_of(",".join(two), 1) == Cluster(two, 1)
    assert cluster_of(environment={}) == Cluster()
    config = {"cluster": {"chief": [two[0]], "worker": [two[1]]}}
    for task, index in (("chief", 0), ("worker", 1)):
        text = json.dumps({**config, "task": {"type": task, "index": 0}})
        assert cluster_of(environment={"TF_CONFIG": text}) == Cluster(two, index)
    for workers, index, said in (
        ("a:1,b:2", None, "go together"),
        (None, 0, "go together"),
        ("a:1,b", 0, "host:port, such as"),
        ("a:1,b:99999", 0, "host:port, such as"),
        ("a:1,a:1", 0, "each worker once"),
        ("a:1,b:1", 2, "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=said):
            cluster_of(workers, index)
    for text in ("{", "[]", '{"cluster": {"worker": ["a:1"]}}'):
        with pytest.raises(ValueError, match="TF_CONFIG must be like"):
            cluster_of(environment={"TF_CONFIG": text})


def test_clusters_of_launchers():
    def of(jobs, job, index=0):
        config = {"cluster": jobs, "task": {"type": job, "index": index}}
        return cluster_of(environment={"TF_CONFIG": json.dumps(config)})

    assert of({"chief": ["a:1"]}, "chief") == of({"worker": ["a:1"]}, "worker") == Cluster()
    jobs = {"chief": ["a:1"], "worker": ["b:1"], "evaluator": ["c:1"]}
    assert of(jobs, "worker") == Cluster(("a:1", "b:1"), 1)
    for job in ("evaluator", "ps", "master"):
        with pytest.raises(ValueError, match=f"'{job}' takes no part .* use chief and worker"):
            of({**jobs, job: ["c:1"]}, job)


def meet_all(workers, facts, wait=20.0):
    """What `rendezvous` raises in each of the workers, `None` where nothing."""
    errors: list = [None] * len(facts)

    def one(index):
        try:
            rendezvous(workers, index, facts[index], wait)
        except ValueError as error:
            errors[index] = str(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(facts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_workers_meet():
    workers = free_addresses(3)
    assert meet_all(workers, [{"seed": 0, "recipe": {"a": (1, 2)}}] * 3) == [None] * 3
    assert meet_all(workers, [{"seed": 0}] * 3) == [None] * 3  # the ports are free again


def test_workers_that_differ():
    errors = meet_all(
        free_addresses(2), [{"recipe": {"epochs": 3, "x": 1}}, {"recipe": {"epochs": 4, "x": 1}}]
    )
    assert "recipe: epochs is 4 there and 3 here" in errors[0] and "worker 1 (127" in errors[0]
    assert "recipe: epochs is 3 there and 4 here" in errors[1] and "worker 0 (127" in errors[1]
    shared = [{"recipe": {"schedule": {"epochs": n, "every": "step"}}} for n in (3, "x" * 9999)]
    errors = meet_all(free_addresses(2), shared)
    assert "recipe: schedule.epochs is 'xxx" in errors[0] and len(errors[0]) < 500


def test_workers_that_do_not_come():
    workers = free_addresses(2)
    (error,) = meet_all(workers, [{}], wait=0.5)
    assert error.startswith(f"worker 1 ({workers[1]}) cannot be reached within 0.5 s: ")
    with socket.create_server(("127.0.0.1", 0)) as stranger:  # listens and says nothing
        workers[1] = f"127.0.0.1:{stranger.getsockname()[1]}"
        (error,) = meet_all(workers, [{}], wait=0.5)
        assert error.startswith(f"worker 1 ({workers[1]}) cannot be reached")
        workers[0] = workers[1]
        (error,) = meet_all(workers, [{}], wait=0.5)
        assert "cannot listen on port" in error


def test_machines_that_differ(monkeypatch):
    """Each replica takes an equal part of the batch, so all workers have as many."""
    seen = []
    monkeypatch.setattr(strategy, "gpus", lambda: ["a GPU"] * 4)
    monkeypatch.setattr(strategy, "open_strategy", lambda *words: "opened")
    monkeypatch.setattr(strategy, "rendezvous", lambda *words: seen.append(words))
    for words, wait in (([], devices.WAIT), (["--wait", "7.5"], 7.5)):
        parser = argparse.ArgumentParser()
        devices.add_arguments(parser)
        options = parser.parse_args(words)
        opened = strategy.open_devices(options, Cluster(("a:1", "b:1"), 1), {"seed": 0})
        assert opened == "opened"
        assert seen.pop() == (("a:1", "b:1"), 1, {"seed": 0, "the number of GPUs": 4}, wait)
    for bad in ("0", "-1", "soon", "inf", "nan"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--wait", bad])
    errors = meet_all(free_addresses(2), [{"the number of GPUs": n} for n in (8, 4)])
    assert "the number of GPUs is 4 there and 8 here" in errors[0]


def in_workers(monkeypatch, function, count):
    """What `function` gives or raises in each of some workers: threads with a sum of their own."""
    barrier = threading.Barrier(count, timeout=30)
    arrays: list = [None] * count
    results: list = [None] * count

    def add(of, array):
        arrays[of.cluster_resolver.task_id] = np.asarray(array)
        barrier.wait()
        assert len({(a.shape, a.dtype) for a in arrays}) == 1
        total = sum(arrays)
        barrier.wait()
        return total

    def one(index):
        try:
            results[index] = function(stand_in(count, count, index), index)
        except ValueError as error:
            results[index] = error

    monkeypatch.setattr(exchange, "_sum", add)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_workers_compare_their_images(monkeypatch):
    images = {"number of images": 9, "name of class 0": "chat", "name of class 1": "Ägäis"}

    def check(found):
        return in_workers(monkeypatch, lambda s, i: exchange.check_same(s, found[i]), len(found))

    assert check([images] * 3) == [None] * 3
    errors = check([images, images, {**images, "number of images": 8}])
    assert len({str(error) for error in errors}) == 1  # all say the same, none waits
    assert str(errors[0]).startswith(
        "worker 2 has other images than worker 0: the number of images is 8, not 9; give all"
    )
    errors = check([images, {"number of images": 9, "name of class 0": "chien"}])
    assert "worker 1 has" in str(errors[0]) and "class 0 is 'chien', not 'chat'" in str(errors[1])
    errors = check([images, {**images, "name of class 2": "x"}])
    assert "the name of class 2 is 'x', not None" in str(errors[0])


def test_what_workers_found_is_put_together(monkeypatch):
    found = [["a"], [], ["b", "a"]]
    assert in_workers(monkeypatch, lambda s, i: exchange.from_all(s, found[i]), 3) == [found] * 3
    assert exchange.from_all(stand_in(1), ["a"]) == [["a"]]


def test_what_the_chief_cannot_write_is_said_by_all(monkeypatch, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    plan, held = Plan(types.SimpleNamespace(name="mine"), output=str(tmp_path)), None

    def begins(opened, index):
        return exchange.from_chief(opened, lambda: begin(plan, held), ValueError, WriteError)

    for error in in_workers(monkeypatch, begins, 2):
        assert isinstance(error, ValueError) and "already holds files" in str(error)


def test_workers_and_the_folder_of_the_chief(tmp_path):
    """As pods are started: always with the same command."""
    words = ["--recipe", "imagenet1k", "--smoke"]

    def plan(*more, chief):
        options = train.parser().parse_args([*words, *map(str, more)])
        found = make_plan(options, chief=chief)
        return found.folder, found.record is not None

    folder, again = tmp_path / "a", ("--resume", "--output", tmp_path / "a")
    for chief in (True, False):
        assert plan(*again, chief=chief) == (None, False)  # nothing there: from the start
    assert plan("--resume", folder, chief=False) == (None, False)  # it may not see the folder
    recipe = recipes.smoke("imagenet1k")
    folder.mkdir()
    run_folder.write_record(folder, recipe, 0, True, None)
    for chief in (True, False):
        assert plan(*again, chief=chief) == (folder, True)
        assert plan("--resume", folder, chief=chief) == (folder, True)
        assert plan("--output", folder, chief=chief) == (None, False)  # refused later, by the chief


def test_the_commands_of_the_readme():
    text = (ROOT / "README.md").read_text("utf-8").partition("## Many devices")[2]
    text = text.partition("\n## ")[0].replace("\\\n", " ").replace("$hosts", "a:1,b:1")
    commands = re.findall(r"python -m training\.train ([^\"\n]*)", text)
    assert len(commands) == 5
    for command in commands:
        words = re.sub(r"\\?\$[A-Z_]+", "1", command)  # the launcher's number of the process
        options = train.parser().parse_args(shlex.split(words))
        assert options.recipe in recipes.names()
        if options.workers:
            cluster = devices.cluster(options)
            assert cluster.index == options.index < len(cluster.workers)


def test_a_worker_of_a_complete_run_ends_well(tmp_path, capsys):
    run_folder.write_record(tmp_path, recipes.smoke("imagenet1k"), 0, True, None)
    (tmp_path / run_folder.REPORT).write_text("{}")
    addresses = ",".join(free_addresses(2))
    for index in ("0", "1"):
        status = train.main([
            "--recipe", "imagenet1k", "--smoke", "--resume", "--output", str(tmp_path),
            "--workers", addresses, "--index", index,
        ])  # fmt: skip
        assert status == 0 and "is complete" in capsys.readouterr().out


def test_how_to_go_on():
    assert train.how_to_go_on("runs/a", Cluster()) == (
        "go on with: python -m training.train --resume runs/a"
    )
    several = train.how_to_go_on("runs/a", Cluster(("a:1", "b:1"), 1))
    assert several == "start all workers again, with --resume runs/a"


def test_a_lost_worker_keeps_its_cause():
    lost, strategy = pytest.raises(exchange.LostWorker), stand_in(2, workers=2)
    with lost as error, exchange.together(strategy):
        raise tf.errors.InternalError(None, None, "\nno memory\nat /job:worker/task:1\n")
    assert str(error.value).startswith("worker 1 ended")
    assert train.first_line(error.value.__cause__) == "no memory"


def test_the_command_refuses(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "WAIT", 0.5)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    workers = free_addresses(2)
    for arguments, said in (
        (["--workers", ",".join(workers), "--index", "0"], f"worker 1 ({workers[1]}) cannot be"),
        (["--workers", ",".join(workers)], "--workers and --index go together"),
        (["--strategy", "multiworker"], "needs at least two workers"),
        (["--strategy", "tpu"], "finds no TPU"),
        (["--strategy", "mirrored", "--devices", "1", "--jit"], "--jit is for"),
    ):
        status = train.main([
            "--recipe", "imagenet1k", "--smoke", "--output", str(tmp_path / "out"), *arguments
        ])  # fmt: skip
        error = capsys.readouterr().err
        assert status == 2 and error.count("\n") == 1 and said in error, error
        assert not (tmp_path / "out").exists()


# TPUs, as far as a machine without one goes


def test_a_tpu_is_opened_by_its_name(monkeypatch):
    """Mocked where TensorFlow would reach out for the TPU."""
    calls = []

    class Resolver:
        def __init__(self, tpu):
            calls.append(("resolve", tpu))

    monkeypatch.setenv("TPU_NAME", "node-1")
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    monkeypatch.setattr(
        tf.config, "experimental_connect_to_cluster", lambda r: calls.append(("connect", type(r)))
    )
    monkeypatch.setattr(
        tf.tpu.experimental, "initialize_tpu_system", lambda r: calls.append(("start", type(r)))
    )
    opened = object()
    monkeypatch.setattr(strategy.tf.distribute, "TPUStrategy", lambda r: opened)
    assert strategy.open_strategy("auto") is opened
    assert calls == [("resolve", "node-1"), ("connect", Resolver), ("start", Resolver)]


def test_the_step_is_all_xla():
    """Static shapes, no op that XLA lacks: as a TPU needs; with all that recipes can switch on."""
    recipe = recipes.smoke("imagenet1k").with_values({
        "model.embed_dims": (32,), "model.depths": (1,), "model.window_size": (2,),
        "data.image_size": 8, "model.drop_path_rate": 0.3, "optimizer.ema": 0.9,
        "data.batch_size": 4, "compute.precision": "bfloat16",
    })  # fmt: skip
    task, info = Classification(recipe), {"class_names": ("a", "b", "c", "d")}
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(4, 8, 8, 3)), tf.float32)
    labels = tf.constant(np.eye(4), tf.float32)
    sums = {}
    for compiled in (False, True):
        keras.utils.set_random_seed(0)
        state = make_train_state(task, info, 2, tf.distribute.get_strategy())
        step = training_step(
            state.strategy, state.model, state.optimizer, task.loss, task.metrics, accumulation=2,
            clip_norm=1.0, average=state.average, ema=0.9, jit_compile=compiled,
        )  # fmt: skip
        sums[compiled] = [list(map(float, step(images, labels).values())) for _ in range(2)]
    np.testing.assert_allclose(sums[True], sums[False], rtol=2e-2)  # bfloat16
    evaluation = evaluation_step(state.strategy, state.model, task.evaluator(info))
    whole = tf.function(evaluation.python_function, jit_compile=True, autograph=False)
    weights = tf.constant([1.0, 1.0, 1.0, 0.0])
    sums, _ = evaluation(images, labels, weights)
    np.testing.assert_allclose(whole(images, labels, weights)[0], sums, rtol=2e-2)
    assert sums[3] == 3


# A worker that dies


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, *([5] if os.environ.get("KILLS") else [])])
def test_a_lost_worker_ends_the_others_and_resume_goes_on(tmp_path, kills):
    """So does one that is asked to stop, which comes first. The chief is the first to die."""
    settings = {
        "data.images": 64, "model.embed_dims": "32", "model.depths": "1", "model.window_size": "2",
        "data.image_size": 8, "model.drop_path_rate": 0, "data.batch_size": 4,
        "schedule.epochs": 12, "optimizer.ema": 0.9, "optimizer.clip_norm": 1,
        "schedule.every": "step",
    }  # fmt: skip
    command = ["-m", "training.train", "--recipe", "imagenet1k", "--smoke", "--save-every", 1]
    command += [x for key, value in settings.items() for x in ("--set", f"{key}={value}")]
    alone = start(*command, "--strategy", "one", "--output", tmp_path / "one")
    assert finish(alone)[0] == 0
    last = tmp_path / "two" / "checkpoints" / "last.npz"
    draw, steps = np.random.default_rng(), []

    def workers():
        addresses = ",".join(free_addresses(2))
        end = ("--resume" if last.exists() else "--output", tmp_path / "two")
        return [start(*command, "--workers", addresses, "--index", i, *end) for i in (0, 1)]

    def step():
        return checkpoint.read_position(last)["step"] if last.exists() else 0

    def work_for_a_while(process):
        before, deadline = step(), time.monotonic() + 240
        while step() == before and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))

    chief, asked = workers()
    work_for_a_while(chief)
    asked.send_signal(signal.SIGTERM)
    for process, by in ((asked, "SIGTERM"), (chief, "another worker")):
        status, output = finish(process)
        assert status == 128 + signal.SIGTERM, output
        assert f"stopped by {by} at step" in output

    for kill in range(kills):
        processes = workers()
        killed, left = reversed(processes) if kill % 2 else processes  # the chief, the other ...
        work_for_a_while(left)
        killed.send_signal(signal.SIGKILL)
        finish(killed)
        begun = time.monotonic()
        status, output = finish(left)
        seconds = time.monotonic() - begun
        steps.append((step(), round(seconds, 1)))
        assert status == 75, output
        assert seconds < 2 * strategy.HEARTBEAT + 15, output  # the stated 45 s
        assert "ended or does not answer any more. The last checkpoint is intact" in output
    print("steps at the kills, and seconds until the other ended:", steps)

    for process in workers():
        status, output = finish(process)
        assert status == 0, output
        assert "resumed at step" in output
    resumed, whole = (np.load(tmp_path / x / "checkpoints" / "last.npz") for x in ("two", "one"))
    for key in whole:
        if key != "meta" and whole[key].dtype == np.float32:
            np.testing.assert_allclose(resumed[key], whole[key], rtol=0, atol=1e-5, err_msg=key)
