"""Photos enlarged: the recipe of one, from Python and by `fusionkit upscale`."""
