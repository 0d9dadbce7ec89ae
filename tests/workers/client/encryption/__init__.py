"""What clients do with encryption, over the real master."""
