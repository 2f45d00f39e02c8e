"""docs/job.md and docs/job.schema.json: from the models that validate a job."""

from __future__ import annotations

import importlib
import re

from pydantic import BaseModel
from reference.markdown import GENERATED, table
from reference.schema_words import Schema, default_words, section_names, value_words, variant_of
from typer.testing import CliRunner

from mediswarm.cli.app import app
from mediswarm.pipelines.find import BUILT_IN
from mediswarm.spec import Job
from mediswarm.spec.skeleton import EXAMPLE

INTRO = f"""\
# The job file

{GENERATED}

A job is a folder with a `job.yml` and the files that it names. It says everything about what is trained;
nothing else does, no option and no environment variable. This is a complete one:

```yaml
{(EXAMPLE / "job.yml").read_text(encoding="utf-8").rstrip()}
```

An unknown key, a contradiction or a missing file is an error that names the line. `mediswarm job validate`
checks a job. `mediswarm job show` prints it with every default filled in, and its hash: SHA-256 over the
document and the files that travel with it. The hash is in every run record and every saved model.

Editors that speak to a YAML language server check and complete job files by
[job.schema.json](job.schema.json), when this line stands at the top of job.yml:

```yaml
# yaml-language-server: $schema=PATH/TO/docs/job.schema.json
```
"""

CONFIG_INTRO = """\
# The `config` section

Its keys are the pipeline's own. A pipeline that a job brings along declares them in its `Config` class. Those
of the pipelines that come with MediSwarm follow.
"""

_ROLE = re.compile(r":\w+:`~?([^`]+)`")


def job_schema() -> str:
    """What `mediswarm job schema` prints."""
    return CliRunner().invoke(app, ["job", "schema"], catch_exceptions=False).stdout


def job_page() -> str:
    """The page."""
    lines = [INTRO, *_sections(Job.model_json_schema(), "", "`job.yml`"), CONFIG_INTRO]
    for name, path in sorted(BUILT_IN.items()):
        pipeline = f", pipeline `{name}`"
        lines += _sections(config_model(path).model_json_schema(), "config", f"`config`{pipeline}", pipeline)
    return "\n".join(lines).rstrip() + "\n"


def config_model(path: str) -> type[BaseModel]:
    """The model of the `config` section of a pipeline given as ``module:Class``."""
    module, _, name = path.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), name).Config
    return model


def _sections(schema: Schema, path: str, title: str, pipeline: str = "") -> list[str]:
    """The table of a section, and those of the sections within it, depth first.

    Args:
        schema: the section's JSON schema, with `$defs`.
        path: where it stands in the job file, such as `training.optimizer`.
        title: its heading.
        pipeline: what the headings of sections within it end with.
    """
    keys: Schema = schema["properties"]
    # the key that tells variants apart stands first
    names = sorted(keys, key=lambda name: "const" not in keys[name])
    rows = [
        (
            f"`{name}`",
            value_words(keys[name]),
            default_words(keys[name], name in schema.get("required", ())),
            keys[name].get("description", ""),
        )
        for name in names
    ]
    about = _ROLE.sub(r"`\1`", schema.get("description", "").partition("\n")[0])
    lines = [f"## {title}", "", about, "", *table(("key", "value", "default", "meaning"), rows)]
    for name in names:
        many = "[]" if keys[name].get("type") == "array" else ""
        below = f"{path}.{name}{many}".lstrip(".")
        for section in section_names(keys[name]):
            part = schema["$defs"][section]
            variant = variant_of(part)
            heading = f"`{below}`" + (f" with `{variant}`" if variant else "") + pipeline
            lines += _sections(part | {"$defs": schema["$defs"]}, below, heading, pipeline)
    return lines
