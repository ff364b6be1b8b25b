"""What `benchmarks/gpu.py` is made of: SDXL with random weights, its measurements, their table, and the wheels."""
