"""Where keys stand: every key that tomllib finds has a line, and it is the right one."""

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from edged.config.lines import Lines

KEYS = ["a", "b-1", "1", '"a.b"', "'c d'", '"\\u0041\\n"', '"]#"', '""']
FILLERS = ["", "#", "]", "}", "= [", ",", "'''", "[[x]]", " \\\\ "]
# The tree of a document: a leaf is None, tables are dicts with keys as they are written, lists are lists.
TREES = st.recursive(
    st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS), TREES, max_size=5)


class Writer:
    """Writes a tree as TOML, each time in another style. Every leaf holds a number of its own."""

    def __init__(self, draw):
        self.draw = draw
        self.leaves = 0

    def choose(self, *some):
        return self.draw(st.sampled_from(some))

    def leaf(self):
        self.leaves += 1
        token = f"<{self.leaves}>"
        filler = self.choose(*FILLERS)
        return self.choose(
            f'"{token}{filler}\\"x"',
            f"'{token}{filler}'" if "'" not in filler else f"'{token}'",
            f'"""{token}\n{filler} ""\n\\""""""',
            f"'''{token}{filler.replace(chr(39), '')}\n[not.a.table]\nkey = 1''''",
            f"1979-05-27 07:32:00.{100000 + self.leaves}",
        )

    def value(self, tree, inline=False):
        if tree is None:
            return self.leaf()
        if isinstance(tree, list):
            gap = self.choose("", " ", "\n  ", " # ] comment\n\n")
            items = "".join(f"{gap}{self.value(one)}{gap}," for one in tree)
            return f"[{items if self.choose(True, False) or not tree else items[:-1]}{gap}]"
        return "{ " + ", ".join(f"{key} = {self.value(one, inline=True)}" for key, one in tree.items()) + " }"

    def table(self, tree, path=()):
        pairs, sections = [], []
        for key, one in tree.items():
            style = self.choose("value", "header", "dotted")
            tables = isinstance(one, list) and one and all(isinstance(item, dict) for item in one)
            if isinstance(one, dict) and style == "dotted" and one:
                gap = self.choose("", " ", "\t")
                pairs += [f"{key}{gap}.{gap}{inner} = {self.value(item)}" for inner, item in one.items()]
            elif isinstance(one, dict) and style == "header":
                sections.append((f"[{'.'.join((*path, key))}]", one, (*path, key)))
            elif tables and style != "value":
                sections += [(f"[[ {' . '.join((*path, key))} ]] # ]]", item, (*path, key)) for item in one]
            else:
                pairs.append(f"{key} ={self.choose('', ' ')}{self.value(one)}")
        end = self.choose("\n", "\r\n", "  # comment = 1\n\n")
        return "".join(f"{self.choose('', '  ')}{pair}{end}" for pair in pairs) + "".join(
            f"{header}\n{self.table(one, inner)}" for header, one, inner in sections
        )


@st.composite
def documents(draw):
    return Writer(draw).table(draw(DOCUMENTS))


def paths(value, path=()):
    if path:
        yield path, value
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(one, (*path, key))


@settings(max_examples=400)
@given(documents())
def test_every_key_that_tomllib_finds_is_on_its_line(text):
    lines = Lines(text)
    written = text.split("\n")
    for path, value in paths(tomllib.loads(text)):
        assert path in lines, path
        if not isinstance(value, dict | list):
            token = str(value).split(">")[0] + ">" if isinstance(value, str) else f"{value.microsecond:06}"
            assert token in written[lines.line(path) - 1], (path, lines.line(path))


@given(st.text(alphabet="ab1.=\"'[]{}#,\\\n\t é") | st.text())
def test_any_text_at_all_is_survived(text):
    assert Lines(text).line(("a", 0, "b")) >= 1


def test_what_has_no_line_gets_that_of_the_table_around_it():
    lines = Lines("x = 1\n\n[mqtt]\nport = 1\n[[rule]]\n[[rule]]\nlabel = 'x'\n")
    assert lines.line(("mqtt", "host")) == 3
    assert lines.line(("rule", 0, "label")) == 5
    assert lines.line(("rule", 1)) == 6
    assert lines.line(("rule", 1, "label")) == 7
    assert lines.line(("camera", "source")) == 1


def test_a_table_written_after_its_own_part_has_its_own_line():
    assert Lines("[a.b]\nx = 1\n[a]\ny = 1\n").line(("a", "z")) == 3
    assert Lines("[[a]]\n[a.b]\n[[a.c]]\n[[a]]\n[[a.c]]\n[[a.c]]\n").line(("a", 1, "c", 1, "z")) == 6


def test_tables_nested_as_deep_as_tomllib_bears_are_borne():
    depth = next(depth for depth in range(1000, 0, -1) if _parses("a = " + "[" * depth + "]" * depth))
    assert Lines("a = " + "[" * depth + "]" * depth).line(("a", 0, 0)) == 1


def _parses(text):
    try:
        tomllib.loads(text)
    except RecursionError:
        return False
    return True
