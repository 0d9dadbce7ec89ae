"""What operators do with media: see them, take them out of circulation, delete them, limit them."""
