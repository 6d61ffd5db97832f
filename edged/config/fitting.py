"""The regions and rules of a configuration, completed by the model that they are judged with.

Law: pure. Takes a `Config` and a `ModelSpec`, gives the plain values of `core.types`, and is the only place where a
default comes from the model.
"""

from __future__ import annotations

from collections.abc import Iterator

from edged.config.config import Config, Finding, refusal
from edged.config.outline import Outline, outline
from edged.config.reading import derived_name
from edged.config.tables import FULL_REGION, RuleTable
from edged.core.labels import Labelled, members
from edged.core.types import FULL, ModelSpec, Region, Rule

RELEASE_OF_SCORE = 2.0 / 3.0


def resolve(config: Config, spec: ModelSpec) -> tuple[tuple[Region, ...], tuple[Rule, ...]]:
    """Completes regions and rules.

    Returns:
        (regions, rules): the regions that some rule looks at, in the order of their first use, and every rule in the
        file's order.

    Raises:
        ConfigError: the model lacks a label; every such rule, one line each, with the nearest labels.
    """
    wrong = list(unknown_labels(outline(config), spec))
    if wrong:
        raise refusal(config.path, config.lines, wrong)
    known = {FULL_REGION: Region(FULL_REGION, FULL, spec.input.fit)}
    known |= {one.name: Region(one.name, one.box, one.fit or spec.input.fit) for one in config.regions}
    used = dict.fromkeys(rule.region for rule in config.rules)
    return tuple(known[name] for name in used), tuple(_rule(rule) for rule in config.rules)


def unknown_labels(asked: Outline, spec: Labelled) -> Iterator[Finding]:
    """The rules whose label the model lacks, with the nearest ones."""
    for index, label in asked.labels:
        try:
            members(spec, label)
        except KeyError as error:
            yield ("rule", index, "label"), str(error.args[0])


def _rule(table: RuleTable) -> Rule:
    release = table.release_threshold
    return Rule(
        name=table.name,
        title=table.title or _title(table),
        label=table.label,
        region=table.region,
        score_threshold=table.score_threshold,
        release_threshold=round(table.score_threshold * RELEASE_OF_SCORE, 6) if release is None else release,
        delay_on_s=table.delay_on_s,
        delay_off_s=table.delay_off_s,
        refractory_s=table.refractory_s,
    )


def _title(table: RuleTable) -> str:
    """Something to read: the name that a person chose; else the label, and where it is looked for."""
    if table.name != derived_name(table.label, table.region):
        text = table.name.replace("_", " ").replace("-", " ").strip()
    elif table.region == FULL_REGION:
        text = table.label
    else:
        text = f"{table.label} ({table.region})"
    return text[:1].upper() + text[1:]
