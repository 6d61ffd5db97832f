"""From what is known of a bare model to a manifest and its labels, with every assumption in words.

Law: plain values in, plain values out; what cannot be known is asked, all of it at once.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from edged.adoption import pixels, scores
from edged.adoption.archive import Brought
from edged.adoption.assumptions import Assumption, Options, Question, Unanswered
from edged.adoption.graph import Graph
from edged.adoption.labelfile import LabelFile, Labels, for_classifier, for_detector
from edged.adoption.metadata import Metadata
from edged.core.detections import Detections, check_outputs
from edged.core.errors import ModelError
from edged.modelstore.manifest import InputTable, OutputTable

GENERIC = frozenset(
    {"model", "model-unquant", "model-quant", "trained", "converted-tflite", "converted-tflite-quantized"}
)
MAX_NAME = 64


@dataclass(frozen=True)
class Proposal:
    """A model as it will be installed, apart from its version, which depends on what is there.

    Attributes:
        assumptions: in the order in which a person reads them.
    """

    name: str
    task: str
    licence: str
    source: str
    labels: tuple[str, ...]
    input: InputTable
    output: OutputTable
    assumptions: tuple[Assumption, ...]


def propose(brought: Brought, graph: Graph, options: Options) -> Proposal:
    """What a model is taken for.

    Raises:
        Unanswered: something has to be asked.
        ModelError: it cannot be used; one sentence.
    """
    place = brought.place
    _check_operations(graph, place)
    pixels.check_input(graph, place)
    metadata = Metadata.read(graph.metadata)
    try:
        detector = scores.detections(graph, metadata, options)
    except ModelError as error:
        raise ModelError(f"{place}: {error}") from None
    table, said, questions = pixels.input_table(graph, metadata, brought.kind, options, detects=detector is not None)
    name, named = _name(brought, options)
    if detector is not None:
        check_outputs(name, detector[0], [one.spec for one in graph.outputs])
    ending = _ending(brought, graph, metadata, options, detector)
    if ending.question is not None:
        questions = [ending.question, *questions]
    if table is None or ending.labels is None or questions:
        raise Unanswered(tuple(questions))
    licence, source, origins = _origins(brought, metadata, options)
    return Proposal(
        name=name,
        task="classify" if detector is None else "detect",
        licence=licence,
        source=source,
        labels=ending.labels.names,
        input=table,
        output=ending.output,
        assumptions=(named, *ending.assumptions, *said, *origins),
    )


@dataclass(frozen=True)
class _Ending:
    """The side of the outputs; `labels` are None where `question` is not."""

    labels: Labels | None
    output: OutputTable
    assumptions: list[Assumption]
    question: Question | None


def _ending(
    brought: Brought, graph: Graph, metadata: Metadata, options: Options, detector: tuple[Detections, Assumption] | None
) -> _Ending:
    def end(file: LabelFile | None) -> _Ending:
        if detector is not None:
            return _detector(detector, graph.columns, file, options)
        return _classifier(graph, file, options, brought.place)

    file = _said_labels(brought, metadata, options)
    if file is not None or brought.labels is None:
        return end(file)
    try:
        return end(LabelFile.parse(*brought.labels))
    except ModelError:
        if not brought.beside:
            raise
        return end(None)  # some other text, and not what the model's labels are in


def _detector(
    found: tuple[Detections, Assumption], columns: int | None, file: LabelFile | None, options: Options
) -> _Ending:
    outputs, told = found
    if options.background is not None or options.activation not in (None, "none"):
        raise ModelError("a detector has scores already and no background: leave out --activation and --background")
    table = OutputTable(
        activation="none",
        boxes=outputs.boxes,
        classes=outputs.classes,
        scores=outputs.scores,
        count=outputs.count,
    )
    if file is None:
        question = Question("labels", "the model is a detector and brings no labels, which are one a class", "--labels")
        return _Ending(None, table, [told], question)
    labels = for_detector(file, columns)
    return _Ending(labels, table, [_labels_told(file, labels), told], None)


def _classifier(graph: Graph, file: LabelFile | None, options: Options, place: str) -> _Ending:
    output = scores.scores_output(graph, None if file is None else len(file.names), place)
    classes = math.prod(graph.outputs[output].spec.shape)
    activation, activated = scores.activation(graph, output, options)
    said: list[Assumption] = []
    if len(graph.outputs) > 1:
        said.append(Assumption("output", f"{output} of {len(graph.outputs)}", "it has one score a label", "--labels"))
    if file is None:
        question = Question("labels", _no_labels(classes), "--labels FILE, or --label NAME for each")
        return _Ending(None, OutputTable(activation=activation), said, question)
    labels = for_classifier(file, classes, options.background)
    background = labels.background if options.background is None else options.background
    if background is not None and not 0 <= background < len(labels.names):
        raise ModelError(f"--background {background}: is no number of its {len(labels.names)} labels, from 0 on")
    table = OutputTable(activation=activation, background=background, scores=output or None)
    said = [_labels_told(file, labels), activated, *said]
    if background is not None:
        reason = "as you say" if options.background is not None else "its label says so"
        value = f"{background}, {labels.names[background]!r}"
        said.append(Assumption("background", value, reason, "--background"))
    return _Ending(labels, table, said, None)


def _no_labels(classes: int) -> str:
    if classes == 1:
        return "the model has one output and brings no label: what is there when its score is high"
    return f"the model has {classes} outputs and brings no labels"


def _labels_told(file: LabelFile, labels: Labels) -> Assumption:
    notes = "".join(f"; {note}" for note in labels.notes)
    shown = ", ".join(map(repr, labels.names[:3])) + (", …" if len(labels.names) > 3 else "")
    value = f"{len(labels.names)}: {shown}"
    return Assumption("labels", value, f"{file.place}{notes}", "--labels", told=not labels.guessed)


def _said_labels(brought: Brought, metadata: Metadata, options: Options) -> LabelFile | None:
    """What the person says, else what the model itself has."""
    if options.labels:
        for name in options.labels:
            if not name.strip() or not name.isprintable():
                raise ModelError(f"--label {name!r}: cannot be shown; expected the name of a class")
        return LabelFile(tuple(" ".join(one.split()) for one in options.labels), False, "--label")
    if options.labels_text is not None:
        return LabelFile.parse(options.labels_text, options.labels_place)
    for _, name in metadata.label_files:
        if name in brought.inner:
            return LabelFile.parse(brought.inner[name], f"{name} inside the model")
    return None


def _name(brought: Brought, options: Options) -> tuple[str, Assumption]:
    if options.name is not None:
        return options.name, Assumption("name", options.name, "as you say", "--name")
    name = slug(brought.stem)
    if name in GENERIC or not name:
        name = brought.kind if brought.kind in ("teachable-machine", "edge-impulse") else name or "model"
        return name, Assumption("name", name, "the file's own says nothing", "--name", told=False)
    return name, Assumption("name", name, "the file's", "--name")


def slug(text: str) -> str:
    """A model's name out of any text; "" where nothing of it can be used."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = plain.removesuffix(".tflite")  # of a name that ends so, [model] name could not tell a path
    return re.sub(r"[^a-z0-9.]+", "-", plain)[:MAX_NAME].strip("-.")


def _origins(brought: Brought, metadata: Metadata, options: Options) -> tuple[str, str, list[Assumption]]:
    licence = options.licence or metadata.licence or "unknown"
    by = f" by {metadata.author}" if metadata.author else ""
    source = options.source or f"added from {brought.place}{by}"
    source = "".join(letter if letter.isprintable() else "?" for letter in source)[-500:]
    reason = "as you say" if options.licence else "its metadata say so" if metadata.licence else "nothing says more"
    told = bool(options.licence or metadata.licence)
    return licence, source, [Assumption("licence", licence, reason, "--licence, --source", told)]


def _check_operations(graph: Graph, place: str) -> None:
    for name in graph.custom:
        if name.startswith("Flex"):
            raise ModelError(
                f"{place}: uses {name}, an operation of whole TensorFlow; convert the model again without SELECT_TF_OPS"
            )
        if "edgetpu" in name.lower():
            raise ModelError(
                f"{place}: is compiled for the Edge TPU; take the model from before that step (without _edgetpu)"
            )
