"""The network behind shapes-int8 and its training: pictures in, a float network out.

Law: torch and the drawing only; conversion, quantization and files are in `shapes_model.py`.
"""

from __future__ import annotations

import cv2
import numpy as np
import shapes
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE_PX = 48
"""The network's input is SIDE_PX square."""

_SCENE_SIZES = ((48, 48), (64, 48), (96, 96), (160, 120), (160, 90), (128, 96))
"""(width, height) of the drawn scenes: camera aspects among them, since the model's input is a stretched frame."""


class ShapesNetwork(nn.Module):
    """Five small convolutions, an average and one dense layer; about 0.4 M multiplications a picture.

    Strided layers meet odd sizes (or, the first, no border at all), so that the converter needs no separate padding
    operation: 48 -> 23 -> 11 -> 11 -> 6 -> 6.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(3, 8, stride=2, padding=0),
            *_separable(8, 16, stride=2, padding=0),
            *_separable(16, 32, stride=1, padding=1),
            *_separable(32, 48, stride=2, padding=1),
            *_separable(48, 64, stride=1, padding=1),
        )
        self.head = nn.Linear(64, len(shapes.LABELS))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (batch, labels) of float pictures (batch, 3, SIDE_PX, SIDE_PX), rgb, (pixel - 127) / 128."""
        # the mean of an NHWC picture: for NCHW the converter adds a transpose, and XNNPACK takes no int8 average pool
        features = self.features(pictures).permute(0, 2, 3, 1).mean(dim=(1, 2))
        logits: Tensor = self.head(features)
        return logits


class NhwcNetwork(nn.Module):
    """The same with the layout of the deployed model: (1, SIDE_PX, SIDE_PX, 3)."""

    def __init__(self, network: ShapesNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(pictures.permute(0, 3, 1, 2))
        return logits


def _convolution(
    inputs: int, outputs: int, *, stride: int, padding: int, size: int = 3, groups: int = 1
) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU6()]


def _separable(inputs: int, outputs: int, *, stride: int, padding: int) -> list[nn.Module]:
    """A convolution for each channel, then one across channels: an eighth of the work of a full one."""
    return [
        *_convolution(inputs, inputs, stride=stride, padding=padding, groups=inputs),
        *_convolution(inputs, outputs, stride=1, padding=0, size=1),
    ]


def drawn(count: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draws pictures of all labels in turn: rgb (count, SIDE_PX, SIDE_PX, 3), uint8, and label indices (count,)."""
    pictures = np.empty((count, SIDE_PX, SIDE_PX, 3), np.uint8)
    truth = np.arange(count, dtype=np.int64) % len(shapes.LABELS)
    for picture, label in zip(pictures, truth, strict=True):
        scene = shapes.draw(shapes.LABELS[label], _SCENE_SIZES[rng.integers(len(_SCENE_SIZES))], rng)
        way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_AREA
        picture[:] = cv2.resize(scene, (SIDE_PX, SIDE_PX), interpolation=way)[:, :, ::-1]
    return pictures, truth


def real_values(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network sees of 8-bit pixels: (pixel - 127) / 128."""
    return (pictures.astype(np.float32) - np.float32(127.0)) / np.float32(128.0)


def train(
    pictures: NDArray[np.uint8], truth: NDArray[np.int64], *, epochs: int, rng: np.random.Generator
) -> ShapesNetwork:
    """Trains on drawn pictures, each shown mirrored, transposed, inverted and with its colours swapped at random.

    None of these changes which shape it is, so a few ten thousand drawn pictures serve as many more.
    """
    network = ShapesNetwork()
    batch = 256
    steps = len(pictures) // batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * steps)
    # without smoothing the largest logits grow so far that an eighth bit of them is a third of a unit
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.01)
    network.train()
    for epoch in range(epochs):
        losses = []
        for rows in np.array_split(rng.permutation(len(pictures))[: steps * batch], steps):
            shown = np.ascontiguousarray(_varied(pictures[rows], rng).transpose(0, 3, 1, 2))
            loss = loss_of(network(torch.from_numpy(real_values(shown))), torch.from_numpy(truth[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.4f}", flush=True)
    return network.eval()


def _varied(pictures: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One variation for the whole batch: mirror, transpose, order of the colour channels, negative."""
    if rng.random() < 0.5:
        pictures = pictures[:, ::-1]
    if rng.random() < 0.5:
        pictures = pictures[:, :, ::-1]
    if rng.random() < 0.5:
        pictures = pictures.transpose(0, 2, 1, 3)
    if rng.random() < 0.5:
        pictures = np.uint8(255) - pictures
    return pictures[..., rng.permutation(3)]
