"""Convolution as networks use it: the cross-correlation, its two gradients, its single products.

Letters: n image, c input channel, o output channel (= kernel), i, j output cell, u, v kernel cell.
One picture may be (H, W) with a kernel (KH, KW), or (C, H, W) with a kernel (C, KH, KW); in
general images are (N, C, H, W) and kernels (O, C, KH, KW). The sums below leave out n where
there is one image, c where there is one channel, o where there is one kernel.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod

import numpy as np

from . import batches
from .base import Name, Operation, add, cell, pair


@dataclass(frozen=True, eq=False)  # `fit` keeps them, so one is told from another without comparing shapes
class Geometry:
    """How a kernel lies on an image: every shape, in the general form, and the way back to the short one."""

    images: tuple[int, int, int, int]   # N, C, H, W
    kernels: tuple[int, int, int, int]  # O, C, KH, KW
    stride: tuple[int, int]
    padding: tuple[int, int]
    axes: tuple[int, int]               # how many axes the caller's image and kernel have

    @cached_property
    def map(self) -> tuple[int, int]:
        """(floor((H + 2 PH - KH) / SH) + 1, the same for the width)."""
        return tuple((side + 2 * pad - size) // step + 1 for side, pad, size, step
                     in zip(self.images[2:], self.padding, self.kernels[2:], self.stride))

    @property
    def batch(self) -> bool:
        """Whether the form is that of several images, (N, C, H, W), which `batches` works out faster."""
        return self.axes == (4, 4)

    @cached_property
    def weights(self) -> int:
        """How many weights one kernel has: C * KH * KW."""
        return prod(self.kernels[1:])

    @cached_property
    def back(self):
        """How the kernels, turned round, lie on the gradient of the result so that their sums are that of the image.

        None with a stride, and where the map is smaller than the image: then many of those sums' terms would be 0.
        """
        (count, channels, h, w), (outputs, _, high, wide), (top, left) = self.images, self.kernels, self.padding
        around = high - 1 - top, wide - 1 - left
        if self.stride != (1, 1) or self.map[0] < h or self.map[1] < w or min(around) < 0:
            return None
        return Geometry((count, outputs, *self.map), (channels, outputs, high, wide), (1, 1), around, self.axes)

    @cached_property
    def output(self) -> tuple[int, ...]:
        """The shape of the result: no image axis for one image, no channel axis for one kernel."""
        return self.images[:1] * (self.axes[0] == 4) + self.kernels[:1] * (self.axes[1] == 4) + self.map

    @cached_property
    def reaching(self) -> tuple:
        """For each image row y: (first output row whose kernel lies on y, last one, kernel row of the first).

        Those are the rows i with 0 <= y + PH - i * stride < KH; the first is after the last where there are none.
        """
        high, down, top = self.kernels[2], self.stride[0], self.padding[0]
        rows = [(max(0, -(-(y + top - high + 1) // down)), min(self.map[0] - 1, (y + top) // down))
                for y in range(self.images[2])]
        return tuple((first, last, y + top - first * down) for y, (first, last) in enumerate(rows))

    def image_cell(self, i, j, u, v):
        """(row, column) of the image cell under kernel cell (u, v) at output (i, j); None in the padding."""
        row, column = (at * step + inner - pad for at, step, inner, pad
                       in zip((i, j), self.stride, (u, v), self.padding))
        inside = 0 <= row < self.images[2] and 0 <= column < self.images[3]
        return (row, column) if inside else None

    def image_index(self, n, c, row, column):
        return (n, c, row, column)[4 - self.axes[0]:]

    def kernel_index(self, o, c, u, v):
        return (o, c, u, v)[4 - self.axes[1]:]

    def output_index(self, n, o, i, j):
        return (n,) * (self.axes[0] == 4) + (o,) * (self.axes[1] == 4) + (i, j)

    def split_output(self, index):
        """(n, o, i, j) from an index of the result."""
        lead, (i, j) = list(index[:-2]), index[-2:]
        n = lead.pop(0) if self.axes[0] == 4 else 0
        return n, lead.pop(0) if lead else 0, i, j

    def kernel_cells(self):
        """Every (c, u, v) of one kernel, in reading order."""
        return np.ndindex(*self.kernels[1:])


FORMS = ((2, 2), (2, 4), (3, 3), (3, 4), (4, 4))  # how many axes image and kernel may have


@lru_cache(maxsize=512, typed=True)  # the same shapes come back at every step, and checking them costs as much as a small sum
def fit(image_name, image, kernel_name, kernel, stride, padding) -> Geometry:
    """The geometry of two shapes. Raises ValueError, in the caller's names, where they do not fit."""
    steps, pads = pair(stride, "stride", 1), pair(padding, "padding", 0)
    names = f"{kernel_name} {kernel}", f"{image_name} {image}"
    if (len(image), len(kernel)) not in FORMS:
        raise ValueError(f"{names[0]} and {names[1]}: give an image (H, W) with a kernel (KH, KW), "
                         "(C, H, W) with (C, KH, KW), or (N, C, H, W) with (O, C, KH, KW)")
    images, kernels = (1,) * (4 - len(image)) + image, (1,) * (4 - len(kernel)) + kernel
    if images[1] != kernels[1]:
        raise ValueError(f"{names[0]} has {kernels[1]} input channels, {names[1]} has {images[1]}")
    if any(size > side + 2 * pad for size, side, pad in zip(kernels[2:], images[2:], pads)):
        raise ValueError(f"{names[0]} does not fit inside {names[1]}{f' with padding {padding}' if any(pads) else ''}")
    return Geometry(images, kernels, steps, pads, (len(image), len(kernel)))


class Sliding(Operation):
    """A kernel that slides over an image: what its forward sum and its two gradients share."""

    def geometry(self, image, kernel) -> Geometry:
        """The shapes, checked. Raises ValueError where kernel and image do not fit."""
        return fit(self.image, image.shape, self.kernel, kernel.shape, self.stride, self.padding)

    def common(self) -> dict:
        return {"stride": self.stride, "padding": self.padding}


def columns(image, geometry):
    """(N, C*KH*KW, H'*W'): what each kernel cell lies on, at every position. A convolution is a product with it."""
    image, (top, left) = image.reshape(geometry.images), geometry.padding
    if top or left:
        image = padded(image, top, left)
    image = np.ascontiguousarray(image)
    (n, c, h, w), (down, right) = image.strides, geometry.stride
    seen = np.ndarray(image.shape[:2] + geometry.kernels[2:] + geometry.map, image.dtype, image,
                      strides=(n, c, h, w, h * down, w * right))
    return seen.reshape(len(image), geometry.weights, -1)


def padded(image, top, left):
    """The images with zeros on all sides. np.pad takes ten times as long on a small one."""
    n, c, h, w = image.shape
    larger = np.zeros((n, c, h + 2 * top, w + 2 * left), image.dtype)
    larger[:, :, top:top + h, left:left + w] = image
    return larger


@dataclass(frozen=True)
class Correlate(Sliding):
    """out[i,j] = sum over c, u, v of image[c, i*stride + u - padding, j*stride + v - padding] * kernel[c,u,v]

    image (N, C, H, W), kernel (O, C, KH, KW) -> (N, O, H', W') with H' = floor((H + 2*padding - KH) / stride) + 1.
    The kernel is not flipped: deep learning calls this cross-correlation a convolution. Cells outside
    the image count as 0. Source: Goodfellow, Bengio & Courville 2016, equation 9.6.
    """

    image: Name
    kernel: Name
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0

    def compute(self, image, kernel):
        geometry = self.geometry(image, kernel)
        if geometry.batch:
            return batches.correlate(image, kernel, geometry)
        sums = kernel.reshape(-1, geometry.weights) @ columns(image, geometry)
        return sums.reshape(geometry.output)

    def expand(self, index, image, kernel):
        return add(f"{at}*{weight}" for at, weight in self.operands(index, image, kernel))

    def operands(self, index, image, kernel):
        """Pairs (image cell, kernel cell) whose products make up the cell at `index`."""
        geometry = self.geometry(image, kernel)
        n, o, i, j = geometry.split_output(index)
        for c, u, v in geometry.kernel_cells():
            if at := geometry.image_cell(i, j, u, v):
                yield (cell(self.image, *geometry.image_index(n, c, *at)),
                       cell(self.kernel, *geometry.kernel_index(o, c, u, v)))

    def gradient(self, output, d_output):
        yield self.kernel, KernelGradient(self.image, d_output, self.kernel, **self.common())
        yield self.image, TransposedCorrelate(d_output, self.kernel, self.image, **self.common())


@dataclass(frozen=True)
class Products(Sliding):
    """products[i,j,c,u,v] = image[c, i*stride + u - padding, j*stride + v - padding] * kernel[c,u,v]

    image (H, W), kernel (KH, KW) -> (H', W', KH, KW); the general form is (N, O, H', W', C, KH, KW).
    The terms of `Correlate`, each on its own, for those who want to see them before they are added.
    """

    image: Name
    kernel: Name
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0

    def compute(self, image, kernel):
        geometry = self.geometry(image, kernel)
        seen = columns(image, geometry).transpose(0, 2, 1)[:, None]
        channel = geometry.kernels[1:2] * (kernel.ndim > 2)
        return (seen * kernel.reshape(-1, 1, geometry.weights)).reshape(geometry.output + channel + geometry.kernels[2:])

    def expand(self, index, image, kernel):
        geometry = self.geometry(image, kernel)
        inner = 3 if kernel.ndim > 2 else 2
        n, o, i, j = geometry.split_output(index[:-inner])
        c, (u, v) = index[-3] if inner == 3 else 0, index[-2:]
        at = geometry.image_cell(i, j, u, v)
        weight = cell(self.kernel, *geometry.kernel_index(o, c, u, v))
        return f"{cell(self.image, *geometry.image_index(n, c, *at)) if at else '0'}*{weight}"


@dataclass(frozen=True)
class KernelGradient(Sliding):
    """d_kernel[c,u,v] = sum over n, i, j of image[n, c, i*stride + u - padding, j*stride + v - padding] * d_out[n,i,j]

    image, d_out, kernel (only its shape) -> the shape of kernel. The gradient of a kernel is again a
    cross-correlation: of the layer's input with the gradient of its output.
    """

    image: Name
    d_output: Name
    kernel: Name
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0

    def compute(self, image, d_output, kernel):
        geometry = self.geometry(image, kernel)
        if geometry.batch:
            return batches.kernel_gradient(image, d_output, geometry)
        d_maps = d_output.reshape(geometry.images[0], geometry.kernels[0], -1)
        return (d_maps @ columns(image, geometry).transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)

    def expand(self, index, image, d_output, kernel):
        geometry = self.geometry(image, kernel)
        o, c, u, v = (0,) * (4 - kernel.ndim) + tuple(index)
        return add(f"{cell(self.image, *geometry.image_index(n, c, *at))}"
                   f"*{cell(self.d_output, *geometry.output_index(n, o, i, j))}"
                   for n, i, j in np.ndindex(geometry.images[0], *geometry.map)
                   if (at := geometry.image_cell(i, j, u, v)))


@dataclass(frozen=True)
class TransposedCorrelate(Sliding):
    """d_image[c,y,x] = sum over o, i, j of kernel[o,c,u,v] * d_out[o,i,j] where u = y + padding - i*stride, v = x + padding - j*stride

    d_out, kernel, image (only its shape) -> the shape of image. Also called transposed convolution: the
    adjoint of `Correlate`, <Correlate(x), y> = <x, TransposedCorrelate(y)>, and not its inverse.
    Source: Dumoulin & Visin 2016, chapter 4.
    """

    d_output: Name
    kernel: Name
    image: Name
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0

    def compute(self, d_output, kernel, image):
        geometry = self.geometry(image, kernel)
        if geometry.batch:
            return batches.image_gradient(d_output, kernel, geometry)
        (down, right), (top, left), (height, width) = geometry.stride, geometry.padding, geometry.map
        n, c, h, w = geometry.images
        d_columns = kernel.reshape(-1, geometry.weights).T @ d_output.reshape(n, geometry.kernels[0], -1)
        d_columns = d_columns.reshape(n, *geometry.kernels[1:], height, width)
        d_image = np.zeros((n, c, h + 2 * top, w + 2 * left), d_columns.dtype)
        for u, v in product(*map(range, geometry.kernels[2:])):  # np.ndindex would take longer than the sums
            seen = d_image[:, :, u:u + down * height:down, v:v + right * width:right]
            seen += d_columns[:, :, u, v]
        return d_image[:, :, top:top + h, left:left + w].reshape(image.shape)

    def expand(self, index, d_output, kernel, image):
        geometry = self.geometry(image, kernel)
        n, c, row, column = (0,) * (4 - image.ndim) + tuple(index)
        return add(f"{cell(self.kernel, *geometry.kernel_index(o, c, u, v))}"
                   f"*{cell(self.d_output, *geometry.output_index(n, o, i, j))}"
                   for o, i, j in np.ndindex(geometry.kernels[0], *geometry.map)
                   if self.covers(geometry, row, column, i, j)
                   for u, v in [(row + geometry.padding[0] - i * geometry.stride[0],
                                 column + geometry.padding[1] - j * geometry.stride[1])])

    @staticmethod
    def covers(geometry, row, column, i, j) -> bool:
        """Whether the window at output (i, j) lies over the image cell (row, column)."""
        u, v = (at + pad - out * step for at, pad, out, step
                in zip((row, column), geometry.padding, (i, j), geometry.stride))
        return 0 <= u < geometry.kernels[2] and 0 <= v < geometry.kernels[3]
