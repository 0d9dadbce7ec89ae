"""The pages that this server shows in browsers: what they look like, and how they are sent."""
