"""The git repository around a project, and the files in its working tree."""
