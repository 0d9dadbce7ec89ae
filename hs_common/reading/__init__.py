"""From stored rows to what one reader is shown: visibility, bundled aggregations, events in the format for clients.

For all workers that serve events. Stands on storage and the pure core; knows neither HTTP nor the log.
"""
