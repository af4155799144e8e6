"""Runs `trainer.task` on a machine that has, by its own account, two CPUs to mirror on."""

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)

if __name__ == "__main__":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    from preprocessing.command.console import run_command
    from trainer.task import main

    run_command(main)
