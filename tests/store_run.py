"""Train LeNet-5 anew and store the run that notebook 05 looks back on: `python -m tests.store_run`.

The settings are those below, the seed among them. The last digits of a run depend on the machine's matrix
products, so the stored run is data, like the digits: its first steps and its accuracy are tested.
"""

from cnnlab.data import mnist
from cnnlab.networks import lenet_5
from cnnlab.places import data_folder
from cnnlab.training import Recorder, Settings, Training

SETTINGS = Settings(epochs=20, batch=32, learning_rate=0.02, schedule="cosine", dropout=(("c5_relu", 0.5),), seed=1)
KEPT = ("c1_kernel", "c1_bias", "c3_kernel")  # along the whole run, so that one can scrub through it


def fresh() -> Training:
    """The run before its first step."""
    return Training(lenet_5, mnist(), SETTINGS, Recorder(KEPT, most=48))


def main():
    training = fresh().go_on(progress=True)
    path = data_folder() / "lenet_5_run.npz"
    training.save(path)
    print(f"{training}\n{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(training.recorder.steps)} snapshots of the kernels")


if __name__ == "__main__":
    main()
