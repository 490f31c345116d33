"""The check for a GPU, tried on the processor; and that it can fail."""

import pytest
import torch

from resnet_lib.__main__ import FAILED, FINISHED, main
from resnet_lib.bench import gpu


@pytest.mark.slow
def test_the_command_goes_through_all_checks(home, capsys):
    assert main(["gpu"]) == FINISHED
    said = capsys.readouterr().out
    assert said.count(" ok ") == len(gpu.CHECKS) and "all is well" in said
    assert torch.cuda.is_available() or "no CUDA GPU here" in said


def test_a_check_that_fails_is_told_and_does_not_stop_the_others(monkeypatch, capsys):
    def breaks(m):
        raise ValueError("two\nlines")

    monkeypatch.setattr(gpu, "CHECKS", (breaks, gpu.memory_levels_off))
    assert main(["gpu"]) == FAILED
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED  ValueError: two (test_gpu.py:" in lines[1] and lines[-1].startswith("something is not")
    assert len(lines) == 4


def test_two_ways_that_are_not_alike_are_noticed():
    m = gpu.Machine()
    one, other = m.run(m.one, lr=1e-3), m.run(m.one, lr=2e-3)
    begun = gpu._weights(one)
    one.step(), other.step()
    with pytest.raises(AssertionError, match="of their way apart"):
        gpu._alike(one, other, begun)
