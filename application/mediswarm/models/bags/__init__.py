"""Networks for bags of tile features; each takes a batch of bags as its only argument.

A batch is ``{"features": [n, T, F], "coords": [n, T, 2] in µm, "mask": [n, T]}``, where the mask
is True for tiles that are there. A network gives [n, outputs], the same however far a bag is padded,
and keeps no running statistics, which sites could not average.
"""
