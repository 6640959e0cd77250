"""A batch: many tasks from one file. What the file says, checked and unrolled. Pure."""
