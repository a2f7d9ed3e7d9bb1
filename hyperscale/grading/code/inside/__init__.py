"""What runs inside the sandbox beside a program under test. These files import nothing of ours but one another."""
