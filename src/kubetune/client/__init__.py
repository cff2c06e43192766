"""What a person's machine, or a scheduled job, asks of a cluster: begin a run, watch it, end it."""
