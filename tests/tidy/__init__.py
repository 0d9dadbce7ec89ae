"""Rules of style as tests: each names the rule, and fails with the place that breaks it."""
