"""The recipes that come with fusionkit; `fusionkit run NAME` finds them."""
