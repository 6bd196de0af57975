"""What a study leaves on disk: trajectories, segments, the results folder, the certificate."""
