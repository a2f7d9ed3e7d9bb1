"""Loading a checkpoint, or what a training left, runs none of its code: canaries that would leave a file."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hyperscale
from hyperscale.cli.main import run
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import load_model, load_spec
from hyperscale.pretrain import train
from hyperscale.retrofit.parallel import STATE, load_state
from tests.gated_models import write_gated_model
from tests.tiny_models import write_tiny_model


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, sign: Path) -> None:
        self.sign = str(sign)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (self.sign, "w")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_tiny_model(root / "single")
    write_tiny_model(root / "shards", max_shard_size="10KB")
    write_gated_model(root / "gated", "ours-linear")
    return root


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    return tmp_path / "was-run"


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    return shutil.copytree(models / "single", tmp_path / "model")


def edit(path: Path, **fields: Any) -> None:
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(old | fields))


def test_the_canary_sings(tmp_path: Path, sign: Path) -> None:
    torch.save({"weight": Canary(sign)}, tmp_path / "canary.bin")
    assert not sign.exists()
    torch.load(tmp_path / "canary.bin", weights_only=False)
    assert sign.exists()


def test_pickled_weights_are_refused_unread(
    folder: Path, tmp_path: Path, sign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Canary(sign)}, folder / "pytorch_model.bin")
    arguments = ["sweep", "--model", str(folder), "-t", "arithmetic", "--widths", "1", "--lengths", "64"]
    assert run([*arguments, "--backends", "vanilla", "-o", str(tmp_path / "out")]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "only pickle (.bin) weights. They may run code when loaded and are refused" in line
    assert not sign.exists()


@pytest.mark.parametrize("save", [torch.save, lambda canary, path: path.write_bytes(pickle.dumps(canary))])
@pytest.mark.parametrize(
    ("model", "name"),
    [("single", "model.safetensors"), ("shards", "model-00002-of-*.safetensors"), ("gated", "gates.safetensors")],
)
def test_a_pickle_under_the_name_of_safetensors_is_refused(
    models: Path, tmp_path: Path, sign: Path, model: str, name: str, save: Callable[[Any, Path], None]
) -> None:
    folder = shutil.copytree(models / model, tmp_path / "model")
    [weights] = folder.glob(name)
    save(Canary(sign), weights)
    with pytest.raises(ValueError, match=rf"{weights.name}: not a readable safetensors file"):
        load_model(str(folder), device="cpu")
    assert not sign.exists()


def test_a_pickle_under_the_name_of_a_gguf_file_is_refused(tmp_path: Path, sign: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(pickle.dumps(Canary(sign)))
    with pytest.raises(ValueError, match="not a readable GGUF file"):
        load_model(str(tmp_path / "model.gguf"), device="cpu")
    assert not sign.exists()


@pytest.mark.parametrize("named", ["pytorch_model.bin", "../model.safetensors", "/model.safetensors", 7, ["x"], None])
def test_an_index_names_safetensors_beside_it_and_nothing_else(
    models: Path, tmp_path: Path, sign: Path, named: object
) -> None:
    folder = shutil.copytree(models / "shards", tmp_path / "model")
    torch.save({"weight": Canary(sign)}, folder / "pytorch_model.bin")
    index = folder / "model.safetensors.index.json"
    edit(index, weight_map=json.loads(index.read_text())["weight_map"] | {"model.norm.weight": named})
    with pytest.raises(ValueError, match=r"names an entry that is no \.safetensors file beside it"):
        load_model(str(folder), device="cpu")
    assert not sign.exists()


MODULES = (
    "modeling_llama", "configuration_llama", "tokenization_llama", "tokenization_evil", "modeling_evil",
    "configuration_evil", "chat_template", "conftest", "__init__", "sitecustomize",
)  # fmt: skip
MAPS = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}


def test_code_beside_the_weights_is_ignored(
    folder: Path, models: Path, sign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(sign)!r}, 'w')\n\n\nclass Evil:\n    pass\n")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"open({str(sign)!r}, 'w')\n")
    torch.save({"weight": Canary(sign)}, folder / "pytorch_model.bin")
    edit(folder / "config.json", auto_map=MAPS, custom_pipelines={"x": {"impl": "modeling_evil.Evil"}})
    edit(folder / "generation_config.json", custom_generate="modeling_evil.Evil")
    plain, loaded = load_model(str(models / "single"), device="cpu"), load_model(str(folder), device="cpu")
    assert load_spec(str(folder)) == load_spec(str(models / "single"))
    assert torch.equal(loaded.decoder.embed, plain.decoder.embed)
    assert not sign.exists()


@pytest.mark.parametrize("kind", ["config", "tokenizer"])
def test_what_asks_for_code_of_its_own_is_refused_or_ignored(folder: Path, sign: Path, kind: str) -> None:
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(sign)!r}, 'w')\n")
    if kind == "config":
        edit(folder / "config.json", model_type="evil", auto_map=MAPS)
        with pytest.raises(ValueError, match="unsupported architecture 'evil'"):
            load_model(str(folder), device="cpu")
    else:
        edit(
            folder / "tokenizer_config.json",
            tokenizer_class="Evil", auto_map={"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]},
        )  # fmt: skip
        with pytest.raises(ValueError, match="tokenizer cannot be loaded: it needs remote code"):
            load_model(str(folder), device="cpu")
    assert not sign.exists()


TEMPLATES = {
    "reaches for classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reaches for globals": "{{ cycler.__init__.__globals__.os.mkdir('SIGN') }}",
    "asks for a module": "{{ self.__init__.__globals__['__builtins__']['open']('SIGN', 'w') }}",
    "includes a file": "{% include '/etc/passwd' %}",
    "divides": "{{ 1 / 0 }}",
    "counts for long": "{% for i in range(10 ** 9) %}{% endfor %}",
    "adds what does not add": "{{ messages + 1 }}",
    "never ends": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "is no template": "{% for",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_does_more_than_write_is_refused(models: Path, sign: Path, name: str) -> None:
    tokenizer = load_model(str(models / "single"), device="cpu").tokenizer
    tokenizer.chat_template = TEMPLATES[name].replace("SIGN", str(sign))
    with pytest.raises(ValueError, match=r"The model's chat template refuses messages of user: .") as caught:
        encode_prompt(tokenizer, "2 + 2?")
    assert "\n" not in str(caught.value)
    assert not sign.exists()


def test_what_a_training_left_is_read_without_running_it(tmp_path: Path, sign: Path) -> None:
    torch.save({"step": 1, "weights": {}, "optimizer": Canary(sign)}, tmp_path / STATE)
    with pytest.raises(ValueError, match="not a readable state"):
        load_state(tmp_path)
    torch.save({"recipe": Canary(sign)}, tmp_path / train.STATE)
    trainer = object.__new__(train.Training)
    trainer.folder = tmp_path
    with pytest.raises(ValueError, match="not a state of this command"):
        trainer._restore()
    assert not sign.exists()


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_no_source_unpickles_or_trusts() -> None:
    root, loads = Path(hyperscale.__file__).parent, 0
    for path in root.rglob("*.py"):
        for call in calls(ast.parse(path.read_text(encoding="utf-8"))):
            name, flags = ast.unparse(call.func), {key.arg: ast.unparse(key.value) for key in call.keywords}
            # A Ray worker's bytes come from its own driver, whose calls Ray pickles anyway.
            if path.relative_to(root).as_posix() != "executors/ray/worker.py":
                assert name not in ("pickle.load", "pickle.loads", "joblib.load", "dill.load", "marshal.loads"), path
            assert flags.get("trust_remote_code", "False") == "False", path
            assert flags.get("allow_pickle", "False") == "False", path
            if name == "torch.load":
                assert flags.get("weights_only") == "True", path
                loads += 1
    assert loads >= 2
