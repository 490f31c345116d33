"""Trained weights: written beside a run's live record, kept in data/weights/ with the recorded ones.

A file holds the net's state and the id of the run it came from, so that a record only ever gets the
weights that it describes.
"""

from pathlib import Path

import torch
import torch.nn as nn

from .. import nets
from ..files import home, recorded, write_atomically
from ..records import Record, RecordError
from ..surroundings import standard
from ..wording import advice


def recorded_path(record: Record) -> Path:
    """Where the weights of a recorded run are committed to."""
    return home() / "data" / "weights" / record.experiment / record.tier / f"{record.variant}-s{record.seed}.pt"


def write(path: str | Path, net: nn.Module, recipe_id: str) -> None:
    """Write a net's state and the id of its run to one file, atomically; RecordError where that fails."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in net.state_dict().items()}
    content = {"recipe_id": recipe_id, "state": tensors}
    try:
        write_atomically(Path(path), lambda file: torch.save(content, file))
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        again = advice("run the same command with --resume", "call the same again")
        raise RecordError(f"{path}: the weights cannot be written ({getattr(error, 'strerror', None) or error}); make "
                          f"room, then {again}") from error


@standard()
def load(record: Record, path: str | Path | None = None) -> nn.Module:
    """The trained net of a record, on the CPU in evaluation mode.

    Its file is the recorded one unless ``path`` names another. RecordError where there is none, where
    it cannot be read, or where it holds the weights of another run.
    """
    path = Path(path or recorded(*recorded_path(record).parts[-4:]))
    name = f"{record.variant}-s{record.seed}"
    if not path.exists():
        raise RecordError(f"{path}: there are no weights of {name}; the paper tier keeps those of some runs: "
                          f"python -m resnet_lib queue")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        recipe_id, state = content["recipe_id"], content["state"]
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a truncated zip, a pickle with code in it, another format
        raise RecordError(f"{path}: not a file of weights ({type(error).__name__}). Delete it and record the run "
                          f"again") from error
    if recipe_id != record.recipe_id:
        raise RecordError(f"{path}: these are the weights of run {recipe_id[:8]}, and the record of {name} is of run "
                          f"{record.recipe_id[:8]}. Delete the file and record the run again")
    deeper = record.recipe.get("deepen_to")  # a net that grew has the names of one that was built so deep
    net = nets.build(record.net | ({"depth": deeper} if deeper else {}))
    net.load_state_dict(state)
    return net.eval()


def store(record: Record, live: Path) -> Path | None:
    """Copy the weights that a run left at ``live`` to data/weights, checked; None where it left none."""
    if not live.exists():
        return None
    path = recorded_path(record)
    write(path, load(record, live), record.recipe_id)
    return path
