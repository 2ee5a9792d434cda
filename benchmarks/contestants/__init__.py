"""What is measured: the program, and what a user would pick instead, each in a process of its own."""
