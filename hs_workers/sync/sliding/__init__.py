"""Sliding sync (MSC4186): lists of rooms of which a client sees a window, and subscriptions to single rooms."""
