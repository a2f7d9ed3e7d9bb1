# what: indentation by tabs, and by one space
def main():
	for _ in range(1):
		a, b = map(int, input().split())
		if a:
			print(a + b)


if True:
 main()
