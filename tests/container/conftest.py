"""The image that all tests here share.

scripts/test-container alone runs these tests: it builds the image and says where it is. Without it they are not
collected, since a first build downloads Debian.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.image import Container, Image

if "EDGED_CONTAINERS" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def image() -> Image:
    """What scripts/build-container made."""
    return Image(Path(os.environ["EDGED_CONTAINERS"]), "localhost/edged")


@pytest.fixture(scope="session")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container of it, with a folder for the configuration and one for the state."""
    with Container(image, tmp_path_factory.mktemp("etc"), tmp_path_factory.mktemp("state")) as container:
        yield container
