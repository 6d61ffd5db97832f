"""What a file says of itself, whole, damaged and hostile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.adoption.flatbuffer import Damaged, Table
from edged.adoption.graph import Graph
from edged.adoption.metadata import Metadata
from edged.core.errors import ModelError
from edged.edges.tflite import Interpreter
from edged.modelstore import bundled
from tests.tflite_detector import Detector
from tests.tflite_files import CUSTOM, FULLY_CONNECTED, Classifier, File
from tests.tflite_metadata import Flat, metadata


def read(content: bytes) -> Graph:
    return Graph.read(memoryview(content), "m.tflite")


@pytest.mark.parametrize("name", ["efficientnet-lite0-int8", "shapes-int8"])
def test_it_says_what_the_runtime_says(name):
    path = bundled() / name / "model.tflite"
    graph, interpreter = read(path.read_bytes()), Interpreter(path, 1)
    assert [one.spec for one in graph.inputs] == [interpreter.input]
    assert [one.spec for one in graph.outputs] == list(interpreter.outputs)
    assert set(graph.endings) <= {"#9", "#40"}  # a fully connected layer; the mean that is the embedding
    assert graph.custom == ()


@pytest.mark.parametrize(
    "made",
    [Classifier(), Classifier("int8", (0.5, 3), output_dtype="int8", output_quantization=(0.25, -7)), Detector()],
)
def test_toys_too(tmp_path, made):
    path = tmp_path / "m.tflite"
    path.write_bytes(made.content())
    graph, interpreter = read(path.read_bytes()), Interpreter(path, 1)
    assert [one.spec for one in (*graph.inputs, *graph.outputs)] == [interpreter.input, *interpreter.outputs]


def test_what_only_shapes_or_quantizes_is_looked_through():
    quantized = Classifier(output_dtype="int8", output_quantization=(1 / 256, -128))
    assert read(quantized.content()).endings == ("SOFTMAX",)
    assert read(Classifier(ending="logits").content()).endings == (f"#{FULLY_CONNECTED}",)
    assert read(Classifier("float32", None, scaled=2.0).content()).beginning == "MUL"


def test_a_softmax_that_is_written_out_is_one():
    file = File()
    source, values, exponentials, total, scores = (file.tensor((1, 3)) for _ in range(5))
    file.step(47, [values], [exponentials])
    file.step(74, [exponentials], [total])
    file.step(42, [exponentials, total], [scores])
    file.step(0, [source, source], [values])
    assert read(file.content([source], [scores])).endings == ("SOFTMAX",)


def test_the_order_of_a_detector_is_that_of_its_operation():
    graph = read(Detector(order=("scores", "count", "boxes", "classes")).content())
    assert (graph.detections, graph.columns) == ((2, 3, 0, 1), 4)
    hidden = Detector(
        hidden=True, signature={"boxes": "output_3", "classes": "output_2", "scores": "output_1", "count": "output_0"}
    )
    graph = read(hidden.content())
    assert (graph.detections, graph.columns) == (None, 4)
    assert graph.signature == {"output_3": 0, "output_2": 1, "output_1": 2, "output_0": 3}


def test_metadata_say_what_was_written():
    told = Metadata.read(
        read(Classifier(metadata=metadata([1, 2, 3], [4, 5, 6], "l.txt", 2, "MIT\n\nlong")).content()).metadata
    )
    assert (told.mean, told.std, told.color, told.licence) == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "grey", "MIT")
    assert (told.outputs, told.label_files) == (("probability",), ((0, "l.txt"),))
    assert Metadata.read(b"") == Metadata() == Metadata.read(metadata()[:9])
    assert Metadata.read(metadata([1.0], [0.0])).mean == ()
    assert Metadata.read(metadata([float("nan")], [1.0])).mean == ()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_model_is_damaged(share):
    content = Classifier().content()
    with pytest.raises(ModelError, match=r"m\.tflite: is damaged"):
        read(content[: int(len(content) * share)])


@pytest.fixture(scope="module")
def whole() -> bytes:
    return Classifier(metadata=metadata([1], [2], "l.txt", 1)).content()


@given(st.data())
def test_whatever_is_changed_in_a_model_ends_in_a_graph_or_one_sentence(whole, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 4))
        content[at : at + 4] = data.draw(
            st.sampled_from([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x04\x00\x00\x00"])
        )
    try:
        Metadata.read(read(bytes(content)).metadata)
    except ModelError as error:
        said = str(error)
    else:
        said = "a graph"
    assert len(said.splitlines()) == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_no_metadata(content):
    assert isinstance(Metadata.read(b"\x08\x00\x00\x00M001" + content), Metadata)


def test_a_file_in_which_everything_is_the_same_long_list_comes_to_an_end():
    """A list of 60,000 tables that are all one, whose list has 60,000 entries: a small file, and 3.6 billion values."""
    flat = Flat()
    many = 60_000
    inner = flat.table((0, flat.floats([0.0] * many)))
    flat.builder.Finish(flat.table((0, flat.tables(*[inner] * many))))
    tables = Table.root(memoryview(bytes(flat.builder.Output()))).tables(0)
    with pytest.raises(Damaged, match="no end"):
        [one.numbers(0, "f") for one in tables]


def test_another_operation_is_told_by_its_name():
    file = File()
    source, scores = file.tensor((1, 8, 8, 3)), file.tensor((1, 3))
    file.step(CUSTOM, [source], [scores], custom="FlexErf")
    assert read(file.content([source], [scores])).custom == ("FlexErf",)


def test_quantization_by_channel_is_none_of_a_whole_tensor():
    file = File()
    source, scores = file.tensor((1, 8, 8, 3), "int8", (0.5, 0)), file.tensor((1, 3))
    told = file.graph.tensors[source].quantization
    told.scale, told.zeroPoint = [0.5, 0.25, 0.5], [0, 0, 0]
    assert read(file.content([source], [scores])).inputs[0].spec.quantization is None
    assert np.dtype("int8").name == read(file.content([source], [scores])).inputs[0].spec.dtype
