"""A model comes over the network: from a catalogue's entry to a version in the store, or nothing at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from edged import app, pulling
from edged.core.errors import ModelError, RunError
from edged.keeping import Keeper
from edged.modelstore import bundled, catalogue
from tests.daemon import command, environment
from tests.test_layers import FILES as FILES_OF_EDGED
from tests.test_layers import imports, module_name

SHAPES = bundled() / "shapes-int8"
FILES = {str(path.relative_to(SHAPES)): path.read_bytes() for path in SHAPES.rglob("*") if path.is_file()}


@pytest.fixture
def server(https_server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(https_server.ca_file))
    https_server.answer = lambda ask: ask.file(FILES[ask.path[1:]])
    return https_server


def entry(url: str, path: Path, **sizes: int) -> catalogue.Entry:
    """A catalogue's entry for the tiny model as a whole package."""
    lines = ["schema = 1", "[[model]]", 'name = "shapes-int8"', 'version = "1.0.0"']
    lines += [f'{key} = "x"' for key in ("summary", "licence", "source")]
    for name, content in FILES.items():
        size = sizes.get(Path(name).stem, len(content))
        lines += [f'[model.files."{name}"]', f'urls = ["{url}/{name}"]', f"size_bytes = {size}"]
        lines += [f'sha256 = "{hashlib.sha256(content).hexdigest()}"']
    path.write_text("\n".join(lines))
    return catalogue.load(path).entry("shapes-int8")


@pytest.fixture
def keeper(tmp_path):
    return Keeper(None, tmp_path / "state")


def left(keeper):
    return sorted(path.name for path in (keeper.store / pulling.FOLDER).iterdir())


def test_a_package_comes_and_is_installed(tmp_path, server, keeper):
    seen = []
    folder = pulling.pull(keeper, entry(server.url, tmp_path / "c"), lambda *words: seen.append(words))
    assert folder == keeper.store / "shapes-int8@1.0.0"
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert left(keeper) == []
    assert {name: (have, size) for name, have, size in seen} == {
        name: (len(content), len(content)) for name, content in FILES.items()
    }
    assert app.open_model("shapes-int8@1.0.0", 1, keeper.store.parent)[0].folder == folder


def test_a_bare_model_gets_the_manifest_of_the_catalogue(tmp_path, server, keeper):
    model = FILES["model.tflite"]
    labels = json.dumps(FILES["labels.txt"].decode().split())
    (tmp_path / "c").write_text(
        f"""
schema = 1
[[model]]
name = "drawn"
version = "3.0.0"
summary = "x"
licence = "Apache-2.0"
source = "x"
labels = {labels}
[model.files."model.tflite"]
urls = ["{server.url}/model.tflite"]
sha256 = "{hashlib.sha256(model).hexdigest()}"
size_bytes = {len(model)}
[model.input]
color = "rgb"
fit = "stretch"
mean = [127.0]
std = [128.0]
[model.output]
activation = "softmax"
"""
    )
    pulling.pull(keeper, catalogue.load(tmp_path / "c").entry("drawn"))
    assert keeper.use("drawn").version == "3.0.0"


def test_a_download_that_broke_off_goes_on_next_time(tmp_path, server, keeper):
    one = entry(server.url, tmp_path / "c")
    server.answer = lambda ask: ask.send_error(503) if ask.path == "/model.tflite" else ask.file(FILES[ask.path[1:]])
    with pytest.raises(RunError, match="answered 503"):
        pulling.pull(keeper, one)
    assert not (keeper.store / "shapes-int8@1.0.0").exists()
    came = len(left(keeper))
    server.asked.clear()
    server.answer = lambda ask: ask.file(FILES[ask.path[1:]])
    pulling.pull(keeper, one)
    assert len(server.asked) == len(FILES) - came
    assert left(keeper) == []


def test_what_is_left_of_another_download_goes(tmp_path, server, keeper):
    server.answer = lambda ask: ask.file(FILES[ask.path[1:]], most=10)
    with pytest.raises(RunError):
        pulling.pull(keeper, entry(server.url, tmp_path / "c"))
    assert left(keeper)
    (keeper.store / pulling.FOLDER / ("0" * 64 + ".part")).write_bytes(b"old")
    server.answer = lambda ask: ask.file(FILES[ask.path[1:]])
    pulling.pull(keeper, entry(server.url, tmp_path / "c"))
    assert left(keeper) == []


def test_what_the_store_has_is_not_fetched_again(tmp_path, server, keeper):
    one = entry(server.url, tmp_path / "c")
    pulling.pull(keeper, one)
    server.asked.clear()
    seen = []
    pulling.pull(keeper, one, lambda *words: seen.append(words))
    # The manifest may have a signature beside it by now, and neither of them is kept by its hash.
    assert [path for path, _ in server.asked] == ["/model.toml"]
    assert {name for name, have, size in seen if have == size} == set(FILES)
    # A damaged one is none, and is mended.
    path = keeper.store / "shapes-int8@1.0.0" / "model.tflite"
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    server.asked.clear()
    folder = pulling.pull(keeper, one)
    assert {path for path, _ in server.asked} == {"/model.toml", "/model.tflite"}
    assert (folder / "model.tflite").read_bytes() == FILES["model.tflite"]
    assert left(keeper) == []


def test_a_catalogue_with_a_wrong_size_does_not_reach_what_the_store_has(tmp_path, server, keeper):
    folder = pulling.pull(keeper, entry(server.url, tmp_path / "c"))
    wrong = entry(server.url, tmp_path / "c", model=len(FILES["model.tflite"]) + 1)
    with pytest.raises(RunError, match="broke off"):
        pulling.pull(keeper, wrong)
    assert (folder / "model.tflite").read_bytes() == FILES["model.tflite"]


def test_a_link_in_the_place_of_what_is_left_goes_and_what_it_leads_to_stays(tmp_path, server, keeper):
    """The store belongs to the service's user, and root pulls."""
    victim, new, inside = tmp_path / "victim", tmp_path / "new", tmp_path / "folder"
    victim.write_bytes(b"root's own")
    inside.mkdir()
    (inside / "kept").touch()
    one = entry(server.url, tmp_path / "c")
    folder = keeper.store / pulling.FOLDER
    folder.mkdir(parents=True)
    (folder / f"{one.files['model.tflite'].sha256}.part").symlink_to(victim)
    (folder / f"{one.files['labels.txt'].sha256}.part").symlink_to(new)
    (folder / one.name).symlink_to(inside)
    installed = pulling.pull(keeper, one)
    assert victim.read_bytes() == b"root's own"
    assert not new.exists()
    assert [path.name for path in inside.iterdir()] == ["kept"]
    assert not [path for path in keeper.store.rglob("*") if path.is_symlink()]
    assert {name: (installed / name).read_bytes() for name in FILES} == FILES


def test_a_disk_that_gives_trouble_is_one_sentence(tmp_path, server, keeper):
    def answer(ask):
        (keeper.store / pulling.FOLDER / "shapes-int8" / ask.path[1:]).touch()  # as somebody else may
        ask.file(FILES[ask.path[1:]])

    server.answer = answer
    with pytest.raises(RunError, match=r"shapes-int8/\S+: cannot be written \(File exists\); is there room\?"):
        pulling.pull(keeper, entry(server.url, tmp_path / "c"))


def test_the_wrong_bytes_are_neither_installed_nor_kept(tmp_path, server, keeper):
    server.answer = lambda ask: ask.file(bytes(len(FILES[ask.path[1:]])))
    with pytest.raises(RunError, match="its sha256 is"):
        pulling.pull(keeper, entry(server.url, tmp_path / "c"))
    assert left(keeper) == []
    assert not (keeper.store / "shapes-int8@1.0.0").exists()


def test_no_room_is_told_before_anything_is_asked(tmp_path, server, keeper):
    one = entry(server.url, tmp_path / "c")
    huge = {name: file.model_copy(update={"size_bytes": 1 << 60}) for name, file in one.files.items()}
    with pytest.raises(RunError, match=r"has room for .* MB, and shapes-int8 needs .* MB"):
        pulling.pull(keeper, one.model_copy(update={"files": huge}))
    assert server.asked == []


def test_two_at_once_do_not_meet(tmp_path, server, keeper):
    one = entry(server.url, tmp_path / "c")
    errors = []

    def answer(ask):
        if not errors:
            try:
                pulling.pull(keeper, one)
            except RunError as error:
                errors.append(str(error))
        ask.file(FILES[ask.path[1:]])

    server.answer = answer
    pulling.pull(keeper, one)
    assert ["another `edged model pull` is at work" in error for error in errors] == [True]


def test_a_package_whose_manifest_names_another_model_is_refused(tmp_path, server, keeper):
    one = entry(server.url, tmp_path / "c").model_copy(update={"name": "other"})
    with pytest.raises(ModelError, match=r"its manifest says shapes-int8 1\.0\.0, and the catalogue other 1\.0\.0"):
        pulling.pull(keeper, one)
    assert not (keeper.store / "shapes-int8@1.0.0").exists()


def test_the_command(tmp_path, server):
    entry(server.url, tmp_path / "c")

    def run(*words):
        return subprocess.run(
            command("model", "pull", "--catalogue", tmp_path / "c", *words),
            env=environment(tmp_path / "state"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = run()
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"shapes-int8 1.0.0 ({size()} MB, x)")
    done = run("shapes-int8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("installed shapes-int8@1.0.0; use it with: ")
    done = run("shapes-int8")
    assert (done.returncode, done.stdout) == (0, "shapes-int8@1.0.0 was there already, the same\n")
    server.answer = lambda ask: ask.redirect("http://127.0.0.1/")
    done = run("shapes-int8")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "which is not https" in done.stderr
    done = run("none")
    assert done.returncode == 78


def test_no_other_command_has_a_way_to_a_download():
    """The daemon, too, begins in `edged.cli`: what leads to the network but to camera and broker is `pull` alone."""
    importers = {module: set() for module in ("edged.edges.https", "edged.pulling")}
    for path in FILES_OF_EDGED:
        for _, name in imports(path.read_text(encoding="utf-8"), module_name(path)):
            if name in importers:
                importers[name].add(module_name(path))
    assert importers == {"edged.edges.https": {"edged.pulling"}, "edged.pulling": {"edged.cli.model.pull"}}


def size() -> str:
    return f"{sum(map(len, FILES.values())) / 1e6:.1f}"
