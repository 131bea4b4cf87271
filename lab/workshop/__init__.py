"""The exercise: what a cloud is for, step by step on the lab, as a person would type it."""
