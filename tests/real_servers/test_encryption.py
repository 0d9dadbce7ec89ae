"""An encrypted room of a Viaduct and a Synapse."""

from pathlib import Path

from tests.federation.encryption import Side, converse
from tests.federation.test_encryption import side
from tests.real_servers.neighbours import Neighbours


def test_encrypted_room_with_synapse(neighbours: Neighbours, tmp_path: Path) -> None:
    synapse = neighbours.synapse
    converse(side(neighbours.viaduct), Side([synapse.url], synapse.stop, synapse.start), tmp_path)
