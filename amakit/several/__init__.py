"""One analysis of several workspaces: each is analysed, machines that report to more than one from all of theirs."""
