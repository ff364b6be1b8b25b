"""Where plugins may import what works between canvas and views; `fusionkit` itself offers most of it, too."""

from fusionkit.loop.canvas import WeightedMean, crop_pixels, gather, scatter, view_noise, weight_map

__all__ = ["WeightedMean", "crop_pixels", "gather", "scatter", "view_noise", "weight_map"]
