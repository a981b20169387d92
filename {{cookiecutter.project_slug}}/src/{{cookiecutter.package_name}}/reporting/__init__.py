"""What people read, written last: plots, cards, the results in the README, the comparison."""
