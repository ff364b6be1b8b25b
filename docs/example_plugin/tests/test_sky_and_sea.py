"""Whether the plugin keeps to what every plugin should."""

from fusionkit.testing import PluginContract

from fusionkit_sky_and_sea import SkyAndSea


class TestSkyAndSea(PluginContract):
    """All tests are those of the contract."""

    plugin = SkyAndSea
    options = {"above": "the sky", "below": "the sea"}
    neutral = {}
