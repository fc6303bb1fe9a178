"""Where a template comes from, and how it becomes the files of a project."""
