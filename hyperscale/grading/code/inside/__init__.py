"""Files that run inside the sandbox beside a program under test. They import only one another."""
