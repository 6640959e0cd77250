"""The built-in agent: a loop on the host that talks to a model, its tools run in a pod.

Runs in the process of the command. The providers' own libraries are an extra and are imported
when they are asked for.
"""
