"""The role that tells application services what they are interested in.

Spec: application-service-api/#pushing-events.
"""
