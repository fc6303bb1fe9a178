"""What a user can do something about. A stage that raises one of these ends in one line."""


class ProjectError(Exception):
    """Something outside the code is not as it has to be; the message says what and what to do."""
