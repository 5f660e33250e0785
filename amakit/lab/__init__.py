"""JupyterLab: the explorer, the %%kql magic, and how objects show themselves."""
