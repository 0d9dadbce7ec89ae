"""The role `media`: uploads, downloads and thumbnails. Bytes go to a blob store, facts to PostgreSQL.

Spec: client-server-api/#content-repository.
"""
