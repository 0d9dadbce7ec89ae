"""Names and passwords for TURN servers, against a value that coturn's own documentation's command makes."""

import subprocess

from hs_common.matrix.turn_credentials import turn_credentials


def test_the_password_is_the_hmac_of_the_name() -> None:
    username, password = turn_credentials("north", "@alice:example.org", 1_700_000_000)
    assert username == "1700000000:@alice:example.org"
    made = subprocess.run(
        ["openssl", "dgst", "-sha1", "-hmac", "north", "-binary"],
        input=username.encode(),
        capture_output=True,
        check=True,
    )
    encoded = subprocess.run(["base64"], input=made.stdout, capture_output=True, check=True)
    assert password == encoded.stdout.decode().strip()
