"""May this run now: any number of limits decided together in one script on the server's clock."""
