"""From a graph to a program: operations collected, fused, placed in memory, and parted by barriers."""
