"""Whatever stands in params.yaml, there is a valid config or one error that names the key, the file and what to do.

The keys and their ranges are read off the schema: a new key is fuzzed as soon as it exists.
"""

import copy
import datetime
import json
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from project import ROOT, child_environment
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from test_config import CHOICES, RAW, TEXT, leaves

from cyclegan import lineage, presets
from cyclegan.config import Config, load, parse
from cyclegan.config.load import MOST_BYTES, MOST_MISTAKES
from cyclegan.errors import UserError

FILE = "some/params.yaml"
KEYS = leaves()
SECTIONS = [name for name, field in Config.model_fields.items() if isinstance(field.annotation, type(BaseModel))]
COMPACT = yaml.safe_dump(RAW, default_flow_style=None, sort_keys=False)
PARAMS = {name for stage in lineage.stages(ROOT).values() for name in stage["params"]}
MOST_LETTERS = 3000  # of an error about one key


def field_of(key: str) -> FieldInfo:
    model: type[BaseModel] = Config
    *sections, name = key.split(".")
    for section in sections:
        annotation = model.model_fields[section].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return model.model_fields[name]


def changed(key: str, value: object) -> dict[str, Any]:
    raw: dict[str, Any] = copy.deepcopy(RAW)
    *section, name = key.split(".")
    (raw[section[0]] if section else raw)[name] = value
    return raw


def check_error(error: UserError, key: str, file: str) -> None:
    """One line a mistake, short, that can be printed anywhere and names `key`, the file and what to do."""
    text = str(error)
    assert len(text) <= MOST_LETTERS
    for line in text.splitlines():
        assert line.isprintable()
        assert line.count(file) >= 1
        assert re.search(r"[;:] (it |did |write |make |name |known |`git |set |lower |raise |choose |\w+)", line)
    assert all(word in text for word in key.split("."))
    assert "Traceback" not in text


def check_use(config: Config, key: str) -> None:
    """What the pipeline does with a config before it computes anything."""
    text = json.dumps(config.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
    assert Config.model_validate_json(text.encode()) == config
    *section, name = key.split(".")
    value = json.loads(text)[section[0]][name] if section else json.loads(text)[name]
    assert yaml.safe_load(f"[{presets.spelled(value)}]") == [value]
    declared = next((known for known in PARAMS if key == known or key.startswith(f"{known}.")), None)
    if declared is not None:
        json.dumps(lineage.declared(config, [declared]))


def check(key: str, value: object) -> Config | None:
    try:
        config = parse(changed(key, value), FILE)
    except UserError as error:
        check_error(error, key, FILE)
        return None
    check_use(config, key)
    return config


# --- values -----------------------------------------------------------------------------------------------------------

LETTERS = st.characters(exclude_categories=())  # control characters and halves of surrogate pairs among them
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, 10**4000, -(10**4000)]),
    st.floats(),
    st.sampled_from([5e-324, 1.7e308, -0.0, 0.5, 1.0, 1e30]),
    st.text(LETTERS, max_size=6),
    st.sampled_from(
        ["", " ", "1", "2e-4", "1e400", "nan", "true", "null", "~", "..", "/", ".", "\0", "a/../..", "x" * 10**5]
    ),
    st.sampled_from(
        ["a" * 256, "/".join("a" * 600), "é" * 130, "../../etc", "models/trained", "C:\\x", "\ud800", "\x1b[31m"]
    ),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
    st.binary(max_size=4),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(LETTERS, max_size=5), inner, max_size=3)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


def parts(annotation: Any) -> Iterator[Any]:
    """A type, and every type and constraint within it."""
    yield annotation
    for inner in (*getattr(annotation, "__args__", ()), *getattr(annotation, "__metadata__", ())):
        yield from parts(inner)
    for inner in getattr(annotation, "metadata", ()):
        yield from parts(inner)


def bounds(key: str) -> list[float]:
    """Every number that limits the values of a key, or their length."""
    field = field_of(key)
    found = [*field.metadata, *parts(field.annotation)]
    limits = [
        getattr(limit, name)
        for limit in found
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if isinstance(limit, annotated_types.BaseMetadata) and hasattr(limit, name)
    ]
    return [limit for limit in limits if isinstance(limit, int | float)]


def near(limit: float) -> st.SearchStrategy[object]:
    numbers = [limit - 1, limit, limit + 1, -limit, limit * 1000, float(limit), float(limit) + 1e-9]
    lengths = [length for length in (int(limit) - 1, int(limit), int(limit) + 1) if 0 <= length <= 2000]
    return st.sampled_from([*numbers, *("x" * length for length in lengths), *([1] * length for length in lengths[:3])])


def values(key: str) -> st.SearchStrategy[object]:
    choices = st.sampled_from([RAW_VALUES[key], *CHOICES.get(key, [])])
    known = st.one_of(choices, *(near(limit) for limit in bounds(key)))
    return st.one_of(known, JUNK)


RAW_VALUES = {key: (RAW[key] if "." not in key else RAW[key.split(".")[0]][key.split(".")[1]]) for key in KEYS}


@pytest.mark.parametrize("key", KEYS)
def test_any_value_of_a_key_gives_a_config_or_an_error(key: str) -> None:
    @settings(max_examples=40)
    @given(value=values(key))
    def fuzz(value: object) -> None:
        config = check(key, value)
        if config is not None:
            *section, name = key.split(".")
            assert getattr(getattr(config, section[0]) if section else config, name) == value

    fuzz()


@pytest.mark.parametrize("section", SECTIONS)
def test_anything_in_place_of_a_section_gives_an_error(section: str) -> None:
    @settings(max_examples=40)
    @given(value=JUNK)
    def fuzz(value: object) -> None:
        with pytest.raises(UserError) as caught:
            parse(changed(section, value), FILE)
        check_error(caught.value, section, FILE)

    fuzz()


@pytest.mark.parametrize("key", KEYS)
def test_a_key_with_a_slip_of_the_pen_is_named_beside_what_was_meant(key: str) -> None:
    *section, name = key.split(".")
    slips = {name[:-1], name + "s", name.upper(), name.lower(), f"{name[1]}{name[0]}{name[2:]}", f" {name}"} - {name, ""}
    for slip in sorted(slips - {known.rpartition(".")[2] for known in KEYS}):
        raw = changed(key, RAW_VALUES[key])
        place = raw[section[0]] if section else raw
        place[slip] = place.pop(name)
        with pytest.raises(UserError) as caught:
            parse(raw, FILE)
        check_error(caught.value, key, FILE)
        wrong = ".".join([*section, slip])
        assert f"{wrong} in {FILE} is no parameter of this project; " in str(caught.value)
        assert f"{key} is missing from {FILE}; `git checkout {FILE}` restores" in str(caught.value)


@given(raw=JUNK)
def test_anything_in_place_of_the_whole_gives_an_error(raw: object) -> None:
    with pytest.raises(UserError, match=r"some/params\.yaml"):
        parse(raw, FILE)


def test_every_number_and_text_has_a_limit() -> None:
    """What is beyond it can only be a mistake, and would end in a lack of memory or time."""
    schema = Config.model_json_schema()
    definitions = {"Config": schema, **schema["$defs"]}
    seen = 0
    for title, definition in definitions.items():
        for name, about in definition["properties"].items():
            for part in [about, *about.get("anyOf", []), about.get("items", {}), *about.get("items", {}).get("anyOf", [])]:
                kind = part.get("type")
                if "enum" in part or "const" in part:
                    continue
                if kind in ("integer", "number"):
                    assert {"minimum", "exclusiveMinimum"} & part.keys(), f"{title}.{name} has no least value"
                    assert {"maximum", "exclusiveMaximum"} & part.keys(), f"{title}.{name} has no largest value"
                    seen += 1
                if kind == "string":
                    assert {"maxLength", "pattern"} & part.keys(), f"{title}.{name} has no greatest length"
                    seen += 1
    assert seen >= 40


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "9223372036854775808 is more than a table's numbers can be; write it in quotes"),
        (-(16**6000), "a number of about 7,225 digits is more than a table's numbers can be"),
        ("a\x1b", "holds control characters; write it without them"),
        ("\ud800", "holds control characters"),
        (
            [[["x"] * 1000] * 1000] * 1000,
            ", ...] is neither text nor a whole number",
        ),
    ],
    ids=["64 bits", "thousands of digits", "a terminal code", "half a letter", "lists of lists"],
)
def test_values_of_a_table_that_no_table_holds(value: object, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(changed("dataset.table_A", [1, value]), FILE)
    check_error(caught.value, "dataset.table_A", FILE)
    assert words in str(caught.value)
    assert check("dataset.table_A", [2**63 - 1, 1 - 2**63, "日本", ""]) is not None


PLACES = ["dataset.path", "dataset.table", "train.init_from", "evaluate.model"]


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("a\0b", "'a\\x00b' holds control characters; write it without them"),
        ("a\nb", "'a\\nb' holds control characters"),
        ("a" * 256, "more than 255 bytes, which no file can have as its name; shorten it"),
        ("a/" + "é" * 128, "more than 255 bytes"),
        (".", "'.' is this project's folder, or one around it; name what lies in it"),
        ("..", "'..' is this project's folder, or one around it"),
        ("weights/..", "'weights/..' is this project's folder"),
        ("weights/../../..", "is this project's folder, or one around it"),
        ("/", "'/' is this project's folder, or one around it"),
        ("//", "is this project's folder, or one around it"),
        ("a/" * 600, "at most 1000 characters"),
    ],
)
def test_places_that_cannot_be_are_told(key: str, place: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(changed(key, place), FILE)
    check_error(caught.value, key, FILE)
    assert words in str(caught.value)


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("place", ["/data/weights", "../other/weights", "weights/../weights/x", "my pictures/日本", "~"])
def test_places_elsewhere_are_taken_at_their_word(key: str, place: str) -> None:
    config = check(key, place)
    assert config is not None
    assert config.model_dump()[key.split(".")[0]][key.split(".")[1]] == place


@pytest.mark.parametrize("place", ["models", "./models/trained", "weights/../models/trained", "models//exported"])
def test_first_weights_cannot_be_what_training_writes_however_it_is_spelled(place: str) -> None:
    with pytest.raises(UserError, match=r"which training itself writes; copy the folder to weights/NAME"):
        parse(changed("train.init_from", place), FILE)


# --- files ------------------------------------------------------------------------------------------------------------


def read(folder: Path, data: str | bytes) -> UserError | Config:
    path = folder / "params.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    try:
        return load(path)
    except UserError as error:
        text = str(error)
        assert str(path) in text
        assert ";" in text
        assert len(text) < 200 * MOST_MISTAKES + 100 * len(str(path))
        return error


def safely_dumped(value: object) -> str:
    try:
        return yaml.safe_dump([value], default_flow_style=True, width=10**9).strip()[1:-1]
    except ValueError:  # a number of more digits than Python spells
        return hex(value) if isinstance(value, int) else ""


SPELLINGS = st.one_of(
    st.sampled_from(
        [
            "0x1F",
            "0o17",
            "017",
            "0b11",
            "1_000",
            "1:30",
            "1:30.5",
            "+1",
            "-0",
            "1.",
            ".5",
            "1e3",
            "1.0e+3",
            "1.0e-400",
            "1.0e+400",
            ".inf",
            "-.inf",
            ".nan",
            "~",
            "null",
            "yes",
            "off",
            "True",
            "y",
            "n",
            "=",
            "<<",
            "!",
            "''",
            '""',
            "[]",
            "{}",
            "[[]]",
            "[1,]",
            "{a}",
            "{a:",
            "1}",
            "!!int",
            "!!str",
            "!!null",
            "!!float",
            "!!bool",
            "!!binary",
            "!!timestamp",
            "!!set",
            "!!omap",
            "!!pairs",
            "!!map",
            "!!seq",
            "!!merge",
            "!!python/name:os.system",
            "!<tag:yaml.org,2002:int>",
            "&a",
            "*a",
            "|",
            ">",
            "-",
            "?",
            ":",
            "@",
            "`",
            "%",
            "#",
            ",",
            '"\\0"',
            '"\\ud800"',
            '"\\U00110000"',
            '"\\x"',
            "2026-11-20",
            "2026-13-45",
            "0001-01-01T00:00:00+23:59",
            "2001-01-01T00:00:00+99:99",
        ]
    ),
    st.builds(
        lambda tag, text: f"{tag} {json.dumps(text)}",
        st.sampled_from(
            [
                "!!int",
                "!!float",
                "!!bool",
                "!!null",
                "!!timestamp",
                "!!binary",
                "!!set",
                "!!omap",
                "!!merge",
                "!!value",
                "!a",
            ]
        ),
        st.text(max_size=4),
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    SCALARS.map(safely_dumped).filter(lambda text: len(text) < 1000),
)


@settings(max_examples=200)
@given(key=st.sampled_from(KEYS), spelling=SPELLINGS)
def test_any_spelling_of_a_value_gives_a_config_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, spelling: str
) -> None:
    raw: dict[str, Any] = changed(key, "PLACEHOLDER")
    only = {name: raw[name] for name in {"seed", key.split(".")[0]}}  # a short file is read sooner
    text = yaml.safe_dump(only, default_flow_style=None, sort_keys=False, width=10**9).replace("PLACEHOLDER", spelling, 1)
    result = read(tmp_path_factory.getbasetemp(), text)
    assert isinstance(result, UserError)  # sections are missing


@settings(max_examples=100)
@given(
    start=st.integers(0, len(COMPACT)),
    removed=st.integers(0, 60),
    added=st.text(max_size=4)
    | st.sampled_from(
        [
            "\t",
            "\n",
            "\r",
            " ",
            "  ",
            "#",
            ":",
            ": ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a",
            "!",
            "|",
            "%",
            "---\n",
            "...\n",
            "\ufeff",
        ]
    ),
)
def test_any_edit_of_the_file_gives_a_config_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, start: int, removed: int, added: str
) -> None:
    result = read(tmp_path_factory.getbasetemp(), COMPACT[:start] + added + COMPACT[start + removed :])
    if isinstance(result, Config):
        check_use(result, "seed")


@settings(max_examples=200)
@given(
    data=st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.sampled_from(["utf-16", "utf-32"]).map("a: 1".encode)
)
def test_any_bytes_give_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    assert isinstance(read(tmp_path_factory.getbasetemp(), data), UserError)


def laughs(deep: int, outer: str = "[{}]") -> str:
    """Lists of lists of lists, ten of each in the next: 10^deep words."""
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]" if outer == "[{}]" else "a0: &a0 {ha: 1}"]
    for index in range(deep):
        aliases = ", ".join([f"*a{index}"] * 10)
        lines.append(f"a{index + 1}: &a{index + 1} {outer.format(aliases)}")
    return "\n".join(lines) + "\n"


def at_seed(text: str) -> str:
    return COMPACT.replace("seed: 0", f"seed: {text}", 1)


ATTACKS: dict[str, tuple[str | bytes, str]] = {
    "billion laughs": (laughs(9) + COMPACT, "an alias may stand for a single value only; write it out"),
    "billion laughs in a value": (
        laughs(9) + COMPACT.replace("table_A: [1]", "table_A: *a9"),
        "an alias may stand for a single value only",
    ),
    "billion laughs by merge keys": (laughs(9, "{{<<: [{}]}}") + COMPACT, "an alias may stand for a single value only"),
    "a list that holds itself": (at_seed("&a [*a]"), "an alias may stand for a single value only"),
    "a mapping that holds itself": (at_seed("&a {b: *a}"), "an alias may stand for a single value only"),
    "an alias for nothing": (at_seed("*x"), "found undefined alias"),
    "a merge key": ("<<: {seed: 1}\n" + COMPACT, "a key must be a plain word"),
    "a merge key of a number": ("<<: 1\n" + COMPACT, "a key must be a plain word"),
    "a key that is a number": ("1: 2\n" + COMPACT, "a key must be a plain word"),
    "a key that is nothing": ("~: 2\n" + COMPACT, "a key must be a plain word"),
    "a key of control characters": ('"a\\nb\\e[31m": 1\n' + COMPACT, "a key must be a plain word"),
    "a key of half a surrogate pair": ('"\\ud800": 1\n' + COMPACT, "a key must be a plain word"),
    "a long key": ("? " + "k" * 50_000 + "\n: 1\n" + COMPACT, "kkk' in "),
    "a long key twice": (("? " + "k" * 50_000 + "\n: 1\n") * 2, "kkk' stands here twice"),
    "many keys": ("".join(f"k{i}: 1\n" for i in range(2000)) + COMPACT, "and 1,980 more in "),
    "many wrong values": (
        COMPACT.replace("table_A: [1]", f"table_A: [{'1.5,' * 2000}]"),
        "and 1,980 more in ",
    ),
    "deep lists": (at_seed("[" * 500), "it is nested too deep"),
    "deep mappings": (at_seed("{a: " * 500), "it is nested too deep"),
    "deep blocks": ("- " * 50_000, "it is nested too deep"),
    "a number of 6000 digits": (at_seed("9" * 6000), "this cannot be read as int"),
    "a hexadecimal number of 6000 digits": (at_seed("0x" + "f" * 6000), "seed is a number of about 7,225 digits"),
    "a long number where decimals may be": (
        COMPACT.replace("lambda_A: 10.0", "lambda_A: 0x" + "f" * 6000),
        "loss.lambda_A is a number of about 7,225 digits",
    ),
    "a number to base 60": (at_seed("1" + ":59" * 3000), "seed is a number of about 5,335 digits"),
    "a long text": (at_seed("x" * 200_000), "seed is 'xxx"),
    "a truth value that is none": (at_seed('!!bool "maybe"'), "this cannot be read as bool ('maybe')"),
    "a date that is none": (at_seed("!!timestamp x"), "this cannot be read as timestamp"),
    "a number that is none": (at_seed('!!int ""'), "this cannot be read as int"),
    "a call": (at_seed("!!python/object/apply:os.system [touch ran]"), "could not determine a constructor for the tag"),
    "two documents": (COMPACT + "---\n" + COMPACT, "expected a single document"),
    "another version of YAML": ("%YAML 9.9\n---\n" + COMPACT, "found incompatible YAML document"),
    "a file of 256 kB": ("#" * (MOST_BYTES + 1), "more than 262,144 bytes, so it is no parameter file; give another"),
    "a zero byte": (COMPACT.encode() + b"\0", "is not valid YAML"),
    "UTF-16": (COMPACT.encode("utf-16"), "is not UTF-8 text (byte 0); save it as UTF-8"),
    "half a letter": (COMPACT.encode() + b"# \xc3", "is not UTF-8 text"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_attacks_is_one_clear_error(tmp_path: Path, attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, words = ATTACKS[attack]
    tracemalloc.start()
    before = time.process_time()
    try:
        result = read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - before < 20
    assert isinstance(result, UserError)
    assert words in str(result)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_an_alias_for_a_single_value_is_read(tmp_path: Path) -> None:
    text = TEXT.replace("lambda_A: 10.0", "lambda_A: &cycle 7.5").replace("lambda_B: 10.0", "lambda_B: *cycle")
    config = read(tmp_path, text)
    assert isinstance(config, Config)
    assert (config.loss.lambda_A, config.loss.lambda_B) == (7.5, 7.5)


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(UserError, match="/dev/zero has more than 262,144 bytes"):
        load(Path("/dev/zero"))


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("a\0b", "a" * 300):
        with pytest.raises(UserError, match=r"(cannot read|is not valid YAML)"):
            load(tmp_path / name)


# --- a real process ---------------------------------------------------------------------------------------------------


def test_a_stage_says_it_in_a_line_and_fails(tmp_path: Path) -> None:
    text = TEXT.replace("ngf: 32", "ngf: 1000000000").replace("seed: 0", "seed: -1")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages/train.py"), "--params", "params.yaml"],
        cwd=tmp_path,
        env=child_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "error: seed is -1 in params.yaml; it must be >= 0"
    assert second == "model.ngf is 1000000000 in params.yaml; it must be <= 1024 (64 in the paper)"
    assert done.stdout == ""
    assert not {"data", "models", "metrics", "reports"} & {path.name for path in tmp_path.iterdir()}
