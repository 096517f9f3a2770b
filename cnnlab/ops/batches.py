"""Convolution of a batch: the sums of `convolution`, ordered in memory so that almost nothing is copied.

To its readers an array stays (N, C, H, W). Its memory runs (height, channel, width, image): the images lie
innermost, so one cell of all images is one run of numbers, and whole rows of the picture follow each other.

The picture is laid out over the kernel's columns alone, (H, C * KW, W' * N). What output row i needs is then the
matrix of the KH * C * KW rows from i * stride on, one block of memory, which BLAS reads where it is. Those matrices
overlap; im2col would copy each cell KH times more.
- forward, one product for each output row: the kernels times that matrix.
- the kernel's gradient, the same matrices: d_out times each, added over the rows.
- the image's gradient is the forward sum over d_out with the kernels turned round, where the map is as large as the
  image. Where it is smaller, that would add up many zeros: then one product for each image row, and a sum over the
  kernel's columns.
"""

import sys
import threading
import weakref

import numpy as np

# What OpenBLAS multiplies where it is; more it repacks first. Source: its sgemm_small_kernel_permit_skylakex.c.
SMALL = 1_000_000     # multiplications
SMALL_RESULT = 1_200  # cells of the product, where the second factor is read in columns
FEWEST = 4            # columns: products of fewer take longer than the one whole product

MOST_LAYOUTS = 16        # that a thread keeps to use again
LARGEST_LAYOUT = 2**24   # bytes; a larger one is made anew each time


def memory_of(images):
    """(H, C, W, N) in this order: the array's own memory where it is so, else a copy."""
    return np.ascontiguousarray(images.transpose(2, 1, 3, 0))


def readers(memory):
    """(H, C, W, N) in memory as its readers know it, (N, C, H, W)."""
    return memory.transpose(3, 1, 0, 2)


def as_read(kernels):
    """The kernels, (O, C, KH, KW), in memory as the products read them: (O, KH, C, KW). Their gradients lie so too."""
    return np.ascontiguousarray(kernels.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)


class Layout:
    """Memory for pictures of one geometry, laid out over the kernel's columns, with zeros where padding lies.

    `under`: (H', KH * C * KW, W' * N), for each output row the cells under the kernel; they share memory.
    `rows`: (H', O, W' * N), the shape of the result as one product an output row makes it; `cells`: (H', O, W', N).
    """

    def __init__(self, geometry, dtype):
        (count, channels, h, w), (outputs, _, _, wide) = geometry.images, geometry.kernels
        (height, width), (down, right), (top, left) = geometry.map, geometry.stride, geometry.padding
        laid = np.zeros((h + 2 * top, channels, wide, width, count), dtype)
        self.nbytes, line = laid.nbytes, width * count
        rows = line * laid.itemsize  # apart; not laid.strides, which may be anything along an axis of length 1
        self.under = np.ndarray((height, geometry.weights, line), dtype, laid,
                                strides=(down * channels * wide * rows, rows, laid.itemsize))
        self.rows, self.cells = (height, outputs, line), (height, outputs, width, count)
        self.sums_at_once = at_once(outputs, geometry.weights)
        self.slopes_at_once = at_once(outputs, line, SMALL_RESULT)
        self.parts = []  # for each kernel column: where it lies on the picture, and on which columns of it
        for v in range(wide):
            first, last = max(0, -(-(left - v) // right)), min(width - 1, (w - 1 + left - v) // right)
            if first <= last:
                start = first * right + v - left
                seen = slice(start, start + (last - first) * right + 1, right)
                self.parts.append((laid[top:top + h, :, v, first:last + 1], seen))
        self.held = nothing

    def holding(self, images):
        """Itself, with these pictures in it. Pictures that it holds already, and that stay, are not copied again."""
        if self.held() is not images or not stays(images):
            self.held = nothing  # an interrupt may come between the copies
            memory = images.transpose(2, 1, 3, 0)
            for part, seen in self.parts:
                part[...] = memory[:, :, seen]
            self.held = weakref.ref(images)
        return self


def nothing():
    """A reference to no picture."""


def stays(array) -> bool:
    """Whether nobody writes to an array: it is read-only, and so is the one whose memory it shows, if it is a view."""
    base = array.base
    return not array.flags.writeable and (base is None or isinstance(base, np.ndarray) and not base.flags.writeable)


class Kept(threading.local):
    """The layouts that a thread has made: a training step comes back to the same shapes."""

    def __init__(self):
        self.layouts = {}

    def layout(self, geometry, dtype) -> Layout:
        layouts, key = self.layouts, (geometry, dtype)
        if key in layouts:
            return layouts[key]
        layout = Layout(geometry, dtype)
        if layout.nbytes <= LARGEST_LAYOUT:
            while len(layouts) >= MOST_LAYOUTS:
                del layouts[next(iter(layouts))]
            layouts[key] = layout
        return layout


kept = Kept()


def at_once(rows, inner, largest=float("inf")) -> int:
    """How many columns of (rows, inner) @ (inner, columns) OpenBLAS multiplies where they are: a seventh faster here.

    Those are of at most a million multiplications, and `largest` cells of the result. All columns at once where too
    few would go.
    """
    columns = min(SMALL // (rows * inner), largest // rows)
    return columns if columns >= FEWEST else sys.maxsize


def product(first, second, step, out=None):
    """first @ second, `step` columns at once."""
    columns = second.shape[-1]
    if step >= columns:
        return np.matmul(first, second, out)
    if out is None:
        out = np.empty((len(second), first.shape[-2], columns), np.result_type(first, second))
    for start in range(0, columns, step):
        part = slice(start, start + step)
        np.matmul(first, second[..., part], out[..., part])
    return out


def correlate(images, kernels, geometry):
    """One product for each output row: (O, KH * C * KW) times (KH * C * KW, W' * N)."""
    layout = kept.layout(geometry, images.dtype).holding(images)
    sums = product(kernels.transpose(0, 2, 1, 3).reshape(len(kernels), -1), layout.under, layout.sums_at_once)
    return readers(sums.reshape(layout.cells))


def kernel_gradient(images, d_output, geometry):
    """One product for each output row, (O, W' * N) times (W' * N, KH * C * KW), added over the rows."""
    layout = kept.layout(geometry, images.dtype).holding(images)
    d_rows = memory_of(d_output).reshape(layout.rows)
    products = product(d_rows, layout.under.transpose(0, 2, 1), layout.slopes_at_once)
    outputs, channels, high, wide = geometry.kernels
    return products.sum(axis=0).reshape(outputs, high, channels, wide).transpose(0, 2, 1, 3)


def image_gradient(d_output, kernels, geometry):
    """The correlation of d_out with the kernels turned round where that wastes nothing, else `row_by_row`."""
    if geometry.back:
        return correlate(d_output, kernels[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), geometry.back)
    return row_by_row(d_output, kernels, geometry)


def row_by_row(d_output, kernels, geometry):
    """One product for each image row, (C * KW, rows * O) times (rows * O, W' * N), then a sum over kernel columns.

    `rows` are the output rows whose kernel lies on the image row.
    """
    (outputs, channels, high, wide), (height, width) = geometry.kernels, geometry.map
    (down, right), left, (count, _, h, w) = geometry.stride, geometry.padding[1], geometry.images
    d_rows = memory_of(d_output).reshape(height * outputs, width * count)
    upwards = np.ascontiguousarray(kernels[:, :, ::-1].transpose(1, 3, 2, 0))  # (C, KW, KH, O), the last kernel row first
    d_columns = np.empty((h, channels * wide, width * count), np.result_type(d_output, kernels))
    for y, (first, last, row) in enumerate(geometry.reaching):
        if first > last:
            d_columns[y] = 0
        else:
            start = high - 1 - row
            on_y = upwards[:, :, start:start + (last - first) * down + 1:down].reshape(channels * wide, -1)
            product(on_y, d_rows[first * outputs:(last + 1) * outputs], at_once(*on_y.shape), d_columns[y])
    d_columns = d_columns.reshape(h, channels, wide, width, count)
    d_memory = np.zeros((h, channels, w + 2 * left, count), d_columns.dtype)
    for v in range(wide):
        seen = d_memory[:, :, v:v + right * width:right]
        np.add(seen, d_columns[:, :, v], out=seen)
    return readers(np.ascontiguousarray(d_memory[:, :, left:left + w]))


def flattened(values):
    """(N, C, H, W) -> (N, C * H * W), with the images innermost in memory where they were."""
    if values.strides[0] != values.itemsize:
        return values.reshape(len(values), -1)
    flat = np.empty((values[0].size, len(values)), values.dtype).T
    flat.reshape(values.shape)[...] = values
    return flat


def laid_like(pattern, values):
    """The values, ordered in memory as the pattern is; both of one shape."""
    laid = np.empty_like(pattern, values.dtype)
    laid[...] = values
    return laid
