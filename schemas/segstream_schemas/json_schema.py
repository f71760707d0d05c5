"""JSON Schema of the models, for every other language and for editors.

It is draft 7, which tools know best: AsyncAPI's, and the language servers that complete and check YAML. Descriptions
come from the models' docstrings.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

DIALECT: Final = "http://json-schema.org/draft-07/schema#"

_SECTION: Final = re.compile(r"\n\n(Parameters|Examples|Raises|Notes)\n-+\n")
_PARAMETER: Final = re.compile(r"^(\w+(?:, \w+)*) : .+$")
_TABLE: Final = re.compile(r"\n=[= ]+\n.*\n=[= ]+\n", re.DOTALL)


def json_schema(model: type[BaseModel], *, mode: Literal["in", "out"]) -> dict[str, Any]:
    """Return the schema of a model's JSON.

    Parameters
    ----------
    model : type
    mode : {"in", "out"}
        What is accepted, or what is written.

    Examples
    --------
    >>> from segstream_schemas import Published
    >>> schema = json_schema(Published, mode="out")
    >>> schema["properties"]["epoch"]
    {'description': 'The owner that told it.', 'type': 'integer'}
    """
    found = model.model_json_schema(
        schema_generator=_Generator,
        mode="validation" if mode == "in" else "serialization",
        ref_template="#/definitions/{model}",
    )
    definitions = found.pop("$defs", {})
    schema: dict[str, Any] = {"$schema": DIALECT, **_draft_7(found)}
    if definitions:
        schema["definitions"] = {name: _draft_7(part) for name, part in definitions.items()}
    return schema


def summary(model: type[BaseModel]) -> str:
    """Return what a model's docstring says before its sections.

    Examples
    --------
    >>> from segstream_schemas import Membership
    >>> summary(Membership)
    'Since when a user is in a segment, and until when if nothing happens.'
    """
    text = _TABLE.sub("\n", _SECTION.split(inspect.getdoc(model) or "")[0])
    return re.sub(r"\s+", " ", text).replace("``", "`").strip()


def parameters(model: type[BaseModel]) -> dict[str, str]:
    """Return what a model's docstring says of each field.

    Examples
    --------
    >>> from segstream_schemas import Memberships
    >>> parameters(Memberships)["sequence"]
    "Of the user's last change."
    """
    parts = _SECTION.split(inspect.getdoc(model) or "")
    found: dict[str, str] = {}
    names: list[str] = []
    body = parts[parts.index("Parameters") + 1] if "Parameters" in parts else ""
    for line in body.splitlines():
        if head := _PARAMETER.match(line):
            names = head[1].split(", ")
        elif line.startswith(" "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip().replace("``", "`")
    return found


class _Generator(GenerateJsonSchema):
    """Pydantic's schemas, with descriptions from numpydoc and without titles that only repeat names."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model = schema["cls"]
        found["description"] = summary(model)
        for name, text in parameters(model).items():
            key = model.model_fields[name].serialization_alias or name
            if key in found.get("properties", {}):
                found["properties"][key].setdefault("description", text)
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _draft_7(node: Any) -> Any:
    """Return a schema of draft 2020-12 in the words of draft 7."""
    if isinstance(node, list):
        return [_draft_7(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {name: _draft_7(part) for name, part in node.items()}
    if isinstance(found.get("prefixItems"), list):
        found["items"] = found.pop("prefixItems")
    if isinstance(found.get("patternProperties"), dict) and "additionalProperties" not in found:
        found["additionalProperties"] = False
        if set(found.get("propertyNames", {})) <= {"examples"}:
            found.pop("propertyNames", None)
    either = found.get("anyOf")
    if isinstance(either, list) and len(either) == 2 and either[1] == {"type": "null"}:  # noqa: PLR2004 - X or null
        first = either[0]
        if isinstance(first.get("type"), str) and "enum" not in first:
            # Shorter, and what editors say of a wrong value is shorter as well.
            del found["anyOf"]
            found = {**first, **found, "type": [first["type"], "null"]}
    if isinstance(found.get("$ref"), str) and len(found) > 1:
        # Beside a reference draft 7 sees nothing.
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found
