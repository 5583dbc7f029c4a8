"""Who does the steps of a plan here: on declared stores, folders of this machine, processes, and with people."""
