"""What a line does, in one plain sentence, for those who meet it for the first time."""

WORDS = {
    "Products": "Multiply: one cell of the image times the weight that lies on it.",
    "Correlate": "Add the products: the convolution sum.",
    "AddBias": "Add the bias: one constant, after the sum and before the activation.",
    "ReLU": "ReLU: a positive number stays, a negative one becomes 0.",
    "Flatten": "Flatten: the cells of the map in one row.",
    "FullyConnected": "Fully connected: every input times its weight, added up for this class.",
    "Exponential": "Exponentials make every score positive.",
    "Total": "Their total, to divide by.",
    "Softmax": "Softmax: this class's share of the total, its probability.",
    "HalfSquaredError": "The loss: half the square of output minus target.",
    "SoftmaxCrossEntropy": "The loss: −ln of the true class's probability, worked out from the logits in one go.",
    "CrossEntropy": "The loss: −ln of the true class's probability.",
    "Seed": "Backward starts here: how the loss changes with itself.",
    "HalfSquaredErrorGradient": "How the loss changes with the output: the error itself, because of the ½.",
    "SoftmaxCrossEntropyGradient": "How the loss changes with this logit: probability minus 1 for the true class, minus 0 else.",
    "CrossEntropyGradient": "How the loss changes with this probability.",
    "SoftmaxGradient": "Through the softmax: all probabilities share one total, so each logit pulls on all of them.",
    "Same": "An addition passes the gradient on unchanged.",
    "BiasGradient": "The bias was added at every position: its gradient is the sum over all of them.",
    "WeightGradient": "A weight's gradient: the gradient behind it times the input in front of it.",
    "FullyConnectedTransposed": "Back to the input: each class's gradient times the weight that led there, added up.",
    "Unflatten": "Back from the row to the shape of the map.",
    "ReLUGradient": "ReLU lets the gradient through where the number before it was positive, else not.",
    "TransposedCorrelate": "Back to the image: the gradient times the weights that read this cell.",
    "KernelGradient": "A kernel weight's gradient: the image cells that it met, times the gradients they led to.",
    "Descend": "Update: the old value minus learning rate times gradient.",
}


def says(line) -> str:
    """The sentence for a line of a recipe."""
    return WORDS.get(type(line.operation).__name__, line.operation.formula())
