"""Tasks with an adapter: their files, their options as typed, and what a sweep and a plan make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyperscale.cli.main import run
from hyperscale.cli.show_plan import count_problems
from hyperscale.plan.preflight import load_tasks
from hyperscale.sweep.manifest import describe_task
from hyperscale.tasks.checks import make_options, parse_task_options, shown
from hyperscale.tasks.load import load_problems, load_task
from tests.fakes import fake_config, run_fake
from tests.tasks.adapters import counting
from tests.test_config import make


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    counting.register(monkeypatch)
    monkeypatch.setattr("hyperscale.storage.files._sync", lambda path: None)


def ids(path: Path, *texts: str) -> list[str]:
    loaded = load_problems(load_task(str(path)), task_options=parse_task_options(texts))
    return [problem.id for problem in loaded.problems]


def test_options_are_parsed_and_sorted() -> None:
    assert parse_task_options(["b.x=1", " a . y = 2=3 ", "x=1,2", "my.task.z=", "x=1,2"]) == (
        ("", "x", "1,2"),
        ("a", "y", "2=3"),
        ("b", "x", "1"),
        ("my.task", "z", ""),
    )


@pytest.mark.parametrize("text", ["", "x", "=1", ".x=1", "a.=1", "."])
def test_what_is_no_option_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--task-option '.*': expected \[TASK\.\]KEY=VALUE"):
        parse_task_options([text])


def test_two_values_for_one_option_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--task-option a\.x: given as 1 and as 2"):
        parse_task_options(["a.x=1", "a.x=2"])


def test_an_adapter_reads_the_rows_and_its_options_choose(tmp_path: Path) -> None:
    path = counting.write(tmp_path)
    loaded = load_problems(load_task(str(path)))
    assert [(p.id, p.prompt, p.gold, p.permutation) for p in loaded.problems][:2] == [
        ("n0", "Q: 0 + 1", "1", None),
        ("n1", "Q: 1 + 1", "2", None),
    ]
    assert ids(path, "first=3") == ["n3", "n4"]
    assert ids(path, "mine.first=4", "first=1") == ["n4"], "the task's own wins"
    assert not load_problems(load_task(str(path)), task_options=[("", "first", "3")]).partial, "chosen, not cut"
    assert load_problems(load_task(str(path)), task_options=[("", "first", "3")], limit=1).partial


def test_options_of_the_file_are_defaults(tmp_path: Path) -> None:
    path = counting.write(tmp_path, adapter="making", more="[options]\nfirst = 2")
    assert ids(path) == ["n2", "n3", "n4"]
    assert ids(path, "first=4") == ["n4"]
    assert shown(make_options(load_task(str(path)))) == {"first": "2", "shout": "false", "until": ""}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adapter": "countin"}, "no adapter 'countin', did you mean 'counting'"),
        ({"rows": ""}, "give one of hub_id, rows and generator, not none"),
        ({"adapter": "making", "rows": 'rows = "n.jsonl"'}, "rows must not be given: the adapter making makes its own"),
        (
            {"adapter": "making", "rows": 'revision = "x"'},
            "revision belongs to a dataset of the hub, the adapter making",
        ),
        ({"rows": 'generator = "trace"\nproblems = 5'}, "give an adapter or a generator, not both"),
        ({"more": '[columns]\nproblem = "p"\nanswer = "a"'}, "columns must not be given: the adapter counting reads"),
        ({"more": "[options]\nfrist = 1"}, "options.frist: Extra inputs are not permitted"),
        ({"more": "[options]\nfirst = -1"}, "options.first: Input should be greater than or equal to 0"),
    ],
)
def test_a_task_file_with_a_mistake_is_refused(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    path = counting.write(tmp_path, **fields)
    with pytest.raises(ValueError) as error:
        load_task(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_options_without_an_adapter_and_choices_with_one_are_refused(tmp_path: Path) -> None:
    path = counting.write(tmp_path)
    right = path.read_text()
    path.write_text(right.replace('adapter = "counting"\n', "") + "[options]\nfirst = 1\n")
    with pytest.raises(ValueError, match="options belong to an adapter"):
        load_task(str(path))
    path.write_text(right.replace('"number"', '"choice"'))
    with pytest.raises(ValueError, match="the grader choice needs columns"):
        load_task(str(path))
    path.write_text(right.replace('adapter = "counting"\n', ""))
    with pytest.raises(ValueError, match="columns: Field required"):
        load_task(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frist=1", "frist: unknown option 'frist'; did you mean 'first'?"),
        ("mine.frist=1", "mine.frist: unknown option 'frist'; did you mean 'first'?"),
        ("arithmetic.first=1", "arithmetic.first: arithmetic has no options"),
        ("yours.first=1", "yours.first: yours is not among --tasks mine,arithmetic"),
        ("first=x", "mine.first=x: must be a whole number"),
        ("mine.first=-1", "mine.first=-1: must be at least 0"),
        ("shout=maybe", "mine.shout=maybe: must be true or false"),
    ],
)
def test_a_sweep_and_a_plan_refuse_an_option_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    config = make(tasks=(str(counting.write(tmp_path)), "arithmetic"), task_options=parse_task_options([text]))
    for use in (load_tasks, count_problems):
        with pytest.raises(ValueError) as error:
            use(config)
        assert str(error.value) == f"--task-option {message}"


def test_a_task_without_options_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--task-option first: arithmetic, trace has no options"):
        load_tasks(make(tasks=("arithmetic", "trace"), task_options=(("", "first", "1"),)))


def test_a_plan_counts_what_options_leave(tmp_path: Path) -> None:
    own, made = counting.write(tmp_path), counting.write(tmp_path, name="made", adapter="making")
    counts = count_problems(
        make(tasks=(str(own), str(made)), task_options=(("", "first", "1"), ("made", "first", "4")))
    )
    assert counts == {"mine": 4, "made": 1}
    hub = counting.write(tmp_path, name="hub", rows='hub_id = "a/b"\nrevision = "c"\nproblems = 90')
    assert count_problems(make(tasks=(str(hub),))) == {"hub": 90}
    assert count_problems(make(tasks=(str(hub),), task_options=(("", "first", "1"),))) == {"hub": None}
    assert count_problems(make(tasks=(str(hub),), task_options=(("", "first", "1"),), limit=5)) == {"hub": 5}


def test_an_adapter_is_part_of_its_task_s_identity_and_options_are_not(tmp_path: Path) -> None:
    task = load_task(str(counting.write(tmp_path, adapter="making")))
    some, more = (
        describe_task(task, load_problems(task, task_options=options), ())["identity"]
        for options in ((), [("", "first", "3")])
    )
    assert some["adapter"] == "making"
    assert some == more
    assert (
        "adapter" not in describe_task(load_task("arithmetic"), load_problems(load_task("arithmetic")), ())["identity"]
    )


def test_other_options_extend_a_folder(tmp_path: Path) -> None:
    task = counting.write(tmp_path, adapter="making")
    few = run_fake(fake_config(tmp_path / "out", task, task_options=(("", "first", "3"),)))
    all_of_them = run_fake(fake_config(tmp_path / "out", task))
    assert (few.generated_samples, all_of_them.generated_samples) == (2 * 4, 3 * 4)
    assert few.points["complete"].all()
    assert set(all_of_them.points["problems"]) == {5}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["config"]["task_options"] == []
    assert "task_options" not in manifest["identity"]["config"]


def test_options_come_from_flags_variables_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = counting.write(tmp_path, adapter="making")
    arguments = ["plan", "--model", "nowhere", "-t", str(path), "--widths", "1", "--lengths", "64"]

    def count(*more: str) -> str:
        assert run([*arguments, *more]) == 0
        return capsys.readouterr().out.partition(" problems")[0].rpartition(": ")[2]

    assert count() == "5"
    (tmp_path / "sweep.toml").write_text('task-option = ["first=1", "shout=true"]')
    assert count("--config", str(tmp_path / "sweep.toml")) == "4"
    monkeypatch.setenv("HYPERSCALE_TASK_OPTION", "mine.first=2 shout=no")
    assert count("--config", str(tmp_path / "sweep.toml")) == "3"
    assert count("--task-option", "first=3", "--task-option", "mine.shout=no") == "2"
    assert run([*arguments, "--task-option", "frist=3"]) == 2
    assert "did you mean 'first'?" in capsys.readouterr().err


def test_a_task_is_shown_with_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = counting.write(tmp_path, adapter="making", more="[options]\nfirst = 2")
    assert run(["tasks", str(path)]) == 0
    out = capsys.readouterr().out
    assert "problems: generated\n" in out
    assert "  --task-option mine.first=2  the first number\n  --task-option mine.shout=false\n" in out
    assert "Q: 2 + 1" in out
    assert run(["tasks"]) == 0
    assert "chains=40" in capsys.readouterr().out.replace("\n", "")
