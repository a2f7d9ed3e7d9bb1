

# what: blank lines before the first line, blanks after the last


a, b = map(int, input().split())
print(a + b)
    
	

