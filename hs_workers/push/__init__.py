"""The role that notifies users who are not connected: by push gateways and by email.

The log is judged (`judge`, `judging`) for users who have pushers, and what notifies them is queued; each pusher then
works off its queue (`sending`). Spec: client-server API, #push-notifications.
"""
