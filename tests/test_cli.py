"""python -m resnet_lib: what people type, and the one line they get when it cannot work."""

import json

import pytest

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


def test_run_and_record(home, capsys):
    assert main(["run", "imagenet_family", "--variants", "resnet-18", "--record"]) == FINISHED
    recorded = home / "data" / "runs" / "imagenet_family" / "quick" / "resnet-18-s0.json"
    assert json.loads(recorded.read_text())["rows"][0]["parameters"] == 11_689_512
    assert str(recorded) in capsys.readouterr().out
