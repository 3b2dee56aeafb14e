"""What is wrong with the data and the config of a training, found before it starts."""
