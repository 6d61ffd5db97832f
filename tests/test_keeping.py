"""The model commands without their printing: installed, tested on golden pictures, chosen, removed."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edged import app, trusted, usage
from edged.config import load as load_config
from edged.core.errors import ConfigError, ModelError, RunError
from edged.keeping import Keeper
from edged.modelstore import available, bundled, install, manifest, remembered, signature, trust
from edged.modelstore.installation import changing
from edged.modelstore.store import versions
from tests import model_folders
from tests.conftest import EMULATED
from tests.hostile import damage
from tests.scenes import flat, write_picture

DAMAGES = int(os.environ.get("EDGED_DAMAGES", "5" if EMULATED else "50"))
"""The long form has 2000."""

CONFIG = """
[camera]
source = "file:{picture}"
[model]
name = "shapes-int8"
trusted_keys = ["fleet:{key}"]
policy = "{policy}"
[[rule]]
label = "circle"
[mqtt]
host = "127.0.0.1"
"""


def shapes(folder: Path, version: str = "2.0.0", name: str = "shapes-int8", change=lambda told: None) -> Path:
    """A copy of the tiny model as another version; `change` may alter what its golden pictures promise."""
    shutil.copytree(bundled() / "shapes-int8", folder)
    path = folder / "golden" / "expected.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    manifest = (folder / "model.toml").read_text().splitlines()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [f'"golden/expected.json" = "{digest}"' if "expected.json" in line else line for line in manifest]
    text = "\n".join(lines) + "\n"
    text = text.replace('version = "1.0.0"', f'version = "{version}"').replace('"shapes-int8"', f'"{name}"', 1)
    (folder / "model.toml").write_text(text)
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def key(tmp_path):
    return tmp_path / "fleet.pem", signature.new_key(tmp_path / "fleet.pem")


@pytest.fixture
def config(tmp_path, key):
    def make(policy="require", top=""):
        write_picture(tmp_path / "a.png", flat(90))
        file = tmp_path / "edged.toml"
        file.write_text(top + CONFIG.format(picture=tmp_path / "a.png", key=key[1], policy=policy))
        return load_config(file)

    return make


def running(root, name="shapes-int8"):
    return app.open_model(name, 1, root)[0].version


def test_a_version_is_installed_chosen_and_taken_back(tmp_path, root):
    keeper = Keeper(None, root)
    for version in ("2.0.0", "3.0.0"):
        keeper.add(shapes(tmp_path / version, version))
    assert running(root) == "3.0.0"
    assert keeper.use("shapes-int8@2.0.0").version == "2.0.0"
    assert running(root) == "2.0.0"
    assert keeper.use("shapes-int8").version == "3.0.0"
    assert keeper.use("shapes-int8@1.0.0").version == "1.0.0"
    assert running(root) == "1.0.0"
    assert remembered.read(root / "models")["shapes-int8"].previous == "3.0.0"


def test_what_is_listed(tmp_path, root):
    keeper = Keeper(None, root)
    keeper.add(shapes(tmp_path / "a"))
    package, interpreter, _ = app.open_model("shapes-int8@2.0.0", 1, root)
    tested = next(one for one in keeper.listed() if one.version == "2.0.0").invoke_ms
    assert list(tested) == [1]
    assert tested[1] > 0
    assert not (root / "threads.json").exists()  # what the daemon's threads are chosen by is measured by itself
    app.choose_threads(package, interpreter, 1.0, app.StateFolder(root))
    (root / "models" / "broken").mkdir()
    (root / "models" / "broken" / "model.toml").write_text("schema = 9")
    listed = {(one.name, one.version): one for one in keeper.listed()}
    new, old = listed["shapes-int8", "2.0.0"], listed["shapes-int8", "1.0.0"]
    assert (new.active, old.active) == (True, False)
    assert new.size_bytes == sum(file.stat().st_size for file in package.folder.rglob("*") if file.is_file()) - sum(
        (package.folder / name).stat().st_size for name in ("model.toml",)
    )
    assert list(new.invoke_ms) == [1]
    (root / "threads.json").write_text(json.dumps({app.times_key(package.sha256): {"1": "fast", "2": 3}}))
    again = next(one for one in keeper.listed() if one.version == "2.0.0")
    assert again.invoke_ms == {**tested, 2: 3.0}
    assert (new.licence, new.signed_by, new.trouble) == (package.licence, None, None)
    assert "schema" in str(listed["broken", None].trouble)


def test_a_model_whose_scores_are_not_those_it_promises_is_refused(tmp_path, root):
    def lie(told):
        told["inputs"][1]["top"][0]["score"] = 0.1

    def wrong_label(told):
        told["inputs"][0]["top"][0]["label"] = "cat"

    def outside(told):
        told["inputs"][0]["file"] = "../labels.txt"

    def loose(told):
        told["tolerance"] = "x"

    for number, (change, fragment) in enumerate(
        [
            (lie, "failed its self-test: on circle.png it gives 'circle'"),
            (wrong_label, "names the label 'cat', which labels.txt lacks"),
            (outside, "is not among"),
            (loose, "expected inputs with a file"),
            (dict.clear, "expected inputs with a file"),
        ]
    ):
        with pytest.raises(ModelError, match=fragment):
            Keeper(None, root).add(shapes(tmp_path / str(number), change=change))
    assert not (root / "models").exists()


def test_a_model_that_was_damaged_in_the_store_is_not_chosen(tmp_path, root):
    keeper = Keeper(None, root)
    folder = keeper.add(shapes(tmp_path / "a"))
    (folder / "labels.txt").unlink()
    (folder / "labels.txt").write_text("a\nb\n")
    with pytest.raises(ModelError, match="its sha256 is"):
        keeper.use("shapes-int8@2.0.0")
    with pytest.raises(ModelError, match="its sha256 is"):
        keeper.verify("shapes-int8@2.0.0")
    assert remembered.read(root / "models") == {}


def test_under_require_only_signed_versions_run_and_none_goes_back(tmp_path, root, key, config):
    keeper = Keeper(config(), root)
    for version in ("2.0.0", "3.0.0"):
        folder = shapes(tmp_path / version, version)
        with pytest.raises(ModelError, match="is not signed"):
            keeper.add(folder)
        signature.sign_folder(folder, key[0])
        keeper.add(folder)
    assert keeper.use("shapes-int8").version == "3.0.0"
    assert keeper.verify("shapes-int8")[1] == "fleet"
    # It counts from when it has settled on: until then the one before must be allowed to come back.
    assert not (root / "models" / trust.LEDGER).exists()
    assert app.fit(config(), root).package.version == "3.0.0"
    keeper.trust.accept(root / "models" / "shapes-int8@3.0.0")
    remembered.write(root / "models", {})
    with pytest.raises(ModelError, match="is older than"):
        keeper.use("shapes-int8@2.0.0")
    assert app.fit(config(), root).package.version == "3.0.0"

    statement = tmp_path / "statement"
    told = keeper.verify(str(tmp_path / "3.0.0"))[0]
    assert told.version == "3.0.0"
    statement.write_bytes(trust.downgrade(manifest.read(tmp_path / "2.0.0"), "3.0.0", key[0]))
    assert keeper.use("shapes-int8@2.0.0", statement).version == "2.0.0"
    assert app.fit(config(), root).package.version == "2.0.0"


def settle(keeper, package):
    """What a daemon does when the version has stood its probation."""
    keeper.trust.accept(package.folder)


@pytest.fixture
def fleet(tmp_path, root, key):
    """Versions 1.5.0, 2.0.0 and 3.0.0, signed and in the store; 2.0.0 and then 3.0.0 were used under `require`."""

    def make(config):
        keeper = Keeper(config, root)
        for version in ("1.5.0", "2.0.0", "3.0.0"):
            signature.sign_folder(shapes(tmp_path / version, version), key[0])
            keeper.add(tmp_path / version)
        for version in ("2.0.0", "3.0.0"):
            settle(keeper, keeper.use(f"shapes-int8@{version}"))
        return keeper

    return make


def highest(root, key):
    return json.loads((root / "models" / trust.LEDGER).read_text())[key[1]]["shapes-int8"]


def downgrade(tmp_path, key, to, old):
    statement = tmp_path / f"{old}-to-{to}"
    statement.write_bytes(trust.downgrade(manifest.read(tmp_path / to), old, key[0]))
    return statement


@pytest.mark.parametrize("policy", ["warn", "require"])
@pytest.mark.parametrize("version", ["2.0.0", "3.0.0"])
def test_a_downgrade_that_is_none_is_refused_where_none_is_needed_too(
    tmp_path, root, key, config, fleet, policy, version
):
    keeper = fleet(config(policy))
    bad = tmp_path / "bad"
    bad.write_bytes(downgrade(tmp_path, key, version, "4.0.0").read_bytes().replace(b'from = "4', b'from = "3'))
    other = downgrade(tmp_path, key, "1.5.0", "3.0.0")
    theirs = signature.new_key(tmp_path / "theirs.pem") and downgrade(
        tmp_path, (tmp_path / "theirs.pem",), version, "4.0.0"
    )
    for statement, fragment in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path / version / "model.sig", "is no signed downgrade"),
        (bad, "was changed after it was signed"),
        (other, f"is for shapes-int8 from 3.0.0 to 1.5.0; needed is shapes-int8 from a newer version to {version}"),
        (theirs, "another key than the model"),
    ):
        with pytest.raises(ModelError, match=fragment):
            keeper.use(f"shapes-int8@{version}", statement)
    assert running(root) == "3.0.0"
    assert highest(root, key) == "3.0.0"


def test_a_downgrade_that_is_not_needed_lowers_nothing(tmp_path, root, key, config, fleet):
    """Else an old one, to a version before, would be good again."""
    keeper = fleet(config())
    assert keeper.use("shapes-int8@2.0.0", downgrade(tmp_path, key, "2.0.0", "3.0.0")).version == "2.0.0"
    assert highest(root, key) == "3.0.0"
    with pytest.raises(ModelError, match=r"needed is shapes-int8 from 3\.0\.0 to 1\.5\.0"):
        keeper.use("shapes-int8@1.5.0", downgrade(tmp_path, key, "1.5.0", "2.0.0"))


def test_a_downgrade_that_is_not_good_lowers_nothing_under_warn(tmp_path, root, key, config, fleet):
    keeper = fleet(config("warn"))
    assert keeper.use("shapes-int8@1.5.0", downgrade(tmp_path, key, "1.5.0", "2.0.0")).version == "1.5.0"
    assert highest(root, key) == "3.0.0"


def test_a_downgrade_can_be_given_twice(tmp_path, root, key, config, fleet):
    keeper = fleet(config())
    statement = downgrade(tmp_path, key, "1.5.0", "3.0.0")
    for _ in range(2):
        assert keeper.use("shapes-int8@1.5.0", statement).version == "1.5.0"
        assert highest(root, key) == "1.5.0"


def test_what_is_too_old_or_over_is_sound_all_the_same(tmp_path, root, key, config, fleet):
    """Bytes and signature are what `verify` is asked for: an old version in the store is no damaged board."""
    keeper = fleet(config())
    folder = shapes(tmp_path / "over", "4.0.0")
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace('task = "classify"', 'task = "classify"\nexpires = 2026-01-01'))
    signature.sign_folder(folder, key[0])
    keeper.add(folder)
    keeper.trust = replace(keeper.trust, today=datetime.date(2026, 11, 29))
    refused = {one.version: one.trouble for one in keeper.listed()}
    assert "is older than 3.0.0" in refused["1.5.0"]
    assert "expired on 2026-01-01" in refused["4.0.0"]
    for version in ("1.0.0", "1.5.0", "2.0.0", "3.0.0", "4.0.0"):
        package, signed_by = keeper.verify(f"shapes-int8@{version}")
        assert (package.version, signed_by) == (version, None if version == "1.0.0" else "fleet")
    assert keeper.verify("shapes-int8")[0].version == "3.0.0"
    assert keeper.verify(str(tmp_path / "1.5.0"))[0].version == "1.5.0"


def test_of_a_name_whose_versions_are_all_too_old_one_is_verified(tmp_path, root, key, config):
    keeper = Keeper(config(), root)
    for version in ("1.0.0", "2.0.0"):
        signature.sign_folder(shapes(tmp_path / version, version, name="mine"), key[0])
        keeper.add(tmp_path / version)
    settle(keeper, keeper.use("mine@2.0.0"))
    remembered.write(root / "models", {})
    keeper.remove("mine@2.0.0")
    with pytest.raises(ModelError, match=r"is older than 2\.0\.0"):
        keeper.use("mine@1.0.0")
    assert keeper.verify("mine")[0].version == "1.0.0"


def test_a_signature_that_is_not_good_is_not_sound_under_any_policy(tmp_path, root, key, config):
    signature.sign_folder(shapes(tmp_path / "a"), key[0])
    sound = (tmp_path / "a" / "model.toml").read_text()
    for policy in ("off", "warn", "require"):
        keeper = Keeper(config(policy), root)
        (tmp_path / "a" / "model.toml").write_text(sound)
        assert keeper.verify(str(tmp_path / "a"))[1] == "fleet"
        (tmp_path / "a" / "model.toml").write_text(sound + "\n")
        with pytest.raises(ModelError, match="was changed after it was signed"):
            keeper.verify(str(tmp_path / "a"))
    with pytest.raises(ModelError, match="is not signed"):
        Keeper(config(), root).verify(str(shapes(tmp_path / "b")))
    signature.sign_folder(tmp_path / "b", signature.new_key(tmp_path / "theirs.pem") and tmp_path / "theirs.pem")
    with pytest.raises(ModelError, match="a key that is none of"):
        Keeper(config(), root).verify(str(tmp_path / "b"))


@pytest.mark.parametrize("policy", ["off", "require"])
def test_a_model_that_is_not_signed_has_no_downgrade(tmp_path, root, key, config, policy):
    statement = tmp_path / "statement"
    statement.write_bytes(trust.downgrade(manifest.read(bundled() / "shapes-int8"), "2.0.0", key[0]))
    with pytest.raises(ModelError, match=r"shapes-int8 1\.0\.0 is not signed"):
        Keeper(config(policy), root).use("shapes-int8@1.0.0", statement)


def test_the_daemon_refuses_what_is_not_signed_and_what_expired(tmp_path, root, key, config):
    folder = Keeper(None, root).add(shapes(tmp_path / "a"))
    assert app.fit(config("off"), root).package.version == "2.0.0"
    # The model that ships is the newest that is allowed.
    assert app.fit(config(), root).package.version == "1.0.0"
    remembered.remember(root / "models", "shapes-int8", "2.0.0")
    fitted = app.fit(config(), root)
    assert (fitted.package.version, fitted.record.phase) == ("1.0.0", "refused"), "what ran before may go on"
    assert "is not signed" in fitted.record.reason
    (root / config().device.name / "activation.json").unlink()
    with pytest.raises(ConfigError, match=r"model\.name: .* is not signed"):
        app.fit(config(), root)
    signature.sign_folder(folder, key[0])
    assert app.fit(config(), root).package.version == "2.0.0"
    over = trusted.trust_of(config(), root)
    assert over.today is None or over.today >= datetime.date(2026, 1, 1)


def test_warn_warns(tmp_path, root, config, caplog):
    keeper = Keeper(config("warn"), root)
    keeper.add(shapes(tmp_path / "a"))
    keeper.use("shapes-int8")
    app.fit(config("warn"), root)
    assert caplog.text.count("shapes-int8 2.0.0 is not signed") == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_told(tmp_path, root):
    root.mkdir(mode=0o500)
    with pytest.raises(RunError, match="cannot be written"):
        Keeper(None, root).add(shapes(tmp_path / "a"))


def test_no_damaged_package_is_installed_and_each_is_one_sentence(tmp_path, root, key, config):
    keeper = Keeper(config(), root)
    good = shapes(tmp_path / "good")
    signature.sign_folder(good, key[0])
    chance = random.Random(20261129)
    for number in range(DAMAGES):
        folder = shutil.copytree(good, tmp_path / "bad")
        damage(folder, chance, spared=("LICENSE",))
        try:
            keeper.add(folder)
        except ModelError as error:
            assert "\n" not in str(error), number  # noqa: PT017 - what is installed all the same is judged below
        else:
            # White space in model.sig, or base64 that says the same: nothing that the signature holds has changed.
            assert (folder / "model.toml").read_bytes() == (good / "model.toml").read_bytes(), number
            assert signature.signer(folder) == key[1]
            Keeper(None, root).remove("shapes-int8")
        shutil.rmtree(folder)
    assert available([root / "models"]) == ()
    keeper.add(good)


def test_what_is_in_use_is_not_removed(tmp_path, root, config):
    keeper = Keeper(config("off"), root)
    for version in ("2.0.0", "3.0.0"):
        keeper.add(shapes(tmp_path / version, version))
    keeper.use("shapes-int8@2.0.0")
    with pytest.raises(ModelError, match="is in use"):
        keeper.remove("shapes-int8@2.0.0")
    assert [path.name for path in keeper.remove("shapes-int8@3.0.0")] == ["shapes-int8@3.0.0"]
    with pytest.raises(ModelError, match="is in use"):
        keeper.remove("shapes-int8")
    assert running(root) == "2.0.0"
    keeper.use("shapes-int8@1.0.0")
    assert [path.name for path in keeper.remove("shapes-int8")] == ["shapes-int8@2.0.0"]
    assert running(root) == "1.0.0"
    with pytest.raises(ModelError, match="was not installed by"):
        keeper.remove("shapes-int8")
    with pytest.raises(ModelError, match="there is no model 'none'"):
        keeper.remove("none")


@pytest.fixture
def board(tmp_path, root, config):
    """Three versions of `mine` in the store of a board, nobody has chosen one; and a function that adds a service."""
    etc = tmp_path / "etc"
    etc.mkdir()
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        Keeper(None, root).add(shapes(tmp_path / version, version, name="mine"))

    def service(file, name, policy="off", change=lambda text: text):
        text = config(policy).path.read_text().replace('"shapes-int8"', json.dumps(str(name)))
        (etc / file).write_text(change(text))
        return etc / file

    return service


@pytest.fixture
def remover(tmp_path, root, board):
    return lambda own=None: Keeper(own and load_config(own), root, tmp_path / "etc")


@pytest.mark.parametrize("file", ["edged.toml", "edged@garden.toml"])
@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("mine", "3.0.0"),
        ("mine@1.0.0", "1.0.0"),
        ("{store}/mine@2.0.0", "2.0.0"),
        ("{store}/mine@2.0.0/model.tflite", "2.0.0"),
    ],
)
def test_what_a_configuration_names_is_not_removed(root, board, remover, file, is_own, name, kept):
    name = name.format(store=root / "models")
    path = board(file, name)
    keeper = remover(path if is_own else None)
    for what in (f"mine@{kept}", "mine"):
        with pytest.raises(ModelError) as error:
            keeper.remove(what)
        assert str(error.value).startswith(f"model mine@{kept} is in use: [model] name = {name!r} of {path} stands for")
        assert "\n" not in str(error.value)
    assert len(available([root / "models"])) == 1
    others = sorted({"1.0.0", "2.0.0", "3.0.0"} - {kept})
    assert [path.name for other in others for path in keeper.remove(f"mine@{other}")] == [
        f"mine@{one}" for one in others
    ]
    path.unlink()
    assert [path.name for path in remover().remove("mine")] == [f"mine@{kept}"]


def test_every_configuration_counts_and_what_is_none_does_not(root, board, remover):
    board("edged@a.toml", "mine@1.0.0")
    board("edged@b.toml", "shapes-int8")
    board("edged@c.toml", "mine@9.9.9")
    board("edged.toml.bak", "mine@2.0.0")
    board("edged-old.toml", "mine@2.0.0")
    own = board("edged.toml", "mine")
    for version in ("1.0.0", "3.0.0"):
        with pytest.raises(ModelError, match="is in use"):
            remover(own).remove(f"mine@{version}")
    remover(own).remove("mine@2.0.0")


def test_installing_takes_out_no_old_version_that_a_configuration_names(
    tmp_path, root, board, remover, monkeypatch, caplog
):
    monkeypatch.setattr("edged.modelstore.installation.MAX_VERSIONS", 2)
    path = board("edged@a.toml", "mine@1.0.0")
    remover().add(shapes(tmp_path / "4.0.0", "4.0.0", name="mine"))
    assert list(versions("mine", [root / "models"])) == ["4.0.0", "1.0.0"]
    path.write_text("[model\n")
    remover().add(shapes(tmp_path / "5.0.0", "5.0.0", name="mine"))
    assert list(versions("mine", [root / "models"])) == ["5.0.0", "4.0.0", "1.0.0"]
    assert f"no old version is taken out of the store: {path}:1: not valid TOML" in caplog.text
    path.unlink()
    remover().add(shapes(tmp_path / "6.0.0", "6.0.0", name="mine"))
    assert list(versions("mine", [root / "models"])) == ["6.0.0", "5.0.0"]


def test_a_configuration_with_a_mistake_keeps_its_model(board, remover):
    path = board("edged.toml", "mine@2.0.0", change=lambda text: text.replace("[mqtt]", "[mqtt]\nprot = 1"))
    with pytest.raises(ModelError, match=f"of {path} stands for it"):
        remover().remove("mine@2.0.0")
    path.write_text("[model\n")
    with pytest.raises(ModelError, match=f"{path}:1: not valid TOML.*; mend it or move it away"):
        remover().remove("mine@2.0.0")
    path.unlink()
    remover().remove("mine@2.0.0")


def test_what_the_policy_of_a_configuration_chooses_is_what_it_uses(tmp_path, root, key, board, remover):
    """The newest version that it allows, and where it allows none the newest of all: that is the one to be signed."""
    path = board("edged.toml", "mine", "require")
    with pytest.raises(ModelError, match=r"model mine@3\.0\.0 is in use"):
        remover().remove("mine@3.0.0")
    signature.sign_folder(root / "models" / "mine@1.0.0", key[0])
    with pytest.raises(ModelError, match=rf"model mine@1\.0\.0 is in use: \[model\] name = 'mine' of {path}"):
        remover().remove("mine")
    remover().remove("mine@3.0.0")


def test_the_services_count_for_their_own_store_alone(tmp_path, root):
    assert usage.services_of(root) is None
    assert usage.services_of(Path("/var/lib/edged")) == Path("/etc/edged")


def test_a_folder_by_hand_is_told_to_whoever_chooses_a_version(tmp_path, root):
    shapes(root / "models" / "mine", name="mine")
    with pytest.raises(ModelError, match="was put there by hand"):
        Keeper(None, root).use("mine")
    assert running(root, "mine") == "2.0.0"


def test_what_is_removed_takes_no_other_choice_along(tmp_path, root):
    store, keeper = root / "models", Keeper(None, root)
    source = model_folders.make(tmp_path / "tiny")
    for _ in range(10):
        install(source, store)
        remembered.write(store, {"tiny": remembered.Choice("1.0.0")})
        start = threading.Barrier(2)

        def choose(start=start):
            start.wait()
            with changing(store):
                remembered.remember(store, "other", "1.0.0")

        thread = threading.Thread(target=choose)
        thread.start()
        start.wait()
        keeper.remove("tiny")
        thread.join()
        assert remembered.read(store) == {"other": remembered.Choice("1.0.0")}
