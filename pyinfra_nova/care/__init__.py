"""What is done for the cloud day by day, by timers on the primary controller."""
