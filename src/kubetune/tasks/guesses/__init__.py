"""What a file is for: from its columns to a task, its texts and its truth, each with why."""
