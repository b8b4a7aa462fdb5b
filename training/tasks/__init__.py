"""What is learnt: one module a task, behind the protocol of `training.tasks.task`."""
