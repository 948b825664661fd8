"""What may be wrong with a data set. `learnable` refuses what no honest figure comes from."""
