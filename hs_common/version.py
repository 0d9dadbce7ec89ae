"""The version of this program, as /_matrix/federation/v1/version, logs and members tell it. Knows nothing else."""

VERSION = "0.1.0"
