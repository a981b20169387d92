"""All that is written for people, last of all: plots, cards, the README, the comparison."""
