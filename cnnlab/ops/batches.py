"""Convolution of a batch: the sums of `convolution`, ordered in memory so that almost nothing is copied.

To its readers an array stays (N, C, H, W). Its memory runs (height, channel, width, image): the images lie
innermost, so one cell of all images is one run of numbers, and whole rows of the picture follow each other.

Then the KH rows under a kernel are one block of memory, and the products with BLAS can read it where it is:
- forward, the picture is laid out over the kernel's columns alone, (H, C * KW, W' * N). What output row i needs
  is the matrix of the KH * C * KW rows from i * stride on. Those matrices overlap; im2col would copy each cell
  KH times more.
- the kernel's gradient needs no copy: one product for each output row and each kernel column.
- the image's gradient is one product for each image row, then a sum over the kernel's columns.
"""

from math import prod

import numpy as np

SMALL = 1_000_000


def memory_of(images, padding=(0, 0)):
    """(H + 2 PH, C, W + 2 PW, N) in this order: the array's own memory where it is so, else a copy."""
    memory, (top, left) = images.transpose(2, 1, 3, 0), padding
    if not (top or left):
        return np.ascontiguousarray(memory)
    height, channels, width, count = memory.shape
    larger = np.zeros((height + 2 * top, channels, width + 2 * left, count), memory.dtype)
    larger[top:top + height, :, left:left + width] = memory
    return larger


def is_innermost(values) -> bool:
    """Whether (N, C, H, W) lies in memory as (H, C, W, N)."""
    return values.transpose(2, 1, 3, 0).flags.c_contiguous


def readers(memory):
    """(H, C, W, N) in memory as its readers know it, (N, C, H, W)."""
    return memory.transpose(3, 1, 0, 2)


def strides_of(memory) -> tuple[int, ...]:
    """The strides of contiguous memory. NumPy's own may be anything along an axis of length 1."""
    return tuple(memory.itemsize * prod(memory.shape[axis + 1:]) for axis in range(memory.ndim))


def over_columns(memory, geometry):
    """(H + 2 PH, C, KW, W', N), a view of padded memory: what each kernel column lies on when a kernel row is at y."""
    row, channel, column, number = strides_of(memory)
    height, channels, _, count = memory.shape
    return np.ndarray((height, channels, geometry.kernels[3], geometry.map[1], count), memory.dtype, memory,
                      strides=(row, channel, column, column * geometry.stride[1], number))


def product(first, second, out):
    """first @ second into `out`, in parts of at most a million multiplications.

    OpenBLAS multiplies matrices of that size where they are and repacks larger ones: a seventh slower here.
    """
    step = max(1, SMALL // (first.shape[-2] * first.shape[-1]))
    if step >= second.shape[-1]:
        np.matmul(first, second, out=out)
        return
    for start in range(0, second.shape[-1], step):
        part = slice(start, start + step)
        np.matmul(first, second[..., part], out=out[..., part])


def correlate(images, kernels, geometry):
    """One product for each output row: (O, KH * C * KW) times (KH * C * KW, W' * N)."""
    laid = np.ascontiguousarray(over_columns(memory_of(images, geometry.padding), geometry))
    (height, width), row, cells = geometry.map, strides_of(laid)[0], laid[0, 0, 0].size
    under = np.ndarray((height, geometry.weights, cells), laid.dtype, laid,
                       strides=(row * geometry.stride[0], cells * laid.itemsize, laid.itemsize))
    sums = np.empty((height, len(kernels), cells), np.result_type(images, kernels))
    product(kernels.transpose(0, 2, 1, 3).reshape(len(kernels), -1), under, sums)
    return readers(sums.reshape(height, len(kernels), width, -1))


def kernel_gradient(images, d_output, geometry):
    """One product for each output row i and kernel column v, (O, W' * N) times (W' * N, KH * C), added over i."""
    (outputs, channels, high, wide), (height, width) = geometry.kernels, geometry.map
    memory = memory_of(images, geometry.padding)
    row, channel, column, number = strides_of(memory)
    if geometry.stride[1] > 1:  # then the numbers of a matrix row would not follow each other
        memory = np.ascontiguousarray(over_columns(memory, geometry))
        row, channel, column, _, number = strides_of(memory)
    under = np.ndarray((height, wide, width * len(images), high * channels), memory.dtype, memory,
                       strides=(row * geometry.stride[0], column, number, channel))
    d_rows = memory_of(d_output).reshape(height, 1, outputs, -1)
    return (d_rows @ under).sum(axis=0).reshape(wide, outputs, high, channels).transpose(1, 3, 2, 0)


def image_gradient(d_output, kernels, geometry):
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
            product(on_y, d_rows[first * outputs:(last + 1) * outputs], d_columns[y])
    d_columns = d_columns.reshape(h, channels, wide, width, count)
    d_memory = np.zeros((h, channels, w + 2 * left, count), d_columns.dtype)
    for v in range(wide):
        seen = d_memory[:, :, v:v + right * width:right]
        np.add(seen, d_columns[:, :, v], out=seen)
    return readers(np.ascontiguousarray(d_memory[:, :, left:left + w]))


def add_bias(values, bias):
    """values[n,c,i,j] + bias[c]: a whole row of pictures at a time, which is a quarter faster than broadcasting."""
    memory = memory_of(values)
    row = np.repeat(bias, memory[0, 0].size)
    return readers((memory.reshape(len(memory), -1) + row).reshape(memory.shape))


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
