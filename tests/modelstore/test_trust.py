"""Signatures: whose, of what, how old; and what each policy makes of it."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import threading
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.core.errors import ModelError
from edged.core.last_exit import told
from edged.modelstore import Trust, bundled, find, install, load, manifest, remembered, signature
from edged.modelstore.trust import LEDGER, downgrade
from tests.model_folders import make

TODAY = datetime.date(2026, 11, 29)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {name: (folder / f"{name}.pem", signature.new_key(folder / f"{name}.pem")) for name in ("ours", "theirs")}


@pytest.fixture
def store(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def require(keys, store):
    return Trust("require", {keys["ours"][1]: "fleet"}, store, TODAY)


def signed(folder, key, **options):
    signature.sign_folder(make(folder, **options), key[0])
    return folder


def refused(trust, folder, statement=None):
    sentence = trust.trouble(folder, statement)
    assert sentence is not None
    assert "\n" not in sentence
    if statement is None:
        with pytest.raises(ModelError):
            trust.judge(folder)
    return sentence


def test_a_model_signed_by_a_trusted_key_is_trusted(tmp_path, keys, require):
    folder = signed(tmp_path / "a", keys["ours"])
    require.judge(folder)
    assert require.signed_by(folder) == "fleet"
    assert load(folder).version == "1.0.0"


def test_an_unsigned_model_and_one_of_another_key_are_refused(tmp_path, keys, require):
    assert "is not signed" in refused(require, make(tmp_path / "a"))
    assert "none of [model] trusted_keys" in refused(require, signed(tmp_path / "b", keys["theirs"]))
    assert require.signed_by(tmp_path / "b") == f"unknown key {keys['theirs'][1]}"


def test_what_a_board_refuses_from_afar_is_told_afar(tmp_path, require):
    """Also where the key has a slash in it, and so looks like a path."""
    while "/" not in signature.new_key(key := tmp_path / "slash.pem"):
        key.unlink()
    sentence = refused(require, signed(tmp_path / "a", (key, None)))
    assert told(sentence, "no") == "model tiny 1.0.0 is signed by a key that is none of [model] trusted_keys"


def test_a_changed_manifest_is_refused(tmp_path, keys, require):
    folder = signed(tmp_path / "a", keys["ours"])
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace('"softmax"', '"sigmoid"'))
    assert "was changed after it was signed" in refused(require, folder)
    assert require.signed_by(folder) == "not good"
    (folder / "model.toml").write_text(text + "\n")
    assert "was changed after it was signed" in refused(require, folder)


def test_a_changed_label_file_is_refused(tmp_path, keys, require):
    """By its hash: the signature holds the manifest, and the manifest holds the hash."""
    folder = signed(tmp_path / "a", keys["ours"])
    (folder / "labels.txt").write_bytes(b"nothing\ndog\nTiger-Katze\n")
    with pytest.raises(ModelError, match="its sha256 is"):
        load(folder)
    with pytest.raises(ModelError, match="its sha256 is"):
        install(folder, require.store)


def test_a_signature_of_another_key_put_under_our_name_is_refused(tmp_path, keys, require):
    folder = signed(tmp_path / "a", keys["theirs"])
    path = folder / "model.sig"
    path.write_text(path.read_text().replace(keys["theirs"][1], keys["ours"][1]))
    assert "was changed after it was signed" in refused(require, folder)


def test_a_replayed_older_version_is_refused(tmp_path, keys, require, store):
    new = install(signed(tmp_path / "b", keys["ours"], version="1.1.0"), store)
    require.accept(new)
    old = install(signed(tmp_path / "a", keys["ours"]), store)
    assert "is older than 1.1.0, which was accepted" in refused(require, old)
    assert find("tiny", [store], require.judge) == new
    (store / "tiny@1.1.0").rename(tmp_path / "gone")
    with pytest.raises(ModelError, match=r"is older than 1\.1\.0"):
        find("tiny", [store], require.judge)
    require.judge(signed(tmp_path / "c", keys["ours"], version="1.1.1-rc.1"))


def test_what_one_key_accepted_says_nothing_about_another(tmp_path, keys, store):
    both = Trust("require", {keys["ours"][1]: "fleet", keys["theirs"][1]: "lab"}, store)
    both.accept(signed(tmp_path / "b", keys["ours"], version="9"))
    both.judge(signed(tmp_path / "a", keys["theirs"]))
    assert json.loads((store / LEDGER).read_text()) == {keys["ours"][1]: {"tiny": "9"}}


def test_the_version_before_is_the_way_back(tmp_path, keys, require, store):
    """It ran on this board, and the store remembers it; a copy of it from elsewhere is as old as any."""
    for version in ("1.0.0", "1.1.0"):
        folder = install(signed(tmp_path / version, keys["ours"], version=version), store)
        remembered.remember(store, "tiny", version)
        require.accept(folder)
    require.judge(store / "tiny@1.0.0")
    assert "is older than 1.1.0" in refused(require, tmp_path / "1.0.0")
    remembered.remember(store, "tiny", "1.0.0")
    assert find("tiny", [store], require.judge) == store / "tiny@1.0.0"
    require.judge(store / "tiny@1.1.0")


def test_an_expired_model_is_refused_where_the_clock_is_right(tmp_path, keys, require, store):
    folder = install(signed(tmp_path / "a", keys["ours"], top="expires = 2026-11-28"), store)
    assert "expired on 2026-11-28" in refused(require, folder)
    Trust("require", require.keys, store, None).judge(folder)
    Trust("require", require.keys, store, datetime.date(2026, 11, 28)).judge(folder)


def test_what_is_in_use_goes_on_when_it_expires(tmp_path, keys, require, store):
    folder = install(signed(tmp_path / "a", keys["ours"], top="expires = 2026-11-28"), store)
    remembered.remember(store, "tiny", "1.0.0")
    require.judge(folder)


def test_a_signed_downgrade_allows_what_it_names_and_nothing_else(tmp_path, keys, require, store):
    for version in ("1.2.0", "1.1.0", "1.0.0"):
        install(signed(tmp_path / version, keys["ours"], version=version), store)
    require.accept(store / "tiny@1.2.0")
    statement = tmp_path / "statement"
    statement.write_bytes(downgrade(manifest.read(store / "tiny@1.0.0"), "1.2.0", keys["ours"][0]))
    assert require.trouble(store / "tiny@1.0.0", statement) is None
    assert "needed is tiny from 1.2.0 to 1.1.0" in refused(require, store / "tiny@1.1.0", statement)

    require.accept(store / "tiny@1.0.0", lower=True)
    require.judge(store / "tiny@1.0.0")
    require.judge(store / "tiny@1.1.0")
    install(signed(tmp_path / "1.3.0", keys["ours"], version="1.3.0"), store)
    require.accept(store / "tiny@1.3.0")
    assert "needed is tiny from 1.3.0 to 1.0.0" in refused(require, store / "tiny@1.0.0", statement)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lambda text: text.replace('version = "1.0.0"', 'version = "1.1.0"'), "was changed after it was signed"),
        (lambda text: text.replace('from = "1.2.0"', 'from = "1.3.0"'), "was changed after it was signed"),
        (lambda text: text.partition("[signature]")[0], "is no signed downgrade"),
        (lambda text: text.partition("[signature]")[0] + "[signature]\n", "is no signature"),
        (lambda _text: "", "is no signed downgrade"),
    ],
)
def test_a_changed_downgrade_is_refused(tmp_path, keys, require, store, change, fragment):
    for version in ("1.2.0", "1.0.0"):
        install(signed(tmp_path / version, keys["ours"], version=version), store)
    require.accept(store / "tiny@1.2.0")
    statement = tmp_path / "statement"
    text = downgrade(manifest.read(store / "tiny@1.0.0"), "1.2.0", keys["ours"][0]).decode()
    statement.write_text(change(text))
    assert fragment in refused(require, store / "tiny@1.0.0", statement)
    statement.write_bytes(downgrade(manifest.read(store / "tiny@1.0.0"), "1.2.0", keys["theirs"][0]))
    assert "another key than the model" in refused(require, store / "tiny@1.0.0", statement)
    assert "cannot be read" in refused(require, store / "tiny@1.0.0", tmp_path / "none")


def test_a_signature_of_a_manifest_is_no_downgrade(tmp_path, keys, require, store):
    for version in ("1.2.0", "1.0.0"):
        install(signed(tmp_path / version, keys["ours"], version=version), store)
    require.accept(store / "tiny@1.2.0")
    body = b'schema = 1\nname = "tiny"\nversion = "1.0.0"\nfrom = "1.2.0"\n'
    statement = tmp_path / "statement"
    statement.write_bytes(body + b"[signature]\n" + signature.sign(body, signature.MANIFEST, keys["ours"][0]))
    assert "was changed after it was signed" in refused(require, store / "tiny@1.0.0", statement)


def test_a_downgrade_goes_down(tmp_path, keys):
    with pytest.raises(ModelError, match="is not older than"):
        downgrade(manifest.read(make(tmp_path)), "1.0.0", keys["ours"][0])


def test_warn_says_what_require_refuses_and_off_says_nothing(tmp_path, keys, store):
    folder = make(tmp_path / "a")
    trusted = {keys["ours"][1]: "fleet"}
    warn, off = Trust("warn", trusted, store), Trust("off", trusted, store)
    for trust in (warn, off):
        trust.judge(folder)
    assert "is not signed" in str(warn.warning(folder))
    assert off.warning(folder) is None
    off.accept(signed(tmp_path / "b", keys["ours"]))
    assert not (store / LEDGER).exists()


def test_a_model_that_ships_needs_no_signature(require):
    require.judge(find("shapes-int8", [bundled()]))


@pytest.mark.parametrize("content", ["{", "[]", '{"key": 1}', '{"key": {"tiny": 1}}'])
def test_a_damaged_record_is_told_and_never_taken_for_an_empty_one(tmp_path, keys, require, store, content):
    store.mkdir()
    (store / LEDGER).write_text(content)
    assert "is damaged" in refused(require, signed(tmp_path / "a", keys["ours"]))


def test_a_key_is_for_its_owner_alone_and_never_overwritten(tmp_path, keys):
    path = keys["ours"][0]
    assert path.stat().st_mode & 0o777 == 0o600
    assert signature.public_key(path) == keys["ours"][1]
    with pytest.raises(ModelError, match="a key is never overwritten"):
        signature.new_key(path)
    for content in (b"", b"nothing", path.read_bytes().replace(b"M", b"N", 3)):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(ModelError, match="is no Ed25519 private key"):
            signature.public_key(tmp_path / "key")
    with pytest.raises(ModelError, match="cannot be read"):
        signature.public_key(tmp_path / "none")


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_signature_is_one_sentence(tmp_path_factory, keys, data):
    folder = signed(tmp_path_factory.getbasetemp() / "damage", keys["ours"])
    good = (folder / "model.sig").read_bytes()
    at, flip = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    bad = data.draw(
        st.sampled_from([good[:at], good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :], good + good, good[at:]])
    )
    (folder / "model.sig").write_bytes(bad)
    try:
        assert signature.signer(folder) == keys["ours"][1]
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a change of white space is none
    else:
        assert bad.split() == good.split() or len(bad) in (len(good), len(good) - 1)


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_manifest_is_refused_in_one_sentence_under_every_policy(tmp_path_factory, keys, data):
    base = tmp_path_factory.getbasetemp() / "manifest"
    folder = signed(base / "tiny", keys["ours"])
    good = (folder / "model.toml").read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    piece = data.draw(st.one_of(st.binary(max_size=8), st.just(b""), st.sampled_from([b"\0", b"[", b'"', b"1e999"])))
    bad = good[:at] + piece + data.draw(st.sampled_from([good[at:], good[at + 1 :], b""]))
    (folder / "model.toml").write_bytes(bad)
    trust = Trust("require", {keys["ours"][1]: "fleet"}, base / "models", TODAY)
    if bad == good:
        assert trust.trouble(folder) is None
    else:
        assert "\n" not in str(trust.trouble(folder))
        assert trust.trouble(folder) is not None
    try:
        install(folder, base / "models")
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a change in a comment or a name is no damage


def test_two_that_accept_at_once_are_both_remembered(tmp_path, keys, require, store):
    """Instances share the store, and each accepts what it runs."""
    folders = []
    for name in ("one", "two"):
        rename = lambda text, name=name: text.replace('name = "tiny"', f'name = "{name}"')  # noqa: E731
        folders.append(signed(tmp_path / name, keys["ours"], change=rename))
    for _ in range(20):
        (store / LEDGER).unlink(missing_ok=True)
        start = threading.Barrier(len(folders))

        def accept(folder, start=start):
            start.wait()
            require.accept(folder)

        threads = [threading.Thread(target=accept, args=(folder,)) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert json.loads((store / LEDGER).read_text()) == {keys["ours"][1]: {"one": "1.0.0", "two": "1.0.0"}}


def test_a_manifest_without_an_end_is_not_read_whole_by_whoever_asks_for_the_signer(tmp_path, keys, require):
    folder = signed(tmp_path / "a", keys["ours"])
    with (folder / "model.toml").open("ab") as file:
        file.truncate(1 << 31)  # a hole, which takes no room on the disk
    tracemalloc.start()
    with pytest.raises(ModelError, match="is larger than 1048576 bytes"):
        signature.signer(folder)
    assert "is larger than 1048576 bytes" in refused(require, folder)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 24


def test_what_was_signed_is_what_is_read(tmp_path, keys, require):
    """One reading for both: whoever swaps the manifest between two would be judged by the one and run the other."""
    folder = signed(tmp_path / "a", keys["ours"])
    script = "import sys; sys.addaudithook(lambda event, args: event == 'open' and print(args[0], flush=True))"
    code = (
        f"{script}; from pathlib import Path; from edged.modelstore import Trust; "
        f"Trust('require', {{{keys['ours'][1]!r}: 'fleet'}}, None, None).judge(Path({str(folder)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    opened = [line for line in done.stdout.splitlines() if line.endswith("model.toml")]
    assert opened == [str(folder / "model.toml")]
