"""`gradstab ui`: the MLflow UI on the right store."""

from __future__ import annotations

import click

from gradstab.commands.options import results_option


@click.command()
@click.argument("study", required=False)
@click.option("--port", type=click.IntRange(1024, 65535), default=5000, show_default=True, help="First port to try.")
@click.option(
    "--trial", "trials", type=click.IntRange(min=0), multiple=True, help="Put this trial's heat maps on its page."
)
@results_option
def ui(study: str | None, port: int, trials: tuple[int, ...], results: str | None) -> None:
    """Serve the MLflow UI on the right store and print the link to STUDY, or to one of its trials."""
    from gradstab.commands.browse import serve_ui, show_heat_maps
    from gradstab.commands.lookup import find_begun
    from gradstab.errors import UsageError
    from gradstab.study.settings import resolve_settings

    if study is None:
        if trials:
            raise UsageError("--trial needs a STUDY: gradstab ui STUDY --trial 42")
        serve_ui(resolve_settings(None, None, results), None, port)
        return
    folder, settings = find_begun(study, results)
    page = show_heat_maps(folder, settings, trials) if trials else None
    serve_ui(settings, folder, port, page)
