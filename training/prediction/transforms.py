"""Predictions as transforms of Apache Beam: rows of images on any of its runners.

Needs the extra `[beam]`; the command is `training.prediction.beam`.
"""

import csv
import io

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from training.data.sources.folders import SUFFIXES
from training.prediction.folder import header, rows
from training.prediction.predictor import BATCH, Predictor


class Predict(beam.PTransform):
    """Rows of encoded images: pairs of a name and bytes to lists as `rows` of a folder.

    A worker loads the model once. Bytes that are no image give a row that is not valid.

    Args:
        model: what `Predictor` takes, at a path that every worker can read.
        batch: most images at a time.

    Example:

    >>> pipeline | beam.Create([("cat.jpg", data)]) | Predict("serving/regionvit/1")
    """

    def __init__(self, model, batch=BATCH):
        super().__init__()
        self.model, self.batch = str(model), batch

    def expand(self, images):
        """The rows of a collection of images."""
        return images | RunInference(_Handler(self.model, self.batch))


class ReadImages(beam.PTransform):
    """Pairs of a name and bytes for each image under a folder of any file system of Beam.

    Names are relative to the folder, with `/`. Broken links, which Beam does not list, have none.

    Args:
        folder: a path or an address such as `gs://bucket/photos`.

    Example:

    >>> pipeline | ReadImages("gs://bucket/photos") | Predict("serving/regionvit/1")
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder).rstrip("/") + "/"
        self.pattern = _literal(self.folder) + "**"

    def expand(self, begin):
        """The images."""
        return (
            begin
            | fileio.MatchFiles(self.pattern)
            | beam.Filter(lambda file: file.path.lower().endswith(SUFFIXES))
            | beam.Reshuffle()  # else one worker would read all that it has listed
            | fileio.ReadMatches(compression="uncompressed", skip_directories=True)
            | beam.Map(_name_and_bytes, folder=self.folder)
        )


class _Handler(ModelHandler):
    def __init__(self, model, batch):
        super().__init__(min_batch_size=min(batch, 8), max_batch_size=batch)
        self.model = model

    def load_model(self):
        return Predictor(self.model)

    def run_inference(self, batch, model, inference_args=None):
        return rows(model, batch)

    def get_num_bytes(self, batch):
        return sum(len(data) for _, data in batch)


def _literal(path):
    """A path as a pattern of Beam that means it and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _name_and_bytes(file, folder):
    try:
        return file.metadata.path.removeprefix(folder), file.read()
    except OSError:
        return file.metadata.path.removeprefix(folder), b""


def _line(row):
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def run(model, folder, output, options=None):
    """Writes the rows of all images under a folder.

    Args:
        model: what `Predictor` takes: a SavedModel, a `.keras` file or the folder of a run.
        folder: of images, of any file system of Beam.
        output: what the names of the CSV files begin with.
        options: Beam's, a list of words of its command line.

    Raises:
        ValueError: the model cannot be read, there is no file under the folder, `output` cannot
            be written, or Beam does not know an option.

    Example:

    >>> run("serving/regionvit/1", "photos", "rows", ["--direct_num_workers=4"])
    """
    beams = checked_options(options or [])
    columns = _line(header(Predictor(model)))  # the model is looked at before any work begins
    images = ReadImages(folder)
    if not FileSystems.match([images.pattern], limits=[1])[0].metadata_list:
        raise ValueError(f"--folder {folder} does not exist or has no files in it.")
    check_output(str(output))
    with beam.Pipeline(options=beams) as pipeline:
        _ = (
            pipeline
            | images
            | Predict(model)
            | beam.Map(_line)
            | beam.io.WriteToText(str(output), file_name_suffix=".csv", header=columns)
        )


def checked_options(words):
    """Beam's options of a command line; Beam itself only warns of words that it does not know.

    Raises:
        ValueError: there is such a word.
    """
    options = PipelineOptions(words, save_main_session=False)
    everything = options.get_all_options(drop_default=True, retain_unknown_options=True)
    unknown = set(everything) - set(options.get_all_options(drop_default=True))
    if unknown:
        raise ValueError(f"--{min(unknown)} is known neither here nor to Beam; see --help.")
    return options


def check_output(output):
    """That files beginning with `output` can be written, before the work begins.

    Raises:
        ValueError: they cannot.
    """
    probe, (folder, _) = f"{output}.probe", FileSystems.split(output)
    try:
        if folder and not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        FileSystems.create(probe).close()
        FileSystems.delete([probe])
    except OSError as error:
        raise ValueError(f"--output {output} cannot be written: {error}") from None
