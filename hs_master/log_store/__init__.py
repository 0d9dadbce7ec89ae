"""The log as its only writer sees it: `types` is the seam, `postgres` the truth, `memory` the same for simulation."""
