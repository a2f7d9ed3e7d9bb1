"""What --output-dir may be, and what is said where it leads nowhere."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperscale.cli.main import run
from hyperscale.config import make_config
from hyperscale.storage.remote import is_local, to_place
from tests.fakes import fake_config, write_task
from tests.faults.command import swept
from tests.results.places import BUCKET


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path, problems=3)


@pytest.mark.parametrize("text", ["results/x", "/a/b", "../x", "a:b/c"])
def test_what_is_no_url_is_a_path_as_it_was(text: str) -> None:
    assert to_place(text) == Path(text) == to_place(Path(text))


def test_a_file_url_is_the_local_path() -> None:
    for text in ("file:///a/b", "local:///a/b"):
        place = to_place(text)
        assert place == Path("/a/b")
        assert is_local(place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3x://bucket/x", "s3x://bucket/x: no such protocol, 's3x'; name a local folder, s3:// or gs://"),
        ("gs://bucket/x", "gs://bucket/x: needs pip install 'hyperscale[gs]'"),
        ("s3://bucket", "s3://bucket: name a folder in it, such as s3://bucket/sweep"),
        ("s3:///", "s3:///: name a folder in it, such as s3://bucket/sweep"),
        ("memory://", "memory://: name a folder in it, such as memory://bucket/sweep"),
    ],
)
def test_urls_that_lead_nowhere_are_refused(text: str, words: str, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ValueError, match=r".") as caught:
        to_place(text)
    assert str(caught.value) == words
    ended = swept(text, task)  # type: ignore[arg-type]
    assert (ended.code, ended.error) == (2, f"error: {words}")
    assert run(["figures", text]) == 2


def test_a_config_holds_a_url(task: Path) -> None:
    config = fake_config("s3://bucket/deep/x/", task)  # type: ignore[arg-type]
    assert str(config.output_dir) == "s3://bucket/deep/x"
    assert config.output_dir.name == "x"
    assert not is_local(config.output_dir)
    for again in (
        make_config(**json.loads(config.model_dump_json())),
        pickle.loads(pickle.dumps(config)),
        config.model_copy(update={"output_dir": to_place(config.output_dir)}),
    ):
        assert again == config
        assert hash(again) == hash(config)
    for nothing in ("", None, 5):
        with pytest.raises(ValueError, match=r"^--output-dir (None|5|must not be empty)"):
            fake_config(nothing, task)  # type: ignore[arg-type]


def test_the_storage_s_own_options_are_kept() -> None:
    from upath import UPath

    place: Any = to_place(UPath("s3://bucket/x", endpoint_url="http://127.0.0.1:1"))  # type: ignore[arg-type]
    assert place.storage_options == {"endpoint_url": "http://127.0.0.1:1", "use_listings_cache": False}


def test_a_bucket_that_is_not_there(s3: str, task: Path) -> None:
    ended = swept("s3://nobody/x", task)  # type: ignore[arg-type]
    assert ended.code == 2
    assert ended.error.startswith("error: cannot write s3://nobody/x/.lock")
    assert "bucket does not exist" in ended.error
    assert "see that its bucket is there" in ended.error


def test_credentials_that_are_missing(s3: str, task: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    forget_connections()
    ended = swept(f"s3://{BUCKET}/without", task)  # type: ignore[arg-type]
    forget_connections()
    assert ended.code == 2
    assert "Unable to locate credentials" in ended.error


def test_a_server_that_does_not_answer(s3: str, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    forget_connections()
    ended = swept(f"s3://{BUCKET}/silent", task)  # type: ignore[arg-type]
    figures = run(["figures", f"s3://{BUCKET}/silent"])
    forget_connections()
    assert (ended.code, figures) == (2, 2)
    assert "Could not connect to the endpoint" in ended.error


def forget_connections() -> None:
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


def test_figures_of_a_url_without_points(url: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["figures", str(url)]) == 2
    assert f"{url} holds no points.parquet" in capsys.readouterr().err
