"""The pages say what the code does: every key, field, topic, command and link on them exists, and none is missing."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edged import cli
from edged.cli import model
from edged.config import load
from edged.config.problems import TABLES
from edged.core import findings, types, wire
from edged.duties import publisher
from edged.edges import outbox_fallback
from edged.modelstore import catalogue, manifest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README, CONFIG, MODELS, MQTT = (
    ROOT / name for name in ("README.md", "docs/config.md", "docs/models.md", "docs/mqtt.md")
)
GLOSSARY, NODE_RED = ROOT / "docs" / "glossary.md", ROOT / "docs" / "node-red.md"
DOCTOR = ROOT / "docs" / "doctor.md"
PAYLOADS = ("Pipeline", "State", "Event", "Info", "Health", "Update")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [body for named, body in FENCE.findall(text(page)) if named == language]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", text(page))


def headings(page: Path) -> list[str]:
    return [line.lstrip("#").strip() for line in prose(page).splitlines() if re.match(r"#{1,6} ", line)]


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next of the same or a higher level, code blocks left out."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |^# |\Z)", prose(page), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page.name} has no section {heading!r}"
    return found[2]


def rows(markdown: str, column: str) -> list[str]:
    """The code spans in the first cells of every table whose first column has this head."""
    spans: list[str] = []
    inside = False
    for line in markdown.splitlines():
        first = line.split("|")[1].strip() if line.startswith("|") else None
        if first is None:
            inside = False
        elif first == column:
            inside = True
        elif inside and not set(first) <= set("-: "):
            spans += re.findall(r"`([^`]+)`", first) or [first]
    return spans


def table_names() -> list[str]:
    """Every table by its name in the file, one inside another as "mqtt.tls"."""
    return list(TABLES)


def table_of(field: FieldInfo) -> type[BaseModel]:
    """The model of a table: the annotation itself, or what a list or an optional is made of."""
    kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
    return next(kind for kind in kinds if issubclass(kind, BaseModel))


def config_fields(table: str) -> dict[str, FieldInfo]:
    """The keys of a table that are no tables themselves."""
    return {key: field for key, field in TABLES[table].model_fields.items() if f"{table}.{key}" not in TABLES}


def config_keys() -> Iterator[tuple[str, str]]:
    """(table, key) of every key of the configuration, from the models' fields."""
    for table in TABLES:
        yield from ((table, key) for key in config_fields(table))


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("edged") / "schema" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def fields(of: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every property of a payload as pages write it: `outbox.rows`, `problems[].code`."""
    for key, inner in of.get("properties", {}).items():
        yield f"{at}{key}"
        yield from fields(inner, f"{at}{key}.")
        yield from fields(inner.get("items", {}), f"{at}{key}[].")


def topics() -> set[str]:
    """Every topic of a device as pages write it, below D."""
    device = wire.Topics("edged", "<device>")
    plain = {value for name, value in vars(device).items() if name != "root"}
    ruled = {
        method(*(f"<{parameter}>" for parameter in inspect.signature(method).parameters))
        for name, method in inspect.getmembers(device, inspect.ismethod)
        if not name.startswith("_")
    }
    return {topic.replace(device.root, "D", 1) for topic in plain | ruled}


def heading_of(table: str) -> str:
    return f"`[[{table}]]`" if table in ("region", "rule") else f"`[{table}]`"


# The configuration and the manifest


@pytest.mark.parametrize("table", table_names())
def test_config_page_has_the_keys_of_every_table(table: str) -> None:
    documented = rows(section(CONFIG, heading_of(table)), "key")
    assert sorted(documented) == sorted(key for of, key in config_keys() if of == table)


def test_config_page_has_no_other_table() -> None:
    written = {heading for heading in headings(CONFIG) if re.fullmatch(r"`\[+[\w.]+\]+`", heading)}
    assert written == {heading_of(table) for table in table_names()}


def test_the_complete_example_has_every_key_and_no_other() -> None:
    """A commented key counts: `systemd/edged.toml` shows each, most of them behind a #."""
    found: set[tuple[str, str]] = set()
    table = ""
    for line in text(ROOT / "systemd" / "edged.toml").splitlines():
        if header := re.match(r"#?\[+([\w.]+)\]+", line):
            table = header[1]
        elif key := re.match(r"#?(\w+) = ", line):
            found.add((table, key[1]))
    assert found == set(config_keys())


def test_config_page_has_the_defaults() -> None:
    """Where a default is a plain value; others are told in words."""
    wrong = []
    for table in TABLES:
        lines = [line for line in section(CONFIG, heading_of(table)).splitlines() if line.startswith("| `")]
        cells = {line.split("|")[1].strip(" `"): line.split("|")[3].strip(" `") for line in lines}
        for key, inner in config_fields(table).items():
            if inner.is_required():
                if cells[key] != "needed" and (table, key) != ("rule", "name"):
                    wrong.append((table, key))
            elif inner.default_factory is None and inner.default not in (None, ""):
                told = tomllib.loads(f"value = {cells[key]}")["value"]
                if told != (list(inner.default) if isinstance(inner.default, tuple) else inner.default):
                    wrong.append((table, key))
    assert wrong == []


def test_models_page_has_every_key_of_the_manifest_and_no_other() -> None:
    plain = []
    for name, field in manifest.Manifest.model_fields.items():
        if name in ("files", "groups"):  # their keys are file names and group names
            assert section(MODELS, f"`[{name}]`").strip()
        elif "Table" in str(field.annotation):
            assert sorted(rows(section(MODELS, f"`[{name}]`"), "key")) == sorted(table_of(field).model_fields)
        else:
            plain.append(field.alias or name)
    assert sorted(rows(section(MODELS, "`model.toml`"), "key")) == sorted(plain)


# MQTT


@pytest.mark.parametrize("payload", PAYLOADS)
def test_mqtt_page_has_every_field_and_no_other(payload: str) -> None:
    assert sorted(rows(section(MQTT, payload), "key")) == sorted(fields(schema(payload.lower())))


def test_mqtt_page_has_every_topic_and_no_other() -> None:
    assert sorted(rows(section(MQTT, "Topics"), "topic")) == sorted(topics())


@each_page
def test_no_page_names_a_topic_that_does_not_exist(page: Path) -> None:
    named = re.findall(r"`(D/[^`]*)`", prose(page))
    allowed = topics() | {"D/event", "D/backlog", "D/event/#", "D/backlog/#"}
    allowed |= {f"D/response/{word}" for word in ("enabled", "threshold", "update", "unknown", "doctor")}
    assert [topic for topic in named if topic not in allowed] == []


def test_readme_has_every_topic_and_no_other() -> None:
    written = {topic.replace("edged/<device>", "D") for topic in rows(section(README, "What it publishes"), "topic")}
    assert written == topics()


@pytest.mark.parametrize(
    ("payload", "heading", "key"),
    [("pipeline", "Pipeline", "state"), ("event", "Event", "reason")],
)
def test_mqtt_page_has_the_words_of(payload: str, heading: str, key: str) -> None:
    assert sorted(rows(section(MQTT, heading), key)) == sorted(schema(payload)["properties"][key]["anyOf"][0]["enum"])


def test_mqtt_page_has_the_problem_codes() -> None:
    assert rows(section(MQTT, "Health"), "code") == list(wire.PROBLEM_CODES)


@each_page
def test_every_json_block_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        payload = json.loads(block)
        if "event_type" in payload:
            assert list(payload) == list(schema("event")["properties"])


def test_the_node_red_flow_is_whole_and_listens_to_topics_that_exist() -> None:
    """`scripts/test-node-red` runs it; here is what can be known without Node-RED."""
    (block,) = blocks(NODE_RED, "json")
    nodes = {node["id"]: node for node in json.loads(block)}
    assert len(nodes) == block.count('"id": ')
    for node in nodes.values():
        assert {"type", "id"} <= set(node)
        assert all(target in nodes for wires in node.get("wires", []) for target in wires), node
        assert node.get("z", next(iter(nodes))) in nodes
    heard = [node["topic"] for node in nodes.values() if node["type"] == "mqtt in"]
    wildcards = {topic.replace("<rule>", "+").replace("D/", "edged/+/") for topic in topics()}
    assert sorted(heard) == ["edged/+/availability", "edged/+/event/+", "edged/+/state/+"]
    assert set(heard) <= wildcards
    assert json.dumps(list(nodes.values())).count("credentials") == 0


def test_the_openhab_page_names_topics_that_exist() -> None:
    named = re.findall(r'(?:state|command|availability)Topic="edged/porch/([^"]+)"', text(ROOT / "docs" / "openhab.md"))
    assert named
    assert {f"D/{topic}".replace("/cat", "/<rule>") for topic in named} <= topics()


def test_mqtt_page_has_the_numbers_of_the_outbox() -> None:
    delivery = section(MQTT, "Delivery") + section(MQTT, "Health")
    assert f"nothing for {publisher.ANSWER_TIMEOUT_S:g} s" in delivery
    assert f"tried again after {publisher.REFUSED_PAUSE_S:g} s" in delivery
    assert f"newest {outbox_fallback.RING_ROWS:,} are kept in memory" in delivery


def test_numbers_on_the_mqtt_page() -> None:
    assert f"most {wire.LIVE_AGE_S:g} s" in text(MQTT)
    assert f"{wire.EVENT_EXPIRY_S} s" in section(MQTT, "Topics")


# The command line


@each_page
def test_no_page_names_a_command_that_does_not_exist(page: Path) -> None:
    shell = "\n".join((*blocks(page, "sh"), *blocks(page, "ini")))
    spans = "\n".join(re.findall(r"`([^`\n]+)`", prose(page)))
    named = re.findall(r"^(?:sudo |ExecStart=)?(?:\S*/bin/)?edged ([a-z][\w-]*)", f"{shell}\n{spans}", re.MULTILINE)
    assert [command for command in named if command not in cli.COMMANDS] == []


def test_readme_has_every_command_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [span for span in rows(section(README, "Commands"), "command") if span.startswith("edged ")]
    assert sorted(line.split()[1] for line in lines) == sorted(cli.COMMANDS)
    for line in lines:
        with pytest.raises(SystemExit):
            cli.main([line.split()[1], "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
        assert set(re.findall(r"--[a-z-]+", line)) == known, line


def test_models_page_has_the_models_of_the_catalogue_and_an_example_of_one(tmp_path: Path) -> None:
    assert rows(section(MODELS, "The catalogue"), "name") == [one.name for one in catalogue.load().model]
    (example,) = (block for block in blocks(MODELS, "toml") if "[[model]]" in block)
    (tmp_path / "catalogue.toml").write_text(example, encoding="utf-8")
    assert catalogue.load(tmp_path / "catalogue.toml").model


def test_models_page_has_every_model_command_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    lines = rows(section(MODELS, "Commands").replace("\\|", "/"), "model command")
    assert [line.split()[0] for line in lines] == list(model.COMMANDS)
    for line in lines:
        with pytest.raises(SystemExit):
            cli.main(["model", line.split()[0], "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--config"}
        assert set(re.findall(r"--[a-z-]+", line)) == known, line


def test_doctor_page_has_every_check_status_and_key_and_no_other() -> None:
    assert rows(section(DOCTOR, "The lines"), "line") == list(findings.CHECKS)
    assert rows(section(DOCTOR, "The table"), "status") == list(findings.STATUSES)
    assert rows(section(DOCTOR, "`--json`"), "key") == list(fields(schema("doctor")))


@each_page
def test_scripts_that_a_page_names_are_there(page: Path) -> None:
    for name in re.findall(r"\bscripts/[a-z][a-z0-9-]*", text(page)):
        script = ROOT / name
        assert script.is_file(), f"{name} does not exist"
        assert os.access(script, os.X_OK), f"{name} cannot be executed"


def test_readme_begins_with_the_two_commands() -> None:
    assert re.findall(r"^scripts/\w+", blocks(README, "sh")[0], re.MULTILINE) == ["scripts/demo", "scripts/test"]


# Configurations on pages


@each_page
def test_every_toml_block_parses(page: Path) -> None:
    for block in blocks(page, "toml"):
        tomllib.loads(block)


@each_page
def test_complete_configurations_can_be_loaded(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        if {"camera", "rule", "mqtt"} <= set(tomllib.loads(block)):
            file = tmp_path / "edged.toml"
            file.write_text(block, encoding="utf-8")
            assert load(file).rules


def test_readme_shows_a_complete_configuration() -> None:
    assert any({"camera", "rule", "mqtt"} <= set(tomllib.loads(block)) for block in blocks(README, "toml"))


# Links and words


def anchor(heading: str) -> str:
    """As GitHub makes it: lower case, only letters, digits, - and _, spaces as -."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, fragment = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{target} does not exist"
        assert place.is_relative_to(ROOT), f"{target} leads out of the repository"
        if fragment:
            assert fragment in {anchor(heading) for heading in headings(place)}, f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#\s]+\.md)\)", prose(README))}
    assert {page for page in PAGES if page != README} <= linked


def test_design_page_has_every_room_and_no_other() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[a-z_]+\.py\b", page.partition("```mermaid")[2].partition("```")[0]))
    assert named == {path.name for path in (ROOT / "edged").glob("[a-z]*.py")}


def test_glossary_has_every_noun_of_the_core() -> None:
    tree = ast.parse(inspect.getsource(types))
    nouns = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    nouns |= {
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    nouns -= {"FULL"}  # a constant
    assert {"Frame", "Event", "Look", "Color"} <= nouns
    assert sorted(noun for noun in nouns if f"`{noun}`" not in text(GLOSSARY)) == []


def test_glossary_names_no_type_that_does_not_exist() -> None:
    named = re.findall(r"`([A-Z]\w+)`", text(GLOSSARY))
    assert [name for name in named if not hasattr(types, name)] == []


def test_glossary_has_one_meaning_a_word() -> None:
    cells = [re.sub(r" ?\(.*?\)", "", cell) for cell in re.findall(r"^\| ([^|]+?) \|", text(GLOSSARY), re.MULTILINE)]
    words = [word for cell in cells for word in cell.split(", ") if word != "word" and not set(word) <= set("-")]
    assert sorted({word for word in words if words.count(word) > 1}) == []


@each_page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """Code spans such as `edged/loop.py` or `docs/mqtt.md`."""
    spans = re.findall(r"`((?:edged|docs|systemd|tests)/[\w./-]+\.(?:py|md|json|toml))`", prose(page))
    spans += [f"edged/{span}" for span in re.findall(r"`((?:core|edges|cli)/\w+\.py)`", prose(page))]
    assert [span for span in spans if not (ROOT / span).exists()] == []
