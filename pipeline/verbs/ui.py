"""`gradstab ui`: the MLflow UI on the right store."""

from __future__ import annotations

import click

from pipeline.verbs.options import results_option


@click.command()
@click.argument("study", required=False)
@click.option("--port", type=click.IntRange(1024, 65535), default=5000, show_default=True, help="First port to try.")
@results_option
def ui(study: str | None, port: int, results: str | None) -> None:
    """Serve the MLflow UI on the right store and print the link to STUDY."""
    from pipeline.browse import serve_ui
    from pipeline.lookup import find_begun
    from pipeline.settings import resolve_settings

    if study is None:
        serve_ui(resolve_settings(None, None, results), None, port)
        return
    folder, settings = find_begun(study, results)
    serve_ui(settings, folder, port)
