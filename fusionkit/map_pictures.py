"""Where plugins may import what lays out pictures of how they work; `fusionkit` itself offers it, too."""

from fusionkit.pictures.map_pictures import below, beside, captioned

__all__ = ["below", "beside", "captioned"]
