"""What a model's files tell before anything loads."""
