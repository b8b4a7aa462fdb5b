"""On which devices and machines a training runs, and what cannot run there."""

import json
import os

import tensorflow as tf
from tensorflow.python.eager import context

from training.console import quiet_import
from training.distribute import options as defaults
from training.distribute.rendezvous import rendezvous
from training.distribute.replicas import check_pairs, workers_of

HEARTBEAT = 15  # seconds of silence after which a worker counts as lost
REGISTER = 120  # seconds that TensorFlow waits for the workers, after their rendezvous


def open_devices(options, workers, shared):
    """Waits for the other workers, if there are several, and opens the devices.

    Args:
        options: the parsed options.
        workers: a `training.distribute.cluster.Cluster`.
        shared: a dict of plain data that all workers must agree on.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: devices or workers are missing, or workers differ in what they are to do.
    """
    if len(workers.workers) > 1:
        print(f"worker {workers.index} of {len(workers.workers)} waits for the others", flush=True)
        shared = {**shared, "the number of GPUs": len(gpus())}  # replicas are counted from it
        rendezvous(workers.workers, workers.index, shared, options.wait or defaults.WAIT)
    with quiet_import():
        return open_strategy(options.strategy, workers.workers, workers.index, options.devices)


def open_strategy(name="auto", workers=None, index=None, devices=None):
    """Opens the devices of this machine, or of several, before anything else uses TensorFlow.

    Args:
        name: "one" device; "mirrored" over the GPUs of this machine; "multiworker" over several
            machines; "tpu"; or "auto": several workers if there are any, else a TPU, else several
            GPUs, else one device.
        workers: optional sequence of addresses "host:port", the same everywhere.
        index: which of them this process is.
        devices: optional number of devices for "mirrored": GPUs or, on a machine without, parts
            of the CPU, for trials.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: the devices are not there, or TensorFlow cannot reach the workers.

    Example:

    >>> open_strategy("mirrored", devices=2).num_replicas_in_sync
    2
    """
    if name not in defaults.STRATEGIES:
        raise ValueError(
            f"--strategy must be one of {', '.join(defaults.STRATEGIES)}. Received: {name!r}"
        )
    if name == "auto":
        if workers:
            name = "multiworker"
        elif os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
            name = "tpu"
        else:
            name = "mirrored" if (devices or len(gpus())) > 1 else "one"
    if workers and name != "multiworker":
        raise ValueError(f"--workers is for --strategy multiworker. Received: --strategy {name}")
    if devices is not None and name != "mirrored":
        raise ValueError(f"--devices is for --strategy mirrored. Received: --strategy {name}")
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "tpu":
        return _tpu()
    if name == "mirrored":
        return _mirrored(gpus(), devices)
    if not workers or len(workers) < 2:
        raise ValueError(
            "--strategy multiworker needs at least two workers; name them with --workers and "
            "--index, or with TF_CONFIG"
        )
    return _multiworker(list(workers), index)


def gpus():
    """The GPUs of this machine; TensorFlow does not start for it."""
    return tf.config.list_physical_devices("GPU")


def check_fits(strategy, recipe, jit_compile=False):
    """Checks that a recipe can be trained on the devices, before it starts.

    Args:
        strategy: a `tf.distribute.Strategy`.
        recipe: a `training.recipes.schema.Recipe`.
        jit_compile: whether XLA is asked for.

    Raises:
        ValueError: it cannot; one sentence says why and what would be right.

    Example:

    >>> check_fits(open_strategy("mirrored", devices=2), recipe)
    """
    replicas, batch_size = strategy.num_replicas_in_sync, recipe.data.batch_size
    accumulation, half = recipe.optimizer.accumulation, recipe.compute.precision == "float16"
    parts = replicas * accumulation
    if batch_size % parts:
        raise ValueError(
            f"`data.batch_size` must be a multiple of {parts}, {replicas} replicas times "
            f"`optimizer.accumulation` {accumulation}. Received: {batch_size}{_way_out(strategy)}"
        )
    if recipe.augment.mixup or recipe.augment.cutmix:
        check_pairs(batch_size, replicas, workers_of(strategy))
    if replicas > 1 and half:
        raise ValueError(
            f"`compute.precision` must be bfloat16 or float32 with {replicas} replicas: float16 "
            f"scales its losses by what a single one sees{_way_out(strategy)}."
        )
    if jit_compile and (isinstance(strategy, _MIRRORED) or is_tpu(strategy)):
        raise ValueError(
            "--jit is for --strategy one: replicas exchange gradients within a step, which XLA "
            "cannot compile on GPUs and CPUs; a TPU compiles by itself."
        )
    if is_tpu(strategy):
        if half:
            raise ValueError(
                "`compute.precision` must be bfloat16 or float32 on a TPU, not float16."
            )
        if recipe.compute.deterministic:
            raise ValueError(
                "--deterministic is not for TPUs: TensorFlow promises it for CPUs and GPUs only; "
                "leave it out, or `--set compute.deterministic=false` where the recipe has it."
            )


_MIRRORED = tf.distribute.MirroredStrategy | tf.distribute.MultiWorkerMirroredStrategy


def _way_out(strategy):
    """What to add to a refusal where this machine could train with one device as well."""
    several = strategy.num_replicas_in_sync > 1
    alone = several and workers_of(strategy) == 1 and not is_tpu(strategy)
    return "; `--strategy one` trains on one device" if alone else ""


def is_tpu(strategy):
    """Whether it is a `TPUStrategy`."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def describe(strategy):
    """The strategy in words, such as "2 replicas on 1 machine (MirroredStrategy)"."""
    replicas = strategy.num_replicas_in_sync
    machines = workers_of(strategy)
    many = "" if replicas == 1 else "s"
    more = "" if machines == 1 else "s"
    kind = type(strategy).__name__.lstrip("_")
    return f"{replicas} replica{many} on {machines} machine{more} ({kind})"


def _mirrored(gpus, devices):
    kind = "GPU" if gpus else "CPU"
    devices = devices or len(gpus) or 1
    if devices < 1 or (gpus and devices > len(gpus)):
        raise ValueError(
            f"--devices must lie between 1 and the {len(gpus)} GPUs of this machine. "
            f"Received: {devices}"
        )
    if not gpus and devices > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        found = tf.config.get_logical_device_configuration(cpu) or []
        if len(found) < devices:
            try:
                tf.config.set_logical_device_configuration(cpu, parts)
            except RuntimeError:
                raise ValueError(
                    f"--devices {devices} must be known before TensorFlow starts; the CPU is in "
                    f"{max(1, len(found))} part(s) already."
                ) from None
    return tf.distribute.MirroredStrategy([f"/{kind}:{i}" for i in range(devices)])


def _tpu(resolve=None):
    resolve = resolve or tf.distribute.cluster_resolver.TPUClusterResolver
    try:
        resolver = resolve(tpu=os.environ.get("TPU_NAME") or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"--strategy tpu finds no TPU: {reason}.") from None


def _multiworker(workers, index):
    """The strategy over machines; a worker that falls silent ends the others' steps in time."""
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2

    # no GPU count but this one's is asked for, which only this resolver leaves to TensorFlow
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    job = coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=len(workers))
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        heartbeat_timeout_in_ms=HEARTBEAT * 1000,
        cluster_register_timeout_in_ms=REGISTER * 1000,
        coordinated_jobs=[job],
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(
            f"the workers {','.join(workers)} do not come together: {reason}."
        ) from None
