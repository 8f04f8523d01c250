"""What each DVC stage does, a function a stage, and where each lies on disk."""
