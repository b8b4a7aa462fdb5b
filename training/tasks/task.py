"""What a task is: the few functions through which the engine trains anything.

The engine, the pipeline and the replicas handle nests of tensors; what these mean, a task knows.

B examples of a batch; an *example* is a dict of tensors, as a source gives it.
"""

import abc

import tensorflow as tf


class Task(abc.ABC):
    """One thing to learn: how examples become tensors, a model, a loss, metrics and an export.

    A subclass gives the abstract methods; the others have defaults. `info` is what a source says
    of its data (`training.data.sources.source.Source.info`), such as the names of what can be seen.

    Args:
        recipe: a `training.recipes.schema.Recipe`.

    Attributes:
        recipe: the same.
        unit: what an example is called in messages, in the plural.

    Example:

    >>> task = open_task(recipe)
    >>> model = task.build_model(task.open_split("train").info)
    """

    unit = "examples"

    def __init__(self, recipe):
        self.recipe = recipe

    @abc.abstractmethod
    def open_split(self, split, data=None):
        """Opens one part of the data.

        Args:
            split: its name, such as "train".
            data: optional folder or file with the data.

        Returns:
            A `training.data.sources.source.Source`.

        Raises:
            ValueError: data are missing, or do not fit the recipe.
        """

    def open_others(self, split, data=None, info=None):
        """Opens data to evaluate a trained model on, which may fit it in a wider sense.

        Args:
            split: see `open_split`, also for the next.
            data: likewise.
            info: of the source that the model learnt from, where that is known.

        Returns:
            A `training.data.sources.source.Source`.

        Raises:
            ValueError: data are missing, or do not fit the recipe or `info`.
        """
        return self.open_split(split, data)

    @abc.abstractmethod
    def assumed_info(self):
        """The `info` that the recipe alone implies, for sizes to be told without the data."""

    @abc.abstractmethod
    def build_model(self, info):
        """The model to train, a built `keras.Model`; it maps `inputs` to `outputs`, both nests.

        Raises:
            ValueError: the values of the recipe do not fit together.
        """

    def load_start(self, model):
        """Loads the weights that the recipe starts from; does nothing by default.

        Args:
            model: as `build_model` made it.

        Raises:
            ValueError: they cannot be read or do not fit.
        """
        return  # to be overridden where a recipe can name weights

    @abc.abstractmethod
    def specs(self, info):
        """What one example becomes: `(inputs, targets)`, nests of `tf.TensorSpec`.

        Shapes are static and have no batch axis: what differs from example to example in number
        is padded.
        """

    def groups(self, source, training):
        """The parts of a source whose examples become tensors of the same shapes; all by default.

        Args:
            source: a `training.data.sources.source.Source`.
            training: whether for batches to learn from.

        Returns:
            A list of `(task, source)`: a batch has examples of one part, which that task prepares.
        """
        return [(self, source)]

    def training_specs(self, info):
        """The same in training, where a model may take more than it does in an evaluation."""
        return self.specs(info)

    @abc.abstractmethod
    def preparation(self, info, training):
        """How an example becomes tensors.

        Args:
            info: of the source.
            training: whether to augment.

        Returns:
            A function `prepare(example, seed) -> (inputs, targets)`, nests as `specs` describes
            them. All that is random follows from `seed`, int32 (2,); evaluation gives None.
        """

    def mixing(self):
        """How examples of a batch are mixed with each other.

        Returns:
            None for not at all, the default; or a function `mix(inputs, targets, seed) -> (inputs,
            targets)` that mixes each row with its mirror image in the batch, row B - 1 - i.
        """
        return None

    @abc.abstractmethod
    def loss(self, targets, outputs):
        """The loss of a batch, or of a part of one.

        Args:
            targets: a nest, each tensor with B rows.
            outputs: of the model, likewise.

        Returns:
            `(sums, normaliser)`: a dict of float32 scalars by name, whose sum is the loss; and what
            the sums of the *global* batch are to be divided by: an int where it is known from the
            shapes, such as B, or a scalar tensor, such as the number of objects.
        """

    def metrics(self, targets, outputs):
        """More to log of a training batch: a dict of sums, divided by the same normaliser."""
        return {}

    @abc.abstractmethod
    def evaluator(self, info):
        """A `training.evaluators.evaluator.Evaluator` for the data that `info` describes."""

    def for_evaluation(self):
        """The task as `training.evaluate` judges a trained model by it; by default itself.

        Another one may take longer than an epoch's end can afford, on one device alone.
        """
        return self

    def for_users(self, model, info):
        """The trained model as it is saved: it takes what its users have.

        Args:
            model: the trained model, as `build_model` made it.
            info: of the source.

        Returns:
            A `keras.Model`; by default `model`.
        """
        return model

    @abc.abstractmethod
    def export(self, model, info, folder):
        """Writes what a finished run leaves: `model.keras` and `saved_model/1`.

        What is there already is left as it is.

        Args:
            model: the trained model, as `build_model` made it.
            info: of the source.
            folder: the run's folder, a `Path`.

        Returns:
            The model that was saved.
        """

    def draw(self, model, source, folder, **options):
        """Shows what a trained model makes of data: prints tables, writes plots.

        Args:
            model: as `build_model` made it.
            source: a `training.data.sources.source.Source`.
            folder: where the plots go, a `Path`.
            **options: of `training.data.inputs.eval_batches`.
        """
        return  # to be overridden where there is something to see

    def finish(self, run):
        """What this task shows at the end of a run.

        Args:
            run: a `training.runs.run.Finished`.

        Returns:
            Values to add to the report, a dict.
        """
        return {}

    def of_data(self, inputs=None):
        """What the settings come to that a recipe leaves to the data, for a dry run.

        Args:
            inputs: `training.data.inputs.Inputs`, None where the data is not there.

        Returns:
            A dict of texts by dotted name.
        """
        return {}

    def describe(self, info):
        """A few words about the data for a dry run, such as their number of kinds."""
        return ""

    def shown(self, metrics):
        """The metrics of a dict in words."""
        return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())

    def next_step(self, folder):
        """A line that says what to do with a finished run, or ""."""
        return ""


def rows_of_nest(nest):
    """How many rows a nest of tensors has: an int where that is static, else a scalar tensor."""
    first = tf.nest.flatten(nest)[0]
    return first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]
