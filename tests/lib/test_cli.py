"""python -m resnet_lib: what people type, and the one line they get when it cannot work."""

from dataclasses import fields
import argparse
import json

import pytest

from resnet_lib import options
from resnet_lib.recipe import Execution
from resnet_lib.__main__ import FAILED, FINISHED, main


def test_list_names_every_experiment_and_variant(home, capsys):
    assert main(["list"]) == FINISHED
    text = capsys.readouterr().out
    for word in ("degradation", "imagenet_family", "plain-56-3x", "paper", "0 recorded"):
        assert word in text


def test_env(home, capsys):
    assert main(["env"]) == FINISHED
    text = capsys.readouterr().out
    assert "torch" in text and "CIFAR-10: not here (make data)" in text and "digits: here" in text


@pytest.mark.parametrize("words, expected", [
    (["run", "degradaton"], "degradation, mnist_simple"),
    (["run", "degradation", "--tier", "fast"], "quick, short, paper"),
    (["run", "degradation", "--variants", "plain-21"], "plain-20, plain-56"),
    (["run", "degradation", "--device", "gpu"], "auto, cpu, cuda"),
    (["run", "degradation", "--resume", "there.ckpt"], "--variants and --seeds"),
    (["data", "cifar"], "mnist, fashion_mnist, cifar10"),
    (["queue", "--device", "gpu"], "auto, cpu, cuda"),
    (["list", "--missing", "--precision", "half"], "float32, tf32, bf16"),
    (["queue", "--only", "plain-21"], "degradation/short/plain-20-s0"),
    (["bench", "--device", "gpu"], "auto, cpu, cuda"),
])
def test_bad_words_get_one_line_with_the_valid_ones(home, capsys, words, expected):
    assert main(words) == FAILED
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("error: ") and expected in captured.err
    assert not list(home.rglob("*.json"))


def test_bad_seeds(capsys):
    with pytest.raises(SystemExit):
        main(["run", "degradation", "--seeds", "a"])
    assert "0,1,2" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "--device cpu --threads 2 --checkpoint-every 5.0", "--fast --device cpu",
                                   "--precision bf16 --no-channels-last --fused --compile --no-graphs --interleave 4 "
                                   "--threads 2"])
def test_options_of_how_runs_are_carried_out_say_themselves_again(words):
    """`list --missing` prints commands that do what was asked of it."""
    parser = argparse.ArgumentParser()
    options.add_execution(parser)
    args = parser.parse_args(words.split())
    assert sorted(options.flags(args)) == sorted(words.split())
    assert len(options.given(args)) == words.count("--") - args.fast
    assert options.execution(args, Execution(threads=7)).threads == {"": 7, "--fast": 1}.get(words.split(" ")[0], 2)


@pytest.mark.parametrize("words, interleave", [("", 4), ("--budget 540", 1), ("--budget 540 --interleave 2", 2)])
def test_a_budget_goes_to_one_run_after_the_other(words, interleave):
    """Four at once would all be stopped on the way, where it ends before the first is finished."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=float)
    options.add_execution(parser)
    assert options.execution(parser.parse_args(words.split()), Execution(interleave=4)).interleave == interleave


def test_every_field_of_an_execution_has_its_option():
    parser = argparse.ArgumentParser()
    options.add_execution(parser)
    assert set(vars(parser.parse_args([]))) == {f.name for f in fields(Execution)} | {"fast"}


def test_run_and_record(home, capsys):
    assert main(["run", "imagenet_family", "--variants", "resnet-18", "--record"]) == FINISHED
    recorded = home / "data" / "runs" / "imagenet_family" / "quick" / "resnet-18-s0.json"
    assert json.loads(recorded.read_text())["rows"][0]["parameters"] == 11_689_512
    assert str(recorded) in capsys.readouterr().out
