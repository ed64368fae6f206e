"""The commands of ``botzoo``, one file each with a function ``run``; nothing heavy is imported before it is called."""
