"""`billing templates`: check and preview every mail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from billing.cli.shared import ConfigOption, JsonOption, print_json, read_config, say

app = typer.Typer(help="Mail templates: check and preview them.", no_args_is_help=True)


@app.command()
def check(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Render every kind in every language with every edge case, and list what is wrong."""
    from billing.app.runtime import templates_dir
    from billing.mail.check import check_templates

    loaded = read_config(config)
    faults = check_templates(loaded.settings, templates_dir(loaded), logo=loaded.logo())
    if json:
        print_json({"faults": faults})
    elif faults:
        say("\n".join(faults))
    else:
        print("every template is correct")
    raise typer.Exit(1 if faults else 0)


@app.command()
def preview(
    config: ConfigOption = None,
    directory: Annotated[
        Path | None,
        typer.Option("--to", help="Folder for the pages (default: var/preview beside the config file)."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the index.")] = True,
) -> None:
    """Write a page that shows every mail (languages, light and dark, phone and desktop), and open it."""
    from billing.app.runtime import templates_dir
    from billing.mail.check import write_preview

    loaded = read_config(config)
    folder = directory or loaded.resolve("var/preview")
    index = write_preview(loaded.settings, templates_dir(loaded), folder, loaded.logo())
    print(index)
    if open_browser and sys.stdout.isatty():
        typer.launch(str(index))
