"""The config of a data set's table, SET.json, and the training configs of its rows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from vqrank_train.config import ConfigError
from vqrank_train.errors import quote
from vqrank_train.trainer.plan import check_keys, check_number
from vqrank_train.trainer.spec import check_options, read_json

DATA_SETS: tuple[str, ...] = ("commits", "kuairand")
CONTENT = "content"  # a table of its own on kuairand, of what vectors of the videos' content add
TABLES = (*DATA_SETS, CONTENT)
# Of content beside its features: configs of tables and quantizers, the quantizers' files, and files of codes, which are
# columns of their own.
CONTENT_PARTS = ("tables", "quantizers", "files", "codes")
BASE = "base"  # key of a table that has what it does not say from another one's file
VALIDATIONS = 4  # of a run, the last one at its end; the best of them is the checkpoint


def read_table(name: str, configs: Path) -> dict[str, Any]:
    """The config of a data set's table."""
    path = configs / f"{name}.json"
    table = read_json(path)
    if isinstance(table, dict) and BASE in table:
        base = table.pop(BASE)
        if base not in DATA_SETS:
            raise ConfigError(f"{path}: {BASE}: expected one of {', '.join(DATA_SETS)}, found {quote(base)}")
        table = {**read_table(base, configs), **table}
    try:
        check_table(table, name)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return dict(table)


def rows_of(name: str, configs: Path) -> list[str]:
    """The rows of a data set's table that are trained."""
    return list(read_table(name, configs)["rows"])


def spec_of(table: dict[str, Any], row: str, setting: str = "") -> dict[str, Any]:
    """The training config of one row: the data set's common part with the row's sequences, widths and steps.

    `setting` is one of the table's settings; unless told, the row's own, which `vqrank-train table --tune` found best.
    """
    own = table["rows"][row]
    chosen = table["settings"][setting or own["setting"]]
    sequences = [copy.deepcopy(table["sequences"][key]) for key in own["sequences"]]
    model = table["model"] | {"sequences": [s["sequence"] for s in sequences]}
    model["head"] = model["head"] | {"hidden": own["hidden"]}
    start = table.get("start", {}) | {s["sequence"]["name"]: s["start"] for s in sequences} | chosen.get("start", {})
    training = table["training"] | {"steps": own["steps"]} | chosen.get("training", {})
    training["validate"] = -(-training["steps"] // VALIDATIONS)
    spec = {"model": model, "start": start, "training": training}
    for name in own.get("without", []):
        leave_out(model, name)
    if "content" in own:
        add_content(spec, copy.deepcopy(table["content"][own["content"]]))
    return spec


def leave_out(model: dict[str, Any], name: str) -> None:
    """A model without a feature of events and candidates and its table."""
    model["tables"] = {table: entry for table, entry in model["tables"].items() if table != name}
    for group in ("event", "candidate"):
        model[group] = [feature for feature in model[group] if feature["name"] != name]


def add_content(spec: dict[str, Any], content: dict[str, Any]) -> None:
    """A training config with content: features of events and candidates alike, their tables, quantizers and files."""
    model = spec["model"]
    for key in ("tables", "quantizers"):
        model[key] = model.get(key, {}) | content.get(key, {})
    for group in ("event", "candidate"):
        model[group] = [*model[group], *content["features"]]
    if "files" in content:
        spec["start"]["quantizers"] = content["files"]
    if "codes" in content:
        spec["codes"] = content["codes"]


def check_table(table: Any, name: str) -> None:
    """Refuse a table of which `spec_of` cannot make every row with every setting.

    What a model and its start may be is said where one is made.
    """
    required = ("data", "model", "training", "sequences", "rows", "settings", "trial_share")
    check_keys(table, "the table", required, ("start", "content"))
    if table["data"] != name:
        raise ConfigError(f"data: expected {quote(name)}, as the file is named, found {quote(table['data'])}")
    for key in ("model", "training", "sequences", "rows", "settings"):
        check_object(table[key], key)
    check_object(table.get("start", {}), "start")
    check_number(table["trial_share"], "trial_share")
    if not 0 < table["trial_share"] <= 1:
        raise ConfigError(f"trial_share: expected a number above 0, at most 1, found {quote(table['trial_share'])}")
    check_object(table["model"].get("head"), "model.head")
    for key, sequence in table["sequences"].items():
        check_keys(sequence, f"sequences.{key}", ("sequence", "start"))
        check_object(sequence["sequence"], f"sequences.{key}.sequence")
        if not isinstance(sequence["sequence"].get("name"), str):
            raise ConfigError(f"sequences.{key}.sequence.name: expected a name, found none")
    for key, setting in table["settings"].items():
        check_keys(setting, f"settings.{key}", (), ("training", "start"))
        for part in setting:
            check_object(setting[part], f"settings.{key}.{part}")
    check_object(table.get("content", {}), "content")
    for key, content in table.get("content", {}).items():
        check_keys(content, f"content.{key}", ("features",), CONTENT_PARTS)
        check_array(content["features"], f"content.{key}.features")
        for part in CONTENT_PARTS:
            check_object(content.get(part, {}), f"content.{key}.{part}")
    for key, row in table["rows"].items():
        where = f"rows.{key}"
        check_keys(row, where, ("sequences", "hidden", "steps", "setting"), ("content", "without"))
        if "content" in row:
            check_one_of(row["content"], table.get("content", {}), f"{where}.content")
        check_array(row.get("without", []), f"{where}.without")
        for name in row.get("without", []):
            check_one_of(name, table["model"].get("tables", {}), f"{where}.without")
        check_array(row["sequences"], f"{where}.sequences")
        for sequence in row["sequences"]:
            check_one_of(sequence, table["sequences"], f"{where}.sequences")
        check_one_of(row["setting"], table["settings"], f"{where}.setting")
        try:
            check_options({"steps": row["steps"]})
            check_options({"steps": round(row["steps"] * table["trial_share"])})
            for setting in table["settings"]:
                check_options(spec_of(table, key, setting)["training"])
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def check_object(value: Any, where: str) -> None:
    """Refuse what is no JSON object."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected an object, found {quote(value)}")


def check_array(value: Any, where: str) -> None:
    """Refuse what is no JSON array."""
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected an array, found {quote(value)}")


def check_one_of(value: Any, known: dict[str, Any], where: str) -> None:
    """Refuse what is no key of `known`."""
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{where}: expected one of {', '.join(known)}, found {quote(value)}")
