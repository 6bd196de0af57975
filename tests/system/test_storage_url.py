"""What addresses of storage and of MLflow name, and which are refused, without a password ever being shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradstab.errors import UsageError
from gradstab.system import storage_url
from gradstab.system.storage_url import (
    JournalFile,
    MlflowServer,
    OtherMlflowStore,
    Postgresql,
    SqliteFile,
    parse_storage,
    parse_tracking,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("journal:/a/b", JournalFile("journal:/a/b", Path("/a/b"))),
        ("sqlite:////a/b.db", SqliteFile("sqlite:////a/b.db", Path("/a/b.db"))),
        ("postgres://u:s3cret@h/d", Postgresql("postgres://u:s3cret@h/d", "postgresql://u:s3cret@h/d")),
        ("postgresql+psycopg://h/d", Postgresql("postgresql+psycopg://h/d", "postgresql://h/d")),
    ],
)
def test_storage(text: str, expected: object) -> None:
    assert parse_storage(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h:5000", MlflowServer("http://h:5000")),
        ("https://u:s3cret@h/path", MlflowServer("https://u:s3cret@h/path")),
        ("sqlite:////a/b.db?timeout=9", SqliteFile("sqlite:////a/b.db?timeout=9", Path("/a/b.db"))),
        ("postgresql+psycopg2://h/d", Postgresql("postgresql+psycopg2://h/d", "postgresql://h/d")),
        *(
            (text, OtherMlflowStore(text))
            for text in ("./mlruns", "file:///a", "mysql+pymysql://h/d", "databricks://p")
        ),
    ],
)
def test_tracking(text: str, expected: object) -> None:
    assert parse_tracking(text) == expected


@pytest.mark.parametrize(
    "text",
    ["htp://127.0.0.1:5", "htp://u:s3cret@h", "localhost:5000", "127.0.0.1:5000", "http:///x", "http://[", "sqlite://", "sqlite:///", "postgres://u:s3cret@h/d", "journal:/a", ""],
)  # fmt: skip
def test_what_mlflow_cannot_read_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"^MLFLOW_TRACKING_URI must be http://HOST:PORT, .*, got ") as caught:
        parse_tracking(text, "MLFLOW_TRACKING_URI")
    said = str(caught.value)
    assert "s3cret" not in said
    assert "\n" not in said
    assert said.endswith(f": write http://{text}") == bool(re.fullmatch(r"[\w.]+:5000", text))


def test_a_plug_in_of_mlflow_may_bring_a_scheme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mlflow.tracking_store]\nmystore = plugin:Store\n")
    with pytest.raises(UsageError):
        parse_tracking("mystore://h")
    monkeypatch.syspath_prepend(tmp_path)
    assert parse_tracking("mystore://h") == OtherMlflowStore("mystore://h")
    with pytest.raises(UsageError):
        parse_tracking("yours://h")


def test_no_text_form_of_an_address_shows_its_password() -> None:
    url = "postgresql://me:s3cret@h/d?password=s3cret"
    for address in (parse_storage(url), parse_tracking(url), parse_tracking("http://me:s3cret@h")):
        for text in (str(address), repr(address), f"{address}", f"{[address]}", f"{address!r}"):
            assert "s3cret" not in text
            assert "***" in text
        assert "s3cret" in address.url
    assert storage_url.without_passwords(f"see {url}") == "see postgresql://***@h/d?password=***"
