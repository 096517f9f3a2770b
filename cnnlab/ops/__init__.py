"""What a convolutional network does, one class an operation; each gradient stands beside its operation."""

from .activation import (Exponential, ReLU, ReLUGradient, Sigmoid, SigmoidGradient, Tanh, TanhGradient,
                         Total)
from .base import Name, Operation, cell
from .convolution import Correlate, KernelGradient, Products, TransposedCorrelate
from .descent import Descend
from .lenet import (CoefficientGradient, Connect, ConnectGradient, Negate, PrototypeGradient, ScaledTanh,
                    ScaledTanhGradient, Scale, SquaredDistance, SquaredDistanceGradient, SumPool, SumPoolGradient)
from .linear import (Add, AddBias, BiasGradient, Flatten, FullyConnected, FullyConnectedTransposed, Same,
                     Unflatten, WeightGradient)
from .loss import (CrossEntropy, CrossEntropyGradient, HalfSquaredError, HalfSquaredErrorGradient, Seed,
                   Softmax, SoftmaxCrossEntropy, SoftmaxCrossEntropyGradient, SoftmaxGradient)
from .pooling import AveragePool, AveragePoolGradient, MaxPool, MaxPoolGradient
from .regularization import Dropout, WeightPenalty, WeightPenaltyGradient

__all__ = [name for name, thing in list(globals().items())
           if isinstance(thing, type) and issubclass(thing, Operation)] + ["Name", "cell"]
