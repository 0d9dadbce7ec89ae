"""State resolution: the one state that several states of a room make together. Import from here.

`conflict.py` says what is in doubt, `ordering.py` in which order it is looked at, `auth_checks.py` what of it stands;
`version1.py` and `version2.py` are the algorithms made of these. All work on an `AuthGraph`, never recurse (auth chains
are as deep as a hostile server likes), and touch only what lies between the conflicted events and the lowest of them.
"""

from hs_common.matrix.state_resolution.auth_graph import Missing
from hs_common.matrix.state_resolution.resolve import resolve

__all__ = ["Missing", "resolve"]
