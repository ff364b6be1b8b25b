"""The experiments of papers, as comparisons; `fusionkit compare papers/NAME` runs them."""
