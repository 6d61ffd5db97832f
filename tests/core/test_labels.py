"""Labels, groups and activations against the formulas in float64."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from edged.core.errors import ModelError
from edged.core.labels import Scorer, fit_model, members, nearest
from edged.core.types import InputSpec, ModelSpec, Quantization, TensorSpec
from tests.fakes import model, tensor

LABELS = tuple(f"label {n}" for n in range(6))
GROUPS = {"even": LABELS[::2], "all": LABELS, "one": LABELS[3:4]}

scales = st.one_of(
    st.floats(1e-6, 1e-2), st.floats(1e-2, 0.3137), st.floats(0.3138, 10.0), st.sampled_from([1 / 256, 80 / 255, 100.0])
)
eight_bit = st.sampled_from(["int8", "uint8"])


def raw_outputs(dtype: str) -> st.SearchStrategy[np.ndarray]:
    return st_np.arrays(np.dtype(dtype), len(LABELS))


def real(spec: ModelSpec, raw: np.ndarray) -> np.ndarray:
    """The formula, in float64."""
    values = raw.astype(np.float64)
    q = spec.output_tensor.quantization
    return values if q is None else (values - q.zero_point) * q.scale


def softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


@given(st.data(), eight_bit, scales, st.integers(-128, 255))
def test_softmax_of_an_eight_bit_tensor(data: st.DataObject, dtype: str, scale: float, zero_point: int) -> None:
    assume(np.iinfo(dtype).min <= zero_point <= np.iinfo(dtype).max)
    output = tensor((1, len(LABELS)), dtype, scale, zero_point)
    spec = model(LABELS, GROUPS, "softmax", output_tensor=output)
    raw = data.draw(raw_outputs(dtype))
    expected = softmax(real(spec, raw))
    scores = Scorer(spec, (*LABELS, *GROUPS)).scores(raw)
    assert scores.dtype == np.float32
    sums = [expected[[LABELS.index(name) for name in group]].sum() for group in GROUPS.values()]
    np.testing.assert_allclose(scores, [*expected, *sums], rtol=1e-4, atol=1e-7)
    assert scores.max() <= 1.0


@given(st_np.arrays(np.float32, len(LABELS), elements=st.floats(-1e4, 1e4, width=32)))
def test_softmax_of_a_float_tensor(raw: np.ndarray) -> None:
    spec = model(LABELS, GROUPS, "softmax", output_tensor=tensor((1, len(LABELS)), "float32"))
    expected = softmax(real(spec, raw))
    np.testing.assert_allclose(Scorer(spec, LABELS).scores(raw), expected, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("scale", [80 / 255, 80.1 / 255, 1.0, 1000.0])
def test_the_widest_logits_neither_overflow_nor_vanish(scale: float) -> None:
    spec = model(LABELS, activation="softmax", output_tensor=tensor((1, len(LABELS)), "int8", scale, 0))
    low = np.full(len(LABELS), -128, np.int8)
    np.testing.assert_allclose(Scorer(spec, LABELS).scores(low), 1 / len(LABELS), rtol=1e-5)
    one = low.copy()
    one[2] = 127
    np.testing.assert_allclose(Scorer(spec, LABELS).scores(one), np.eye(len(LABELS))[2], atol=1e-30)


@given(st.data(), eight_bit, scales, st.integers(0, 127))
def test_sigmoid(data: st.DataObject, dtype: str, scale: float, zero_point: int) -> None:
    output = tensor((1, len(LABELS)), dtype, scale, zero_point)
    spec = model(LABELS, GROUPS, "sigmoid", output_tensor=output)
    raw = data.draw(raw_outputs(dtype))
    expected = 1 / (1 + np.exp(-np.clip(real(spec, raw), -700, 700)))
    highest = [max(expected[LABELS.index(name)] for name in group) for group in GROUPS.values()]
    np.testing.assert_allclose(
        Scorer(spec, (*LABELS, *GROUPS)).scores(raw), [*expected, *highest], rtol=1e-5, atol=1e-7
    )


@given(st.data(), eight_bit, st.integers(0, 3))
def test_no_activation_is_the_dequantized_value_held_within_0_and_1(data: st.DataObject, dtype: str, off: int) -> None:
    zero_point = int(np.iinfo(dtype).min) + off
    output = tensor((1, len(LABELS)), dtype, 1 / 250, zero_point)
    spec = model(LABELS, GROUPS, "none", output_tensor=output)
    raw = data.draw(raw_outputs(dtype))
    expected = np.clip(real(spec, raw), 0, 1)
    highest = [max(expected[LABELS.index(name)] for name in group) for group in GROUPS.values()]
    np.testing.assert_allclose(Scorer(spec, (*LABELS, *GROUPS)).scores(raw), [*expected, *highest], rtol=1e-6)


def test_a_float_output_without_activation_is_taken_as_it_is() -> None:
    spec = model(LABELS, GROUPS, "none", output_tensor=tensor((1, len(LABELS)), "float32"))
    raw = np.array([0, 0.25, 0.5, 0.75, 1, 0.125], np.float32)
    np.testing.assert_array_equal(Scorer(spec, ("even", "one", *LABELS)).scores(raw), [1, 0.75, *raw])


def test_the_members_of_a_group_add_up_with_softmax_only() -> None:
    raw = np.array([50, 50, -128, -128, -128, -128], np.int8)
    pair = {"pair": LABELS[:2]}
    for activation, expected in (("softmax", 1.0), ("none", 178 / 256)):
        spec = model(
            LABELS, pair, activation, output_tensor=tensor((1, 6), "int8", 1 / 256 if activation == "none" else 1.0)
        )
        (score,) = Scorer(spec, ("pair",)).scores(raw)
        assert score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("activation", "bad"),
    # The sigmoid of infinity and e to minus infinity are numbers.
    [
        ("none", math.nan),
        ("none", math.inf),
        ("none", -math.inf),
        ("softmax", math.nan),
        ("softmax", math.inf),
        ("sigmoid", math.nan),
    ],
)
def test_what_is_no_number_is_a_damaged_model(activation: str, bad: float) -> None:
    spec = model(LABELS, activation=activation, output_tensor=tensor((1, len(LABELS)), "float32"))
    raw = np.array([0.1, 0.2, bad, 0.3, 0.1, 0.3], np.float32)
    with pytest.raises(ModelError, match="not a number"):
        Scorer(spec, LABELS).scores(raw)


def test_an_output_of_nothing_but_infinity_is_a_damaged_model() -> None:
    spec = model(LABELS, GROUPS, activation="softmax", output_tensor=tensor((1, len(LABELS)), "float32"))
    for raw in (np.full(6, -np.inf, np.float32), np.array([np.inf, -np.inf] * 3, np.float32)):
        with pytest.raises(ModelError, match="not a number"):
            Scorer(spec, ("all", *LABELS)).scores(raw)


def test_scores_are_borrowed_and_the_raw_output_is_left_alone() -> None:
    spec = model(LABELS, activation="softmax", output_tensor=tensor((1, len(LABELS)), "float32"))
    scorer = Scorer(spec, LABELS)
    raw = np.arange(6, dtype=np.float32)
    first = scorer.scores(raw)
    np.testing.assert_array_equal(raw, np.arange(6))
    assert scorer.scores(raw) is first


def test_the_same_label_may_be_wanted_twice_and_in_any_order() -> None:
    spec = model(LABELS, GROUPS, output_tensor=tensor((1, 6), "uint8", 1 / 255, 0))
    raw = np.array([0, 51, 102, 153, 204, 255], np.uint8)
    wanted = (LABELS[4], "one", LABELS[4], LABELS[0])
    np.testing.assert_allclose(Scorer(spec, wanted).scores(raw), [0.8, 0.6, 0.8, 0.0], rtol=1e-6)


def test_members_of_labels_and_groups() -> None:
    spec = model(LABELS, {**GROUPS, "label 5": LABELS[:2]})
    assert members(spec, "label 3") == (3,)
    assert members(spec, "even") == (0, 2, 4)
    assert members(spec, "label 5") == (0, 1)  # a group wins over a label of its name


class TestManyLabels:
    """Tens of thousands fit into a file of 448 bytes: what they take grows with them and not with their square."""

    LABELS = tuple(f"l{n}" for n in range(12_000))
    GROUPS: ClassVar = {"low": LABELS[:100], "last": LABELS[-1:]}

    def spec(self, activation: str) -> ModelSpec:
        output = tensor((1, len(self.LABELS)), "float32")
        return model(self.LABELS, self.GROUPS, activation, output_tensor=output)

    @pytest.mark.parametrize("activation", ["softmax", "none"])
    def test_the_scores_of_all(self, activation: str) -> None:
        spec, wanted = self.spec(activation), (*self.LABELS, *self.GROUPS)
        raw = np.linspace(0, 1, len(self.LABELS), dtype=np.float32)
        tracemalloc.start()
        scores = Scorer(spec, wanted).scores(raw)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 16 << 20  # the square of them is half a gigabyte
        each = softmax(raw.astype(np.float64)) if activation == "softmax" else raw
        low = each[:100].sum() if activation == "softmax" else each[99]
        np.testing.assert_allclose(scores, [*each, low, each[-1]], rtol=1e-4, atol=1e-9)

    def test_labels_are_not_looked_through_for_each(self) -> None:
        class Counted(str):
            __slots__ = ()
            compared = 0

            def __eq__(self, other: object) -> bool:
                Counted.compared += 1
                return str.__eq__(self, other)

            __hash__ = str.__hash__

        labels = tuple(map(Counted, self.LABELS[:2000]))
        wanted = self.LABELS[:2000][::-1]
        spec = replace(self.spec("softmax"), labels=labels, groups={})
        Scorer(spec, wanted)
        assert Counted.compared < 10 * len(labels)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("Cat", "nearest: cat"),
        ("tabby", "nearest: tabby cat"),
        ("egyptian", "nearest: Egyptian cat"),
        ("brid", "nearest: bird"),
        ("zzz", "its groups: bird, cat"),
    ],
)
def test_an_unknown_label_names_the_nearest(asked: str, hint: str) -> None:
    labels = ("tabby cat", "Egyptian cat", "collie", "robin")
    spec = model(labels, {"cat": labels[:2], "bird": labels[3:]})
    with pytest.raises(KeyError) as caught:
        Scorer(spec, ("robin", asked))
    assert caught.value.args[0].startswith(f"model toy has no label {asked!r}; {hint}")
    assert nearest(spec, asked).startswith(hint)


def test_a_model_without_groups_says_so() -> None:
    assert nearest(model(), "xyzzy") == "its groups: none"


class TestFitModel:
    """Refusals, one by one. Each says what was expected and what was found."""

    def fit(self, **changes: object) -> ModelSpec:
        values: dict[str, object] = {
            "name": "toy",
            "version": "1",
            "sha256": "00",
            "labels": ("background", "cat", "dog"),
            "groups": {"pet": ("cat", "dog")},
            "input_spec": InputSpec("rgb", "stretch", (127.5,), (127.5,)),
            "activation": "softmax",
            "background": 0,
            "input_tensor": tensor((1, 224, 192, 3)),
            "output_tensor": tensor((1, 3)),
        }
        return fit_model(**{**values, **changes})  # type: ignore[arg-type]

    def test_what_fits(self) -> None:
        spec = self.fit()
        assert spec.input_size == (192, 224)
        assert spec.background == 0
        assert self.fit(output_tensor=tensor((1, 1, 1, 3)), background=None).background is None
        grey = InputSpec("grey", "stretch", (0.0,), (255.0,))
        assert self.fit(input_spec=grey, input_tensor=tensor((1, 8, 8, 1), "float32")).input.color == "grey"

    @pytest.mark.parametrize(
        "shape", [(1, 224, 192, 1), (1, 3, 224, 224), (2, 224, 224, 3), (224, 224, 3), (1, 0, 0, 3), (1, 150528)]
    )
    def test_the_shape_of_the_input(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            ModelError, match=r"model toy: expected an input of shape \(1, height, width, 3\)"
        ) as caught:
            self.fit(input_tensor=tensor(shape))
        assert str(shape) in str(caught.value)

    def test_the_channels_of_a_grey_input(self) -> None:
        with pytest.raises(ModelError, match=r"width, 1\) for color = 'grey'"):
            self.fit(input_spec=InputSpec("grey", "stretch", (0.0,), (1.0,)))

    @pytest.mark.parametrize("key", ["mean", "std"])
    def test_the_count_of_means_and_stds(self, key: str) -> None:
        values = {"mean": (1.0,), "std": (1.0,), key: (1.0, 2.0)}
        with pytest.raises(ModelError, match=f"{key} has 2 values, expected 1 or 3"):
            self.fit(input_spec=InputSpec("rgb", "stretch", **values))

    @pytest.mark.parametrize("which", ["input", "output"])
    def test_the_dtype(self, which: str) -> None:
        shape = (1, 8, 8, 3) if which == "input" else (1, 3)
        with pytest.raises(ModelError, match=f"expected an int8, uint8 or float32 {which}, found int16"):
            self.fit(**{f"{which}_tensor": tensor(shape, "int16")})

    @pytest.mark.parametrize("which", ["input", "output"])
    def test_a_quantized_tensor_without_a_scale(self, which: str) -> None:
        shape = (1, 8, 8, 3) if which == "input" else (1, 3)
        with pytest.raises(ModelError, match=f"its int8 {which} has no scale"):
            self.fit(**{f"{which}_tensor": TensorSpec(shape, "int8", None)})

    @pytest.mark.parametrize("which", ["input", "output"])
    @pytest.mark.parametrize("scale", [math.nan, math.inf, -1.0, 1e-30, 1e30])
    def test_a_scale_that_makes_no_sense(self, which: str, scale: float) -> None:
        shape = (1, 8, 8, 3) if which == "input" else (1, 3)
        with pytest.raises(ModelError, match=f"expected a scale of its {which} from 1e-12 to "):
            self.fit(**{f"{which}_tensor": TensorSpec(shape, "int8", Quantization(scale, 0))})

    def test_the_count_of_labels(self) -> None:
        with pytest.raises(ModelError, match=r"output has 4 classes and labels\.txt has 3 lines"):
            self.fit(output_tensor=tensor((1, 4)))

    @pytest.mark.parametrize("index", [-1, 3])
    def test_the_background(self, index: int) -> None:
        with pytest.raises(ModelError, match=f"background = {index} is no index of its 3 labels"):
            self.fit(background=index)

    def test_a_group_of_labels_that_are_not_there(self) -> None:
        with pytest.raises(ModelError, match=r"group pet names 'fox', which labels\.txt lacks"):
            self.fit(groups={"pet": ("cat", "fox")})
