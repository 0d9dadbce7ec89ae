"""Sending mail: what a mail says, and how it reaches the SMTP server. Nothing here knows who wants it sent, or why."""
