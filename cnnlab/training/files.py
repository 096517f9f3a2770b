"""A run as a file: one .npz without pickles, of its arrays and of `facts`, all the rest as text."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from ..data import unpacked, unreadable
from .digits import fingerprint
from .kept import Best, Epoch
from .settings import number, whole

FORMAT = 2
EACH_STEP = "losses", "hits", "rates"


def write(path, arrays):
    """An .npz file, written beside its place and moved there when it is whole: till then an older one stays."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with ZipFile(part, "w") as archive:
            for name, value in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read(path) -> tuple[dict, dict]:
    """(arrays, facts) of a saved run. Raises ValueError that says what is wrong with the file."""
    content = Path(path).read_bytes()  # not tried below: a file that cannot be opened is not a damaged one
    try:
        arrays = {name.removesuffix(".npy"): array for name, array in unpacked(content).items()}
    except Exception as problem:  # one flipped bit can raise nearly any
        raise ValueError(f"{path} is no saved run, or is damaged: {unreadable(content, problem)}") from problem
    try:
        facts = json.loads(str(arrays["facts"][()]))
        found = facts["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as problem:
        names = ", ".join(arrays) or "nothing"
        raise ValueError(f"{path} is no saved run: it holds {names}, and no facts that can be read") from problem
    if found != FORMAT:
        raise ValueError(f"{path}: its format is {found!r}, this reads {FORMAT}")
    return arrays, facts


# ---- a run and what is saved of it --------------------------------------------------------------------


def facts_of(training) -> dict:
    """What is saved as text: all but the arrays."""
    recorder, best = training.recorder, training.best
    return {"format": FORMAT, "network": training.network.title, "recipe": str(training.recipe),
            "digits": fingerprint(training.digits), "settings": asdict(training.settings), "step": training.step,
            "stopped": training.stopped, "paused": training.paused, "culprit": training.culprit,
            "epochs": [asdict(epoch) for epoch in training.epochs], "best": best and [best.epoch, best.loss],
            "remembered": [step for step, _ in training.remembered],
            "recorder": [recorder.lines, recorder.norms, recorder.every, recorder.most]}


def arrays_of(training) -> dict:
    """All that is saved, as arrays by name; the facts are one of them."""
    arrays = {"facts": np.array(json.dumps(facts_of(training))),
              **{name: np.array(getattr(training, name)) for name in EACH_STEP}}
    groups = {"state": training.state, "best": training.best.parameters if training.best else {}}
    groups |= {f"remembered {at}": state for at, (_, state) in enumerate(training.remembered)}
    for group, values in groups.items():
        arrays |= {f"{group} {name}": value for name, value in values.items()}
    return arrays | kept_arrays(training.recorder)


def restore(training, arrays, facts):
    """Make a fresh run the one that was saved. Raises ValueError where something does not fit."""
    if facts["recipe"] != str(training.recipe):
        raise ValueError(f"it holds a run of another recipe than {training.network.title!r} has today")
    if facts["digits"] != fingerprint(training.digits):
        raise ValueError("it was trained on other pictures or labels than these")
    check_facts(facts)
    arrays = {name: array for name, array in arrays.items() if name != "facts"}
    first = training.state
    parameters = {name: first[name] for name in training.network.parameters}
    for name in ("step", "stopped", "paused", "culprit"):
        setattr(training, name, facts[name])
    for name in EACH_STEP:
        setattr(training, name, fitting(arrays, name, np.empty(training.step)).tolist())
    training.epochs = [Epoch(**epoch) for epoch in facts["epochs"]]
    training.best = Best(*facts["best"], group(arrays, "best", parameters)) if facts["best"] else None
    training.remembered = tuple((step, group(arrays, f"remembered {at}", first))
                                for at, step in enumerate(facts["remembered"]))
    training.state = group(arrays, "state", first)
    training.recorder.entries = kept_entries(training.recorder, arrays, training.step)
    if arrays or json.dumps(facts_of(training)) != json.dumps(facts):
        raise ValueError(f"it holds more than a run, or something else: {', '.join(arrays) or 'other facts'}")
    behind = training.step // training.steps_in_epoch - len(training.epochs)
    if behind not in (0, 1):
        raise ValueError(f"{training.step} steps and {len(training.epochs)} epochs do not go together")


def check_facts(facts):
    """Raises ValueError where a fact is of another kind than it was saved, or names a step or epoch that was not made."""
    step, best = facts["step"], facts["best"]
    fits = {"step": whole(step), "stopped": isinstance(facts["stopped"], str), "paused": isinstance(facts["paused"], bool)}
    if fits["step"]:
        fits["culprit"] = facts["culprit"] is None or whole(facts["culprit"]) and facts["culprit"] <= step
        fits["remembered"] = rising(facts["remembered"], step)
    fits["best"] = best is None or whole(best[0]) and best[0] < len(facts["epochs"]) and number(best[1])
    for name, right in fits.items():
        if not right:
            raise ValueError(f"{name} {facts[name]!r:.80} cannot be right")


def rising(steps, end) -> bool:
    """Whether these are numbers of steps before `end`, each larger than the one before."""
    return all(whole(step) and step < end for step in steps) and all(a < b for a, b in zip(steps, steps[1:]))


def group(arrays, kind, like) -> dict:
    """The saved arrays of one kind, taken out of the others; each has to be like that of a fresh run."""
    return {name: fitting(arrays, f"{kind} {name}", value) for name, value in like.items()}


def fitting(arrays, name, like) -> np.ndarray:
    """A saved array, taken out of the others. Raises ValueError where it is missing or is not like the other one."""
    if name not in arrays:
        raise ValueError(f"it holds no {name!r}")
    value, like = arrays.pop(name), np.asarray(like)
    if (value.shape, value.dtype) != (like.shape, like.dtype):
        raise ValueError(f"{name} is {value.dtype} {value.shape}, and {like.dtype} {like.shape} fits")
    if not np.isfinite(value).all():
        raise ValueError(f"{name} has cells that are no finite numbers")
    value.setflags(write=False)
    return value


def kept_arrays(recorder) -> dict:
    """What a recorder holds, as arrays: of every line all its cells in a row, and its shape in each step."""
    arrays = {"kept": np.array(recorder.steps, np.int64)}
    for name in recorder.entries[0][1] if recorder.entries else ():
        values = [np.asarray(entry[name]) for entry in recorder.kept]
        arrays[f"kept {name}"] = np.concatenate([value.ravel() for value in values])
        arrays[f"shapes {name}"] = np.array([value.shape for value in values], np.int64)
    return arrays


def kept_entries(recorder, arrays, end) -> list:
    """What the recorder held, taken out of saved arrays."""
    steps = arrays.pop("kept").tolist()
    if not rising(steps, end):
        raise ValueError(f"the steps that were recorded, {steps!r:.80}, cannot be right")
    columns = {name: cut(arrays.pop(f"kept {name}"), arrays.pop(f"shapes {name}"), len(steps))
               for name in (*recorder.lines, *(f"norm of {each}" for each in recorder.norms)) if steps}
    return [(step, {name: column[at] for name, column in columns.items()}) for at, step in enumerate(steps)]


def cut(cells, shapes, count) -> list[np.ndarray]:
    """The arrays of these shapes, from their cells in a row."""
    if shapes.ndim != 2 or cells.ndim != 1 or cells.dtype.kind not in "biuf":
        raise ValueError(f"recorded cells {cells.dtype} {cells.shape} in shapes {shapes.shape} cannot be right")
    ends = np.prod(shapes, axis=1, dtype=int).cumsum()
    if len(shapes) != count or ends[-1] != len(cells):
        raise ValueError(f"{len(cells)} recorded cells do not fill {len(shapes)} entries, and {count} were made")
    return [part.reshape(shape) for part, shape in zip(np.split(cells, ends[:-1]), shapes)]
