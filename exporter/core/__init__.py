"""The domain: tasks, states, time, logging, secrets, threads. Imports nothing of ours."""
