"""The one config file: `load` it into a frozen, typed `Config`; `reference` prints all options.

Options are declared in the files of their topic. Nothing here knows of the processes that use them.
"""

from hs_common.config.config import Config
from hs_common.config.load import ConfigError, for_development, load, parse
from hs_common.config.option import Secret
from hs_common.config.rate_limits import Bucket
from hs_common.config.reference import first_file, reference

__all__ = ["Bucket", "Config", "ConfigError", "Secret", "first_file", "for_development", "load", "parse", "reference"]
